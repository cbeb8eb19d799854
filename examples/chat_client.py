"""Chat with all who are connected to the same chat_server.py.

Terminal 1:  python chat_server.py --port 4243
Terminals 2, 3, ...:  python chat_client.py ada --port 4243

Standard input and the socket are waited for at the same time. The end of the input
(Ctrl-D) leaves the room, after what the server still had for us.
"""

import argparse
import os
import selectors
import sys

import fastsock as socket

STDIN = 0


def send_input(connection, selector):
    """Send what was typed; at its end, tell the server that no more will come."""
    # os.read, since sys.stdin would keep lines in its buffer where no selector sees them.
    data = os.read(STDIN, 65536)
    if data:
        connection.sendall(data)
    else:
        selector.unregister(STDIN)
        connection.shutdown(socket.SHUT_WR)


def chat(connection, name):
    """Relay both ways; True if it was us who left."""
    connection.sendall(name.encode() + b"\n")
    # select() because epoll refuses a standard input that is a file.
    with selectors.SelectSelector() as selector:
        selector.register(STDIN, selectors.EVENT_READ)
        selector.register(connection, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == STDIN:
                    send_input(connection, selector)
                elif data := connection.recv(65536):
                    # As bytes: a piece may end in the middle of a character.
                    sys.stdout.buffer.write(data)
                    sys.stdout.buffer.flush()
                else:
                    return STDIN not in selector.get_map()


def main():
    parser = argparse.ArgumentParser(description="chat through chat_server.py")
    parser.add_argument("name", help="how the others see you")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4243)
    args = parser.parse_args()
    with socket.create_connection((args.host, args.port), timeout=10) as connection:
        connection.settimeout(None)  # people may be silent for long
        if not chat(connection, args.name):
            sys.exit("chat client: the server closed the connection")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"chat client: {error}")
