"""A chat room made of serve(): the program of chat_server.py without its sockets.

Terminal 1:  python chat_serve.py --port 4243
Terminals 2, 3, ...:  python chat_client.py ada --port 4243

The protocol is lines of UTF-8, of which the first is the client's name. on_connect and
on_disconnect keep the list of clients; send() tells each of them what another one said.
"""

import argparse

import fastsock

LONGEST_LINE = 4096  # bytes
LIMIT = 256 * 1024  # bytes kept for one client

names = {}  # of each connection; None until its first line


def tell(connection, text):
    connection.send(text.encode())
    if connection.get_write_buffer_size() > LIMIT:
        connection.abort()  # it does not read


def tell_others(speaker, text):
    print(text, flush=True)
    for connection, name in names.items():
        if connection is not speaker and name:
            tell(connection, text)


def on_connect(connection):
    names[connection] = None


def on_disconnect(connection, reason):
    if name := names.pop(connection, None):
        tell_others(connection, f"* {name} left")


def handle(line):
    connection = fastsock.current_connection()
    if connection not in names:
        return  # refused, and told why
    # Only printable characters: others could command the readers' terminals.
    text = "".join(filter(str.isprintable, line.decode("utf-8", "replace"))).strip()
    if names[connection] is None:
        enter(connection, text)
    elif text:
        tell_others(connection, f"{names[connection]}: {text}")


def enter(connection, name):
    if not name.isalnum() or len(name) > 20:  # no "*" or ":", that look like ours
        refuse(connection, "a name is 1 to 20 letters and digits")
    elif name in names.values():
        refuse(connection, f"the name {name} is taken")
    else:
        others = ", ".join(sorted(filter(None, names.values())))
        names[connection] = name
        tell(connection, f"* welcome {name}; here: {others or 'nobody else'}")
        tell_others(connection, f"* {name} joined")


def refuse(connection, reason):
    del names[connection]
    connection.send(f"* refused: {reason}".encode())
    # To close with something unread would reset, and lose the reason.
    connection.write_eof()


def main():
    parser = argparse.ArgumentParser(description="a chat room")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4243, help="0: any free port")
    options = parser.parse_args()
    fastsock.serve(
        handle, (options.host, options.port), grace=0, idle_timeout=None,
        framing=fastsock.framing.Lines(limit=LONGEST_LINE),
        on_connect=on_connect, on_disconnect=on_disconnect,
        on_ready=lambda addresses: print("listening on", *addresses[0], flush=True))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
