"""smtplib, ftplib and xmlrpc on fastsock: CLIENT PORT-OR-URL. Prints JSON."""

import io
import json
import sys

import fastsock

name, where = sys.argv[1:]
result = {}


def use_smtplib():
    import smtplib
    with smtplib.SMTP("127.0.0.1", int(where), local_hostname="localhost",
                      timeout=20) as client:
        assert type(client.sock) is fastsock.socket
        client.sendmail("from@localhost", ["to@localhost"],
                        "Subject: hi\n\n.dots\n" + "x" * 900)


def use_ftplib():
    import ftplib
    data = bytes(range(256)) * 4000
    with ftplib.FTP(timeout=20) as client:
        client.connect("127.0.0.1", int(where))
        assert type(client.sock) is fastsock.socket
        client.login()
        for passive in (True, False):
            client.set_pasv(passive)
            connection, _ = client.ntransfercmd(f"STOR file{passive}")
            assert type(connection) is fastsock.socket
            with connection:
                connection.sendall(data)
            client.voidresp()
            back = io.BytesIO()
            client.retrbinary(f"RETR file{passive}", back.write)
            result[f"passive={passive}"] = back.getvalue() == data


def use_xmlrpc():
    import socket
    import xmlrpc.client
    made = []
    real = socket.create_connection

    def note(*arguments, **keywords):
        made.append(real(*arguments, **keywords))
        return made[-1]

    socket.create_connection = note
    with xmlrpc.client.ServerProxy(where) as proxy:
        result["sum"] = proxy.add(1, 2, 39)
        try:
            proxy.no_such_method()
        except xmlrpc.client.Fault:
            result["fault"] = True
    assert made and all(type(sock) is fastsock.socket for sock in made)


{"smtplib": use_smtplib, "ftplib": use_ftplib, "xmlrpc": use_xmlrpc}[name]()
print(json.dumps(result))
