"""Signal handlers that raise inside a class's own recv or send, once it has moved data.

How much it moved is not known then: nothing is sent twice, and nothing is skipped silently.
"""

import contextlib
import functools
import signal
import socket as stdlib_socket
import types

import pytest

import fastsock
from fastsock import Stream
from fastsock.framing import Lines
from tests.streams import Interrupted, interruption

ERRORS = [Interrupted, KeyboardInterrupt, TimeoutError, OSError, BlockingIOError]
errors = pytest.mark.parametrize("error", ERRORS)


class Interruptible(fastsock.socket):
    """Each method is interrupted after it has moved data, if `armed`."""
    armed = False

    def interrupt(self):
        if self.armed:
            self.armed = False
            signal.raise_signal(signal.SIGUSR1)

    def recv(self, size, flags=0):
        data = super().recv(size, flags)
        self.interrupt()
        return data

    def send(self, data, flags=0):
        count = super().send(data, flags)
        self.interrupt()
        return count


class InterruptibleInto(Interruptible):
    recv = fastsock.socket.recv

    def recv_into(self, buffer, nbytes=0, flags=0):
        count = super().recv_into(buffer, nbytes, flags)
        self.interrupt()
        return count


def duck(sock):
    """No socket; its methods are Interruptible's."""
    return types.SimpleNamespace(recv=sock.recv, send=sock.send, gettimeout=sock.gettimeout,
                                 close=sock.close, fileno=sock.fileno)


@contextlib.contextmanager
def interruptible(cls=Interruptible):
    a, b = stdlib_socket.socketpair()
    with cls(fileno=a.detach()) as ours, b:
        ours.settimeout(0)
        b.settimeout(0)
        yield ours, b
    assert not ours.armed, "was not interrupted"


class Handlers:
    """Each kind of handler that raises `error`."""

    def __init__(self, error):
        self.error = error

    def bound_method(self, signum, frame):
        raise self.error

    def __call__(self, *arguments):
        raise self.error

    @staticmethod
    def with_partial(error, signum, frame):
        raise error

    def once(self, signum, frame):
        signal.signal(signum, signal.SIG_IGN)
        raise self.error

    def deep(self, signum, frame):
        self.bound_method(signum, None)

    def all(self):
        return {"bound method": self.bound_method, "object": self,
                "partial": functools.partial(self.with_partial, self.error),
                "lambda": lambda *_: (_ for _ in ()).throw(self.error),
                "one that uninstalls itself": self.once, "one that calls another": self.deep}


@contextlib.contextmanager
def handled_by(handler):
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def raising(error):
    return handled_by(Handlers(error("from the handler")).bound_method)


@errors
@pytest.mark.parametrize("make", [lambda sock: sock, duck], ids=["socket", "duck"])
def test_a_stream_sends_nothing_twice(error, make):
    with raising(error), interruptible() as (ours, theirs):
        stream = Stream(make(ours), framing=Lines())
        ours.armed = True
        with pytest.raises(error, match="from the handler"):
            stream.send_message(b"once")
        for _ in range(2):
            with pytest.raises(OSError, match=r"send\(\) was interrupted before.*not known"):
                stream.flush()
        assert theirs.recv(100) == b"once\n"


@pytest.mark.parametrize("kind", Handlers(None).all())
@pytest.mark.parametrize("error", [Interrupted, TimeoutError])
def test_handlers_of_each_kind(kind, error):
    with handled_by(Handlers(error("from the handler")).all()[kind]), \
            interruptible() as (ours, theirs):
        stream = Stream(ours)
        stream.write(b"once")
        ours.armed = True
        with pytest.raises(error, match="from the handler"):
            stream.flush()
        with pytest.raises(OSError, match="was interrupted before"):
            stream.flush()
        assert theirs.recv(100) == b"once"


@errors
def test_sendmsg_all_reports_no_number(error):
    with raising(error), interruptible() as (ours, theirs):
        ours.armed = True
        with pytest.raises(error) as caught:
            ours.sendmsg_all([b"a", b"b"])
        assert caught.value.pieces_accepted == 0 and caught.value.bytes_sent is None
        assert theirs.recv(100) == b"a"


CALLS = {"write": b"a" * 9, "writelines": [b"a" * 9], "send_message": b"a" * 9,
         "send_messages": [b"a" * 9]}


@pytest.mark.parametrize("call", [*CALLS, "flush"])
@errors
def test_a_number_that_is_not_known_is_none(call, error):
    """Also where a part is known to have gone out before; after it, nothing is accepted."""
    class Stingy(Interruptible):
        calls = 0

        def send(self, data, flags=0):
            self.calls += 1
            self.armed = self.calls == 2
            return super().send(data[:3], flags)

    with raising(error), interruptible(Stingy) as (ours, theirs):
        stream = Stream(ours, framing=Lines(), high_water=9)
        given = [CALLS[call]] if call in CALLS else []
        if call in ("write", "flush"):
            stream.write(b"b" * 9)
        with pytest.raises(error, match="from the handler") as caught:
            getattr(stream, call)(*given)
        assert caught.value.bytes_sent is None
        assert getattr(caught.value, "pieces_accepted", 0) == (call not in ("write", "flush"))
        assert len(theirs.recv(100)) == 6
        pending = repr(stream)
        for name, argument in CALLS.items():
            iterator = iter(argument)
            with pytest.raises(OSError, match="was interrupted before") as caught:
                getattr(stream, name)(iterator if type(argument) is list else argument)
            assert (caught.value.pieces_accepted, caught.value.bytes_sent) == (0, 0)
            if type(argument) is list:
                assert [*caught.value.pieces_returned, *iterator] == argument
        with pytest.raises(OSError, match="was interrupted before") as caught:
            stream.flush()
        assert caught.value.bytes_sent == 0
        assert repr(stream) == pending


READS = {
    "read": lambda stream: stream.read(100), "readline": Stream.readline,
    "readexactly": lambda stream: stream.readexactly(4),
    "large": lambda stream: stream.readexactly(100_000),
    "readuntil": Stream.readuntil, "peek": lambda stream: stream.peek(1),
    "readinto": lambda stream: stream.readinto(bytearray(100_000)),
    "recv_message": Stream.recv_message, "recv_messages": Stream.recv_messages,
}


@errors
@pytest.mark.parametrize("cls, name", [(Interruptible, "recv"), (InterruptibleInto, "recv_into")])
def test_a_stream_skips_nothing(error, cls, name):
    for read in READS.values():
        with raising(error), interruptible(cls) as (ours, theirs):
            stream = Stream(ours, framing=Lines())
            theirs.sendall(b"one\n")
            ours.armed = True
            with pytest.raises(error, match="from the handler"):
                read(stream)
            theirs.sendall(b"two\n")
            for again in READS.values():
                with pytest.raises(OSError, match=rf"\.{name}\(\) was interrupted before: how much "
                                   "it received is not known"):
                    again(stream)
            stream.write(b"still sends")
            stream.flush()
            assert theirs.recv(100) == b"still sends"


def test_what_was_buffered_before_can_be_read():
    with raising(TimeoutError), interruptible() as (ours, theirs):
        stream = Stream(ours)
        theirs.sendall(b"one\ntwo\nthr")
        assert stream.readline() == b"one\n"
        ours.armed = True
        theirs.sendall(b"ee\n")
        assert stream.readline() == b"two\n"
        with pytest.raises(TimeoutError):
            stream.readline()
        assert stream.read(100) == b"thr"
        with pytest.raises(OSError, match="not known"):
            stream.read(100)


def test_the_own_errors_of_a_method_lose_nothing():
    """Also those that it raises deep inside, and while another exception is handled."""
    class Full(fastsock.socket):
        def send(self, data, flags=0):
            try:
                raise Interrupted
            except Interrupted:
                self.refuse()

        def recv(self, size, flags=0):
            return self.refuse()

        def refuse(self):
            raise BlockingIOError("not now")

    a, b = stdlib_socket.socketpair()
    with Full(fileno=a.detach()) as sock, b:
        stream = Stream(sock)
        stream.write(b"abc")
        for _ in range(2):
            with pytest.raises(BlockingIOError, match="not now") as caught:
                stream.flush()
            assert caught.value.bytes_sent == 0
            with pytest.raises(BlockingIOError, match="not now"):
                stream.readline()
        with pytest.raises(BlockingIOError, match="not now") as caught:
            sock.recv_exactly(3)
        assert caught.value.partial == b"" and caught.value.partial_is_exact is True


class OwnSend(Interruptible):
    """Its recv is a socket's own."""
    recv = fastsock.socket.recv


def test_an_inherited_recv_is_exact():
    """A handler that raises while it waits ends it before it has received."""
    with interruptible(OwnSend) as (ours, theirs):
        ours.settimeout(None)
        theirs.sendall(b"ab")
        error = Interrupted()
        with interruption(error):
            ours.recv_exactly(4)
        assert error.partial == b"ab" and error.partial_is_exact is True
        stream = Stream(ours)
        with interruption():
            stream.readline()
        theirs.sendall(b"line\n")
        assert stream.readline() == b"line\n"


def exactly(sock, size):
    return sock.recv_exactly(size)


def exactly_into(sock, size):
    return sock.recv_exactly_into(bytearray(size))


@errors
@pytest.mark.parametrize("receive", [exactly, exactly_into])
@pytest.mark.parametrize("cls", [Interruptible, InterruptibleInto])
def test_recv_exactly_reports_that_it_may_have_lost_some(error, receive, cls):
    with raising(error), interruptible(cls) as (ours, theirs):
        theirs.sendall(b"ab")
        with pytest.raises(BlockingIOError) as caught:
            receive(ours, 6)
        assert caught.value.partial == b"ab" and caught.value.partial_is_exact is True
        theirs.sendall(b"cdef")
        ours.armed = True
        with pytest.raises(error) as caught:
            receive(ours, 4)
        assert caught.value.partial == b"" and caught.value.partial_is_exact is False
