"""Send and receive a marker by every method of an SSLSocket: PORT CA-FILE IMPLEMENTATION.

Each method gets a connection of its own to a server that greets with a line. Prints
as JSON, in order, what each did: the bytes that came, or the exception.
"""

import io
import json
import os
import socket
import ssl
import sys
import tempfile

port, authority, implementation = sys.argv[1:]
MARKER = b"PASSWORD-IN-CLEAR"
GREETING = b"PASSWORD-IN-CLEAR of the server\n"
address = ("127.0.0.1", int(port))
context = ssl.create_default_context(cafile=authority)

if implementation == "fastsock":
    import fastsock
    assert fastsock.socket in ssl.SSLSocket.__mro__
    assert socket.socket is fastsock.socket
else:
    assert "fastsock" not in sys.modules


def connected(how="create_connection"):
    if how == "create_connection":
        plain = socket.create_connection(address, timeout=20)
        return context.wrap_socket(plain, server_hostname="localhost")
    secure = context.wrap_socket(socket.socket(), server_hostname="localhost",
                                 do_handshake_on_connect=how != "later handshake")
    secure.settimeout(20)
    if how == "connect_ex":
        assert secure.connect_ex(address) == 0
    else:
        secure.connect(address)
    return secure


def receive_greeting(sock):
    received = b""
    while len(received) < len(GREETING):
        received += sock.recv(100)
    return received


def write_file(sock, *arguments, **keywords):
    with sock.makefile(*arguments, **keywords) as file:
        file.write(MARKER.decode() if "b" not in arguments[0] else MARKER)


def write_large(sock):
    with sock.makefile("wb") as file:
        file.write(MARKER * 10_000)


def sendfile(sock, *arguments):
    with tempfile.TemporaryFile() as file:
        file.write(MARKER * 3)
        file.seek(0)
        return sock.sendfile(file, *arguments)


def sendfile_of_path(sock):
    with tempfile.NamedTemporaryFile() as file:
        file.write(MARKER * 10_000)
        file.flush()
        with open(file.name, "rb", buffering=0) as again:
            return sock.sendfile(again)


SENDING = {
    "send": lambda sock: sock.send(MARKER),
    "send, memoryview": lambda sock: sock.send(memoryview(MARKER)),
    "send with flags": lambda sock: sock.send(MARKER, socket.MSG_DONTWAIT),
    "sendall": lambda sock: sock.sendall(MARKER),
    "sendall, large": lambda sock: sock.sendall(MARKER * 100_000),
    "sendall with flags": lambda sock: sock.sendall(MARKER, socket.MSG_NOSIGNAL),
    "sendto": lambda sock: sock.sendto(MARKER, address),
    "sendto with flags": lambda sock: sock.sendto(MARKER, 0, address),
    "sendmsg": lambda sock: sock.sendmsg([MARKER]),
    "sendmsg, two buffers": lambda sock: sock.sendmsg([MARKER[:4], MARKER[4:]], [], 0),
    "send_fds": lambda sock: socket.send_fds(sock, [MARKER], [0]),
    "sendfile": sendfile,
    "sendfile from an offset": lambda sock: sendfile(sock, len(MARKER), len(MARKER)),
    "sendfile, unbuffered": sendfile_of_path,
    "sendfile of BytesIO": lambda sock: sock.sendfile(io.BytesIO(MARKER)),
    "write": lambda sock: sock.write(MARKER),
    "makefile wb": lambda sock: write_file(sock, "wb"),
    "makefile wb, large": write_large,
    "makefile wb, unbuffered": lambda sock: write_file(sock, "wb", buffering=0),
    "makefile rwb": lambda sock: write_file(sock, "rwb"),
    "makefile w": lambda sock: write_file(sock, "w", encoding="ascii"),
}


def into(sock, method, *arguments):
    room = bytearray(100)
    count = getattr(sock, method)(room, *arguments)
    count = count[0] if isinstance(count, tuple) else count
    return bytes(room[:count])


def msg_into(sock):
    room = bytearray(100)
    return bytes(room[:sock.recvmsg_into([room])[0]])


def read_file(sock, mode, method):
    with sock.makefile(mode) as file:
        return getattr(file, method)(*([len(GREETING)] if method != "readline" else []))


RECEIVING = {
    "recv": lambda sock: sock.recv(100),
    "recv with flags": lambda sock: sock.recv(100, socket.MSG_PEEK),
    "recv_into": lambda sock: into(sock, "recv_into"),
    "recv_into, size": lambda sock: into(sock, "recv_into", 8),
    "recv_into with flags": lambda sock: into(sock, "recv_into", 8, socket.MSG_PEEK),
    "recvfrom": lambda sock: sock.recvfrom(100),
    "recvfrom_into": lambda sock: into(sock, "recvfrom_into"),
    "recvmsg": lambda sock: sock.recvmsg(100),
    "recvmsg_into": msg_into,
    "recv_fds": lambda sock: socket.recv_fds(sock, 100, 1),
    "read": lambda sock: sock.read(100),
    "read into": lambda sock: (lambda room: (sock.read(10, room), bytes(room)))(
        bytearray(10)),
    "makefile rb": lambda sock: read_file(sock, "rb", "read"),
    "makefile rb, line": lambda sock: read_file(sock, "rb", "readline"),
    "makefile r, line": lambda sock: read_file(sock, "r", "readline"),
    "makefile rwb, read1": lambda sock: read_file(sock, "rwb", "read1"),
}

CONNECTING = ["create_connection", "connect", "connect_ex", "later handshake"]


def outcome(action, sock):
    try:
        return repr(action(sock))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def finish(sock):
    """End the connection when the server has all of it."""
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(1000):
        pass


result = []
for how in CONNECTING:
    with connected(how) as sock:
        assert receive_greeting(sock) == GREETING
        result.append([how, outcome(SENDING["sendall"], sock)])
        finish(sock)
for name, action in SENDING.items():
    with connected() as sock:
        assert receive_greeting(sock) == GREETING
        result.append([name, outcome(action, sock)])
        finish(sock)
for name, action in RECEIVING.items():
    with connected() as sock:
        result.append([name, outcome(action, sock)])
        os.set_inheritable(sock.fileno(), False)  # a valid fd still: nothing was detached
        sock.setblocking(True)
        finish(sock)
print(json.dumps(result))
