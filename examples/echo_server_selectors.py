"""An echo server for many clients in one thread, with non-blocking sockets.

Terminal 1:  python echo_server_selectors.py --port 4242
Terminal 2:  python echo_client.py --port 4242 --message hello

What a client does not take is kept for it; beyond LIMIT nothing more is read from
it (back-pressure), so a client that only sends costs a bounded amount of memory.
"""

import argparse
import selectors
import signal
import sys

import fastsock as socket

LIMIT = 256 * 1024  # bytes kept for one client


class Client:
    """A connection and the bytes that it has yet to take."""

    def __init__(self, selector, connection):
        self.selector = selector
        self.connection = connection
        self.unsent = bytearray()
        self.ended = False  # the client has no more to send
        self.events = selectors.EVENT_READ
        selector.register(connection, self.events, self.ready)

    def ready(self, events):
        try:
            if events & selectors.EVENT_READ:
                self.receive()
            if self.unsent:
                self.send()
        except OSError as error:
            print(f"lost a client: {error}", flush=True)
            self.close()
        else:
            self.choose_events()

    def receive(self):
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return  # ready no more: the kernel dropped a bad packet, say
        self.unsent += data
        self.ended = not data

    def send(self):
        try:
            del self.unsent[:self.connection.send(self.unsent)]
        except BlockingIOError:
            pass  # the rest goes when the selector says that there is room

    def choose_events(self):
        """Ask only for what we can act upon, or the selector would spin."""
        events = selectors.EVENT_WRITE if self.unsent else 0
        if not self.ended and len(self.unsent) < LIMIT:
            events |= selectors.EVENT_READ
        if not events:
            self.close()  # all of it read, all of it sent
        elif events != self.events:
            self.events = events
            self.selector.modify(self.connection, events, self.ready)

    def close(self):
        self.selector.unregister(self.connection)
        self.connection.close()


def accept(selector, server):
    try:
        connection, _ = server.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return  # that client is gone already
    connection.setblocking(False)
    Client(selector, connection)


def main():
    parser = argparse.ArgumentParser(description="echo to many clients in one thread")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4242, help="0: any free port")
    args = parser.parse_args()
    with (selectors.DefaultSelector() as selector,
          socket.create_server((args.host, args.port)) as server):
        server.setblocking(False)
        selector.register(server, selectors.EVENT_READ, lambda _: accept(selector, server))
        print("listening on", *server.getsockname(), flush=True)
        while True:
            for key, events in selector.select():
                key.data(events)


if __name__ == "__main__":
    # SIGTERM, as sent by kill and systemd, ends us like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"echo server: {error}")
