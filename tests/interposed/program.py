"""Runs one call with changes of the timeout before and after its first system call: prints
what came of it. Arguments: a module, a call, and two lists of timeouts."""

import ast
import contextlib
import ctypes
import os
import socket as stdlib_socket
import sys

import fastsock

HOOK = ctypes.PYFUNCTYPE(None, ctypes.c_char_p)
DATA = b"the data\n"
SECONDS = 20.0


def into(receive):
    buffer = bytearray(9)
    found = receive(buffer)
    return bytes(buffer[:found if isinstance(found, int) else found[0]])


def by_file(sock):
    with sock.makefile("rb") as file:
        return file.readline()


def accepted(found):
    for connection, _ in found:
        connection.close()
    return len(found)


CALLS = {
    "recv": lambda sock: sock.recv(9),
    "recv_into": lambda sock: into(sock.recv_into),
    "recvfrom": lambda sock: sock.recvfrom(9)[0],
    "recvmsg": lambda sock: sock.recvmsg(9)[0],
    "recvmsg_into": lambda sock: into(lambda buffer: sock.recvmsg_into([buffer])),
    "readline": by_file,
    "recv_exactly": lambda sock: sock.recv_exactly(9),
    "Stream.readline": lambda sock: fastsock.Stream(sock).readline(),
    "send": lambda sock: sock.send(DATA),
    "sendall": lambda sock: sock.sendall(bytes(100_000)),
    "sendmsg": lambda sock: sock.sendmsg([DATA]),
    "sendmsg_all": lambda sock: sock.sendmsg_all([bytes(100_000)]),
    "accept": lambda sock: accepted([sock.accept()]),
    "accept_many": lambda sock: accepted(sock.accept_many()),
}


def filled(sock):
    sock.settimeout(0)
    size = 65536
    while size:
        try:
            sock.send(bytes(size))
        except BlockingIOError:
            size //= 2


def main(module, name, start, before, after):
    module = {"stdlib": stdlib_socket, "fastsock": fastsock}[module]
    before, after, start = map(ast.literal_eval, (before, after, start))
    with contextlib.ExitStack() as opened:
        if name.startswith("accept"):
            sock = opened.enter_context(module.create_server(("127.0.0.1", 0)))
            client = opened.enter_context(stdlib_socket.socket())

            def finish():
                client.connect(sock.getsockname())
        else:
            sock, peer = map(opened.enter_context, module.socketpair())
            peer.settimeout(0)
            if name.startswith("send"):
                filled(sock)

            def finish():
                with contextlib.suppress(BlockingIOError):
                    if name.startswith("send"):
                        while peer.recv(1 << 20):
                            pass
                    else:
                        peer.send(DATA)
        sock.settimeout(start)
        seen = []

        def at_start(_):
            seen.append("call")
            if len(seen) == 1:
                for timeout in before:
                    sock.settimeout(timeout)
            else:
                finish()

        def at_end(_):
            if len(seen) == 1:
                for timeout in after:
                    sock.settimeout(timeout)

        hooks = HOOK(at_start), HOOK(at_end)
        library = ctypes.CDLL(None)
        library.interpose(*hooks)
        try:
            result = CALLS[name](sock)
        except OSError as error:
            result = type(error).__name__
        finally:
            library.interpose(None, None)
        if name.startswith("accept") and len(seen) < 2:
            os.write(2, b"it was not called again\n")
        print(result, len(seen) > 1, sock.gettimeout())


if __name__ == "__main__":
    main(*sys.argv[1:])
