"""How a process ends while loops run: the programs of `_ends.py`.

    python _endings.py NAME WHICH

Rules: daemon threads are in a call, or make one after the other, when the main thread ends
the interpreter. A program prints a line before it ends; what is measured begins there.
"""

import asyncio
import atexit
import itertools
import os
import signal
import sys
import threading
import time

import fastsock
from fastsock._serve import BatchServer, HandlerServer
from fastsock.framing import Lines

from tests.stress._loops import RECEIVERS, SENDERS
from tests.stress._peers import sleeps

ANYWHERE = ("127.0.0.1", 0)

#: What must not be collected before the interpreter ends.
KEPT = []


def daemon(function, *arguments):
    def run():
        try:
            function(*arguments)
        except OSError:
            pass  # closed at the end

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    KEPT.append(thread)
    return thread


def until_they_sleep():
    for thread in KEPT:
        while thread.is_alive() and not sleeps(thread.native_id):
            os.sched_yield()


def pairs():
    """Connected sockets, without end, the first of each with this timeout or that."""
    for timeout in itertools.cycle((None, 20)):
        a, b = fastsock.socketpair()
        a.settimeout(timeout)
        KEPT_SOCKETS.extend((a, b))
        yield a, b


KEPT_SOCKETS = []


def waiting_receivers():
    for (name, receiver), (a, _) in zip(RECEIVERS.items(), pairs()):
        daemon(receiver.make(a))
    until_they_sleep()


def waiting_senders():
    data = b"x" * 10_000_000
    for (name, sender), (a, _) in zip(SENDERS.items(), pairs()):
        send = sender.make(a)
        daemon(lambda send=send: [send(data) for _ in range(9)])
    until_they_sleep()


def waiting_others():
    """accept, accept_many, relay, datagrams."""
    made = pairs()
    for method in "accept", "accept_many":
        for timeout in None, 20:
            listener = fastsock.create_server(ANYWHERE)
            listener.settimeout(timeout)
            KEPT_SOCKETS.append(listener)
            daemon(getattr(listener, method))
    daemon(fastsock.relay, next(made)[0], next(made)[0])
    for timeout in None, 20:
        sock = fastsock.socket(fastsock.AF_INET, fastsock.SOCK_DGRAM)
        sock.bind(ANYWHERE)
        sock.settimeout(timeout)
        KEPT_SOCKETS.append(sock)
        daemon(sock.recvmmsg, 8)
        daemon(sock.recvmmsg_into, fastsock.DatagramBatch(8))
    until_they_sleep()


def talk(a, b):
    while True:
        a.sendall(b"x" * 3000)
        b.recv_exactly(3000)


def talk_by_streams(a, b):
    ours, theirs = (fastsock.Stream(sock, framing=Lines()) for sock in (a, b))
    while True:
        ours.send_messages([b"one", b"two"])
        ours.flush()
        theirs.recv_messages()


def connect_and_go(address):
    while True:
        fastsock.create_connection(address).close()


def busy():
    """Threads that never sleep for long."""
    made = pairs()
    for function in talk, talk_by_streams, talk:
        a, b = next(made)
        a.settimeout(None if function is talk else 20)
        daemon(function, a, b)
    server = fastsock.Server(Echo, ANYWHERE)
    KEPT_SOCKETS.append(server)
    daemon(server.serve_forever)
    daemon(connect_and_go, server.addresses[0])
    time.sleep(0.03)  # not to make a race pass: so that it meets them anywhere


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


def same(data):
    return data


def serving():
    """Servers and a Relay in daemon threads, with connections, by epoll and poll."""
    for use_poll in False, True:
        server = fastsock.Server(Echo, ANYWHERE, use_poll=use_poll)
        for one in (server, HandlerServer(same, ANYWHERE, framing=Lines(), use_poll=use_poll),
                    BatchServer(list, ANYWHERE, use_poll=use_poll),
                    fastsock.Relay(ANYWHERE, server.addresses[0], use_poll=use_poll)):
            KEPT_SOCKETS.append(one)
            daemon(one.serve_forever)
            client = fastsock.create_connection(one.addresses[0], 20)
            KEPT_SOCKETS.append(client)
            client.sendall(b"hello\n")
            assert client.recv_exactly(6) == b"hello\n"
    until_they_sleep()


def exiting_in_a_loop():
    """sys.exit() in a callback of the main thread's loop, with the server left as it is."""
    class Exit(Echo):
        def data_received(self, data):
            print("ends", flush=True)
            sys.exit(0)

    server = fastsock.Server(Exit, ANYWHERE)
    KEPT_SOCKETS.append(server)
    client = fastsock.create_connection(server.addresses[0], 20)
    KEPT_SOCKETS.append(client)
    client.sendall(b"exit")
    server.serve_forever()


def exiting_by_a_signal():
    """sys.exit() in a signal handler, while the main thread waits in a receive."""
    a, b = fastsock.socketpair()
    KEPT_SOCKETS.extend((a, b))

    def end(number, frame):
        print("ends", flush=True)
        sys.exit(0)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    fastsock.Stream(a).readexactly(10)


def using_at_exit():
    """atexit handlers that connect, ask a server in a daemon thread, and shut it down."""
    server = fastsock.Server(Echo, ANYWHERE)
    thread = daemon(server.serve_forever)

    def ask():
        with fastsock.create_connection(server.addresses[0], 20) as client:
            client.sendall(b"the last")
            assert client.recv_exactly(8) == b"the last"
        a, b = fastsock.socketpair()
        with a, b:
            fastsock.Stream(a).write(b"")
            a.sendall(b"x")
            assert fastsock.Stream(b).readexactly(1) == b"x"
        server.close()
        thread.join(20)
        print("asked", flush=True)

    atexit.register(ask)


class AtTheEnd:
    """Uses sockets when it is collected, which is when the interpreter takes itself apart."""

    def __init__(self):
        self.a, self.b = fastsock.socketpair()
        self.stream = fastsock.Stream(self.b)

    def __del__(self):
        self.a.sendall(b"x")
        self.stream.readexactly(1)
        self.a.close()
        self.stream.close()


def using_in_finalizers():
    KEPT.append(AtTheEnd())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("ends", flush=True)
    if sys.argv[2:] == ["exit"]:
        sys.exit(0)
