"""Send lines to an echo server and check that they come back as they went.

Terminal 1:  python echo_server_threads.py --port 4242
Terminal 2:  python echo_client.py --port 4242 --message hello
         or  python echo_client.py --port 4242 < some_file

Exit status: 0 if all came back, 1 if not.
"""

import argparse
import sys

import fastsock as socket

# Of a longer line this much goes at a time and is awaited. To send without reading
# could fill the buffers of both directions, and then both sides would wait for ever.
PIECE = 16 * 1024


def receive_exactly(connection, size):
    """The next `size` bytes: one recv() may return fewer."""
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the server closed the connection before the echo's end")
        data += piece
    return bytes(data)


def echo(connection, line):
    for start in range(0, len(line), PIECE):
        piece = line[start:start + PIECE]
        connection.sendall(piece)
        answer = receive_exactly(connection, len(piece))
        if answer != piece:
            raise ConnectionError(f"sent {piece[:40]!r}, and {answer[:40]!r} came back")


def main():
    parser = argparse.ArgumentParser(description="check an echo server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4242)
    parser.add_argument("--message", help="send this line instead of standard input's")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds")
    args = parser.parse_args()
    lines = sys.stdin.buffer if args.message is None else [args.message.encode() + b"\n"]
    count = size = 0
    with socket.create_connection((args.host, args.port), args.timeout) as connection:
        for line in lines:
            echo(connection, line)
            count += 1
            size += len(line)
        connection.shutdown(socket.SHUT_WR)
        if connection.recv(1):
            raise ConnectionError("the server sent more than it was sent")
    print(f"{count} lines, {size} bytes came back", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"echo client: {error}")
