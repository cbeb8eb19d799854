"""Servers, relays and clients at a link-local address, in a network namespace of their own.

Argument: one of the names of WAYS. Exit status 77 with the reason where there are no
namespaces. Each way is a function of the interface's number that raises if nothing is
served there.
"""

import os
import pathlib
import socket
import subprocess
import sys
import threading

import fastsock
from fastsock._serve import HandlerServer

from tests.networks._namespaces import NotPermitted, enter, ip

HOST = "fe80::1"
LINK = "v0"
TIMEOUT_S = 20.0


def ask(connection):
    with connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendall(b"hello")
        assert connection.recv(5) == b"HELLO"


def served(server, connect):
    """Ask a server by connect(port)."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            ask(connect(server.addresses[0][1]))
        finally:
            server.shutdown()
            thread.join(TIMEOUT_S)


def plain(port):
    """A client of the stdlib's."""
    client = socket.socket(socket.AF_INET6)
    client.settimeout(TIMEOUT_S)
    client.connect((HOST, port, 0, socket.if_nametoindex(LINK)))
    return client


def upper(address):
    return HandlerServer(bytes.upper, address)


def by_number(scope_id):
    served(upper((HOST, 0, 0, scope_id)), plain)


def by_name(scope_id):
    served(upper((f"{HOST}%{LINK}", 0)), plain)
    served(upper((f"{HOST}%{scope_id}", 0, 0)), plain)


def in_a_list(scope_id):
    with upper([("127.0.0.1", 0), (HOST, 0, 0, scope_id)]) as server:
        assert server.addresses[1] == (HOST, server.addresses[1][1], 0, scope_id)


def in_workers(scope_id):
    def ready(addresses):
        def client():
            ask(plain(addresses[0][1]))
            os.kill(os.getpid(), 15)
        threading.Thread(target=client).start()

    fastsock.serve(bytes.upper, (HOST, 0, 0, scope_id), workers=2, on_ready=ready)


def as_a_relay(scope_id):
    for target in (lambda port: (HOST, port, 0, scope_id), lambda port: (f"{HOST}%{LINK}", port)):
        with upper((HOST, 0, 0, scope_id)) as behind:
            thread = threading.Thread(target=behind.serve_forever)
            thread.start()
            served(fastsock.Relay((HOST, 0, 0, scope_id), target(behind.addresses[0][1])), plain)
            behind.shutdown()
            thread.join(TIMEOUT_S)


def as_a_client(scope_id):
    for race in ({}, {"happy_eyeballs_delay": 5}, {"total_timeout": TIMEOUT_S}):
        for source in (None, (HOST, 0, 0, scope_id), (f"{HOST}%{LINK}", 0)):
            for host, *complete in ((HOST, 0, scope_id), (f"{HOST}%{LINK}",)):
                def connect(port):
                    client = fastsock.create_connection(
                        (host, port, *complete), TIMEOUT_S, source, **race)
                    assert client.getpeername() == (HOST, port, 0, scope_id)
                    assert source is None or client.getsockname()[3] == scope_id
                    return client
                served(upper((HOST, 0, 0, scope_id)), connect)


def on_the_command_line(scope_id):
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "fastsock", "serve", "echo", "--listen",
         f"[{HOST}%{LINK}]:0"], stdout=subprocess.PIPE, text=True)
    try:
        text = process.stdout.readline().strip()
        start = f"listening on [{HOST}%{LINK}]:"
        assert text.startswith(start), text
        with plain(int(text.removeprefix(start))) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)


WAYS = {way.__name__: way for way in (by_number, by_name, in_a_list, in_workers, as_a_relay,
                                      as_a_client, on_the_command_line)}


def main():
    try:
        enter()
        ip(f"link add {LINK} type veth peer name v1", f"addr add {HOST}/64 dev {LINK} nodad",
           f"link set {LINK} up", "link set v1 up")
    except (NotPermitted, subprocess.CalledProcessError) as error:
        print(error)
        return 77
    if not pathlib.Path("/proc/net/if_inet6").exists():
        print("no IPv6 here")
        return 77
    WAYS[sys.argv[1]](socket.if_nametoindex(LINK))
    return 0


if __name__ == "__main__":
    sys.exit(main())
