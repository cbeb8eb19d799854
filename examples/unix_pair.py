"""A parent and its forked child talk through a socketpair, and pass an open file.

Terminal 1:  python unix_pair.py "any text" "another"
(A second terminal is not needed: the pair has no address that others could use.)

The child answers each message in capitals; then it writes them into a file without
a name, and hands over the descriptor, by which alone the parent can read it.
"""

import argparse
import os
import struct
import sys
import tempfile

import fastsock as socket

LENGTH = struct.Struct("!I")


def receive_exactly(sock, size):
    """The next `size` bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return bytes(data)


def send_message(sock, text):
    data = text.encode()
    sock.sendall(LENGTH.pack(len(data)) + data)  # a stream has no message boundaries


def receive_message(sock):
    """The next message, or None when the other side has closed."""
    head = receive_exactly(sock, LENGTH.size)
    if not head:
        return None
    if len(head) == LENGTH.size:
        (size,) = LENGTH.unpack(head)
        data = receive_exactly(sock, size)
        if len(data) == size:
            return data.decode()
    raise ConnectionError("the other process ended within a message")


def child(sock):
    with tempfile.TemporaryFile() as file:
        while (text := receive_message(sock)) is not None:
            file.write(text.upper().encode() + b"\n")
            send_message(sock, text.upper())
        file.flush()
        # At least one byte must go with a descriptor. What arrives is a copy of it,
        # open at the same position, and stays open when ours is closed.
        socket.send_fds(sock, [b"F"], [file.fileno()])


def parent(sock, texts):
    for text in texts:
        send_message(sock, text)
        print("child says:", receive_message(sock), flush=True)
    sock.shutdown(socket.SHUT_WR)  # the child reads the end, and can still send
    data, fds, _, _ = socket.recv_fds(sock, 1, 1)
    if data != b"F" or len(fds) != 1:
        raise ConnectionError("the child sent no file")
    with open(fds[0], "rb") as file:
        file.seek(0)
        for line in file:
            print("file holds:", line.decode().rstrip("\n"), flush=True)


def main():
    parser = argparse.ArgumentParser(description="talk to a child by a socketpair")
    parser.add_argument("texts", nargs="*", default=["hello", "good bye"])
    args = parser.parse_args()
    parents, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            parents.close()  # or we would never read the end of the stream
            with childs:
                child(childs)
            status = 0
        finally:
            os._exit(status)  # never return into what the parent goes on with
    childs.close()
    try:
        with parents:
            parent(parents, args.texts)
    finally:
        _, status = os.waitpid(pid, 0)
    print("child ended with", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"unix pair: {error}")
