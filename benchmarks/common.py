"""What several subjects need: the two implementations, connected sockets, and a
partner on the other processor."""

import functools
import os
import socket as stdlib

import fastsock

IMPLEMENTATIONS = {"stdlib": stdlib, "fastsock": fastsock}


def unix_pair(socket, timeout=None):
    pair = socket.socketpair()
    for sock in pair:
        sock.settimeout(timeout)
    return pair


def tcp_pair(socket, timeout=None):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)
        sock.settimeout(timeout)
    return client, server


def pin(processor):
    """Stay on one of two processors: a partner on the same one is woken ten times as
    fast, and which one it gets is the scheduler's luck."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[processor % len(allowed)]})


def on_processor(processor, measured):
    """The variant, on that processor while it runs."""
    @functools.wraps(measured)
    def pinned(count):
        allowed = os.sched_getaffinity(0)
        pin(processor)
        try:
            return measured(count)
        finally:
            os.sched_setaffinity(0, allowed)
    return pinned


def partner(pair, work):
    """A process on the other processor that does `work` on the second socket, until the
    first one, which is returned, is closed."""
    ours, theirs = pair
    if os.fork() == 0:
        ours.close()
        pin(1)
        try:
            work(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return ours
