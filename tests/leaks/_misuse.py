"""What is refused: each way out of an operation gives back what was taken on the way in.

Rules: every method of a class is called with arguments that can't be right, of a table that is
the same for all, on an object that is open and one that is closed. What comes of it is not
asked here, but that nothing of it stays.
"""

import array
import contextlib
import socket as stdlib_socket
import tempfile

import fastsock
from fastsock import framing, select

from tests.leaks._table import scenario


class Odd:
    """An argument whose conversion raises."""

    def __index__(self):
        raise LookupError

    def fileno(self):
        raise LookupError


class OneThenRaises:
    """A sequence that ends with an exception, after some that were right."""

    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        yield from self.items
        raise LookupError


def arguments():
    """Fresh ones each time: what stays would show as references to them."""
    odd = Odd()
    return [
        (), (None,), (odd,), ("text",), (b"abc",), (-1,), (1 << 70,), (1.5,), ([odd],),
        (b"abc", odd), (b"abc", b"abc", odd), (3, odd), (odd, odd, odd, odd), ([b"a", odd],),
        ([b"a"], [odd]), ([b"a"], [(1, 1, odd)]), ([b"a"], [], 0, odd), ([b"a"], OneThenRaises()),
        (OneThenRaises(b"a", b"b"),), (OneThenRaises((b"a", ("127.0.0.1", 9))),),
        ([(b"a", odd)],), (bytearray(0),), (bytearray(10), 99), (bytearray(10), -1),
        ([bytearray(3), odd],), ([bytearray(3)], -1), ("x", 1), (("127.0.0.1", odd),),
        (("127.0.0.1", 1 << 20),), (("a" * 300, 1),), ("\0" + "x" * 200,),
        (b"x", 1 << 70, ("127.0.0.1", 9)), (b"x", ("127.0.0.1", odd)), (1, 2, odd), (1, 2, None, odd),
        (1, 2, None, 3, odd), (array.array("i", [1, 2]),), (memoryview(b"abcdef")[::2],),
        (memoryview(b"abc"),), (memoryview(bytearray(4)),), (b"", b"", b"", b"", b""),
    ]


#: Not here: they would let others wait, make files, or have something closed by being forgotten.
NOT_HERE = {"settimeout", "setblocking", "bind", "dup", "shutdown", "close", "detach", "makefile"}


def call_all(target):
    for name in dir(type(target)):
        if name.startswith("_") or name in NOT_HERE:
            continue
        method = getattr(target, name, None)
        if not callable(method):
            continue
        for given in arguments():
            # Nothing in here waits: what can be received is there, or refused at once.
            with contextlib.suppress(Exception):
                method(*given)


KINDS = {"stream": ("AF_UNIX", "SOCK_STREAM"), "dgram": ("AF_UNIX", "SOCK_DGRAM")}


@scenario(*KINDS)
def misuse_of_sockets(kind, *, run):
    """Every method of a socket, wrongly; not blocking."""
    a, b = fastsock.socketpair(*(getattr(stdlib_socket, name) for name in KINDS[kind]))
    with a, b, tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for sock in a, b:
            sock.setblocking(False)
        b.send(b"something that can be received")
        call_all(a)
        for given in arguments():
            if given not in [(None,), (-1,)]:  # which are right for one of them
                with contextlib.suppress(Exception):
                    a.settimeout(*given)
            with contextlib.suppress(Exception):
                a.bind(*given)


@scenario("closed", "udp")
def misuse_of_other_sockets(kind, *, run):
    sock = fastsock.socket(type=stdlib_socket.SOCK_DGRAM)
    with sock:
        sock.setblocking(False)
        if kind == "closed":
            sock.close()
        call_all(sock)


@scenario("Lines", "LengthPrefix", "Varint", "Netstring")
def misuse_of_streams(name, *, run):
    """Every method of a Stream, wrongly, and with data that breaks its framing."""
    for data in b"", b"\xff" * 300, b"5:abcde,", b"\x00\x03ab", b"9999999999:", b"a\nb":
        a, b = fastsock.socketpair()
        with b:
            b.send(data or b"x")
            b.shutdown(stdlib_socket.SHUT_WR)
            a.setblocking(False)
            with fastsock.Stream(a, framing=getattr(framing, name)(limit=100), limit=100) as stream:
                call_all(stream)
                with contextlib.suppress(Exception):
                    stream.recv_message()
                with contextlib.suppress(Exception):
                    stream.flush()
                b.setblocking(False)
                with contextlib.suppress(Exception):
                    while b.recv(1 << 16):
                        pass


@scenario("Lines", "LengthPrefix", "Varint", "Netstring", "Fixed")
def misuse_of_framings(name, *, run):
    kind = getattr(framing, name)
    for given in [*arguments(), (b"\r\n",), ("!H",), (5,)]:
        for options in {}, {"limit": Odd()}, {"limit": -1}, {"limit": 5}:
            with contextlib.suppress(Exception):
                made = kind(*given, **options)
                call_all(made)
                with contextlib.suppress(Exception):
                    made.feed(b"1:a,\xff\xff\xff\xff" * 9)


@scenario()
def misuse_of_batches(*, run):
    batch = fastsock.DatagramBatch(3, 50)
    call_all(batch)
    for given in arguments():
        with contextlib.suppress(Exception):
            fastsock.DatagramBatch(*given)
        with contextlib.suppress(Exception):
            batch[0] = given[0]
        with contextlib.suppress(Exception):
            batch[given[0]]


@scenario("epoll", "poll")
def misuse_of_pollers(name, *, run):
    if not hasattr(select, name):
        return
    poller = getattr(select, name)()
    for given in arguments():
        for method in poller.register, poller.modify, poller.unregister:
            if given and isinstance(given[0], int):
                continue  # it may be a file of somebody's
            with contextlib.suppress(Exception):
                method(*given)
        with contextlib.suppress(Exception):
            select.select(*given[:3], 0)
    for timeout in Odd(), "text", 1 << 80, float("nan"):
        with contextlib.suppress(Exception):
            poller.poll(timeout)
    getattr(poller, "close", int)()


@scenario()
def misuse_of_functions(*, run):
    """Those of the module, and constructors. Not create_server(), which in the stdlib, too,
    forgets its socket where bind() raises another exception than OSError."""
    for given in arguments():
        for function in (fastsock.socket, fastsock.socketpair, fastsock.adopt,
                         fastsock.create_connection, fastsock.Stream,
                         fastsock.relay, fastsock.set_busy_poll, fastsock.Server,
                         fastsock.Relay, fastsock.PacketInfo.from_ancillary,
                         fastsock.current_connection, fastsock.inet_aton):
            with contextlib.suppress(Exception):
                made = function(*given)
                for one in made if isinstance(made, tuple) else (made,):
                    getattr(one, "close", int)()
    fastsock.set_busy_poll(0)
