"""A chat room: each line of a client goes to all the others, under its name.

Terminal 1:  python chat_server.py --port 4243
Terminals 2, 3, ...:  python chat_client.py ada --port 4243

The protocol is lines of UTF-8, of which the first is the client's name. One thread
serves all; a client that does not read is dropped when too much waits for it.
"""

import argparse
import selectors
import signal
import sys

import fastsock as socket

LONGEST_LINE = 4096  # bytes
LIMIT = 256 * 1024  # bytes kept for one client


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.name = None  # until its first line
        self.received = bytearray()  # an incomplete line
        self.unsent = bytearray()
        self.refused = False  # told why, and no longer listened to


class Room:
    def __init__(self, selector):
        self.selector = selector
        self.clients = set()

    def accept(self, server):
        try:
            connection, _ = server.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # that client is gone already
        connection.setblocking(False)
        client = Client(connection)
        self.clients.add(client)
        self.selector.register(connection, selectors.EVENT_READ, client)

    def ready(self, client, events):
        try:
            if events & selectors.EVENT_WRITE:
                self.send(client)
            if events & selectors.EVENT_READ and client in self.clients:
                self.receive(client)
        except BlockingIOError:
            pass  # ready no more; the selector will tell when it is again
        except OSError:
            self.drop(client)

    def send(self, client):
        del client.unsent[:client.connection.send(client.unsent)]
        if not client.unsent:
            if client.refused:
                # To close with something unread would reset, and lose the reason.
                client.connection.shutdown(socket.SHUT_WR)
            self.selector.modify(client.connection, selectors.EVENT_READ, client)

    def receive(self, client):
        data = client.connection.recv(65536)
        if not data:
            self.drop(client)
            return
        if client.refused:
            return
        *lines, client.received = (client.received + data).split(b"\n")
        for line in lines:
            # Only printable characters: others could command the readers' terminals.
            text = "".join(filter(str.isprintable, line.decode("utf-8", "replace"))).strip()
            if client not in self.clients or client.refused:
                return
            if client.name is None:
                self.enter(client, text)
            elif text:
                self.tell_others(client, f"{client.name}: {text}")
        if client in self.clients and len(client.received) > LONGEST_LINE:
            self.refuse(client, "your line is too long")

    def enter(self, client, name):
        if not name.isalnum() or len(name) > 20:  # no "*" or ":", that look like ours
            self.refuse(client, "a name is 1 to 20 letters and digits")
        elif any(other.name == name for other in self.clients):
            self.refuse(client, f"the name {name} is taken")
        else:
            others = sorted(other.name for other in self.clients if other.name)
            client.name = name
            self.tell(client, f"* welcome {name}; here: {', '.join(others) or 'nobody else'}")
            self.tell_others(client, f"* {name} joined")

    def tell(self, client, text):
        client.unsent += text.encode() + b"\n"
        if len(client.unsent) > LIMIT:
            self.drop(client)
        else:
            wanted = selectors.EVENT_WRITE | (0 if client.refused else selectors.EVENT_READ)
            self.selector.modify(client.connection, wanted, client)

    def tell_others(self, client, text):
        print(text, flush=True)
        for other in list(self.clients):  # a copy, as telling may drop some of them
            if other in self.clients and other is not client and other.name:
                self.tell(other, text)

    def refuse(self, client, reason):
        client.refused = True
        self.tell(client, f"* refused: {reason}")

    def drop(self, client):
        if client in self.clients:
            self.clients.remove(client)
            self.selector.unregister(client.connection)
            client.connection.close()
            if client.name:
                self.tell_others(client, f"* {client.name} left")


def main():
    parser = argparse.ArgumentParser(description="a chat room")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4243, help="0: any free port")
    args = parser.parse_args()
    with (selectors.DefaultSelector() as selector,
          socket.create_server((args.host, args.port)) as server):
        room = Room(selector)
        server.setblocking(False)
        selector.register(server, selectors.EVENT_READ)
        print("listening on", *server.getsockname(), flush=True)
        while True:
            for key, events in selector.select():
                if key.data is None:
                    room.accept(server)
                elif key.data in room.clients:  # not dropped earlier in this round
                    room.ready(key.data, events)


if __name__ == "__main__":
    # SIGTERM, as sent by kill and systemd, ends us like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"chat server: {error}")
