"""Signals during a call that waits (PEP 475): handlers run, and the call goes on.

A timer sends signals for as long as the call takes. What the call waits for is
done by the handler, so that a call which returned too early would be seen. No
assertion is about time: a timeout that a signal extends would never come.
"""

import contextlib
import errno
import os
import select
import signal
import sys
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S

INTERVAL_S = 0.002
ENOUGH = 4  # signals before the handler acts
TOO_MANY = int(TIMEOUT_S / INTERVAL_S)

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signal handlers run in the main thread only")

requires_linux = pytest.mark.skipif(sys.platform != "linux",
                                    reason="how Linux treats a full backlog")


class Interrupted(Exception):
    """What a handler raises."""


class Signals:
    """Signals at an interval; the handler runs `action` with the count of them."""

    def __init__(self, action=None):
        self.count = 0
        self.action = action
        self.is_acting = False

    def handle(self, number, frame):
        if self.is_acting:
            return  # this one came into an action, whose parts must not change places
        self.count += 1
        if self.count > TOO_MANY:
            raise AssertionError("the call goes on for ever")
        if self.action is not None:
            self.is_acting = True
            try:
                self.action(self.count)
            finally:
                self.is_acting = False


@contextlib.contextmanager
def signals(action=None):
    found = Signals(action)
    before = signal.signal(signal.SIGALRM, found.handle)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL_S, INTERVAL_S)
    try:
        yield found
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fill(sock):
    timeout = sock.gettimeout()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            sock.send(bytes(65536))
    sock.settimeout(timeout)


def drain(sock):
    """Read what is there; how many bytes."""
    total = 0
    with contextlib.suppress(BlockingIOError):
        while data := sock.recv(1 << 20):
            total += len(data)
    return total


def raise_interrupted(count):
    if count == ENOUGH:
        raise Interrupted


RECEIVERS = {
    "recv": lambda sock: sock.recv(9),
    "recv_into": lambda sock: fill_from(sock.recv_into),
    "recvfrom": lambda sock: sock.recvfrom(9)[0],
    "recvfrom_into": lambda sock: fill_from(lambda buffer: sock.recvfrom_into(buffer)[0]),
    "recvmsg": lambda sock: sock.recvmsg(9)[0],
    "recvmsg_into": lambda sock: fill_from(lambda buffer: sock.recvmsg_into([buffer])[0]),
}

SENDERS = {
    "send": lambda sock: sock.send(b"last"),
    "sendall": lambda sock: sock.sendall(b"last"),
    "sendmsg": lambda sock: sock.sendmsg([b"la", b"st"]),
}


def fill_from(receive):
    buffer = bytearray(9)
    return bytes(buffer[:receive(buffer)])


blocking_and_not = pytest.mark.parametrize("timeout", [None, TIMEOUT_S])


# -- the call goes on ------------------------------------------------------------

@blocking_and_not
@pytest.mark.parametrize("name", RECEIVERS)
def test_receiving_goes_on(pair, name, timeout):
    a, b = pair
    a.settimeout(timeout)
    with signals(lambda count: b.send(b"x") if count == ENOUGH else None) as sent:
        assert RECEIVERS[name](a) == b"x"
    assert sent.count >= ENOUGH


@blocking_and_not
@pytest.mark.parametrize("name", SENDERS)
def test_sending_goes_on(pair, name, timeout):
    a, b = pair
    a.settimeout(timeout)
    b.setblocking(False)
    fill(a)
    with signals(lambda count: drain(b) if count == ENOUGH else None) as sent:
        assert SENDERS[name](a) in (4, None)
    assert sent.count >= ENOUGH
    assert b.recv(99) == b"last"


@blocking_and_not
def test_sendto_goes_on(socket, tmp_path, monkeypatch, timeout):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as a, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as b:
        b.bind("b")
        b.setblocking(False)
        # So small that it is the own buffer which is full, and not the peer's queue:
        # poll(2) knows nothing of the latter.
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        a.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                a.sendto(bytes(2000), "b")
        a.settimeout(timeout)
        with signals(lambda count: drain(b) if count == ENOUGH else None) as sent:
            assert a.sendto(b"last", "b") == 4
        assert sent.count >= ENOUGH
        assert b.recv(99) == b"last"


@blocking_and_not
def test_sendall_of_much_loses_nothing(pair, timeout):
    a, b = pair
    a.settimeout(timeout)
    b.setblocking(False)
    data = b"".join(number.to_bytes(4, "big") for number in range(1 << 18))
    received = bytearray()

    def read_some(count):
        with contextlib.suppress(BlockingIOError):
            received.extend(b.recv(200_000))

    with signals(read_some) as sent:
        assert a.sendall(data) is None
    while len(received) < len(data):
        received.extend(b.recv(1 << 20))
    assert sent.count > 1
    assert received == data


@blocking_and_not
def test_waitall_goes_on_for_what_is_left(socket, pair, timeout):
    # With MSG_WAITALL an interrupted call has data already, and returns it.
    a, b = pair
    a.settimeout(timeout)
    with signals(lambda count: b.send(b"x")) as sent:
        data = a.recv(3, socket.MSG_WAITALL)
    assert 1 <= len(data) <= 3 and set(data) == set(b"x")
    assert sent.count >= 1


@blocking_and_not
def test_accept_goes_on(socket, listener, timeout):
    listener.settimeout(timeout)
    with socket.socket() as client:
        client.setblocking(False)

        def connect(count):
            if count == ENOUGH:
                client.connect_ex(listener.getsockname())

        with signals(connect) as sent:
            accepted, address = listener.accept()
        with accepted:
            assert address == client.getsockname()
    assert sent.count >= ENOUGH


@requires_linux
@pytest.mark.parametrize("method, timeout", [("connect", None), ("connect_ex", TIMEOUT_S)])
def test_connect_goes_on(socket, method, timeout):
    # The backlog is full until the handler accepts; the kernel then tries again.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, \
            socket.create_connection(listener.getsockname(), TIMEOUT_S), \
            socket.socket() as sock:
        listener.setblocking(False)
        sock.settimeout(timeout)

        def make_room(count):
            if count == ENOUGH:
                listener.accept()[0].close()

        with signals(make_room) as sent:
            assert getattr(sock, method)(listener.getsockname()) in (None, 0)
        assert sent.count >= ENOUGH
        assert sock.getpeername() == listener.getsockname()


# -- the handler's exception wins --------------------------------------------------

@blocking_and_not
@pytest.mark.parametrize("name", RECEIVERS)
def test_an_exception_ends_receiving(pair, name, timeout):
    a, b = pair
    a.settimeout(timeout)
    with signals(raise_interrupted) as sent, pytest.raises(Interrupted):
        RECEIVERS[name](a)
    assert sent.count >= ENOUGH
    b.send(b"x")
    assert RECEIVERS[name](a) == b"x"


@blocking_and_not
@pytest.mark.parametrize("name", SENDERS)
def test_an_exception_ends_sending(pair, name, timeout):
    a, b = pair
    a.settimeout(timeout)
    b.setblocking(False)
    fill(a)
    with signals(raise_interrupted), pytest.raises(Interrupted):
        SENDERS[name](a)
    drain(b)
    assert SENDERS[name](a) in (4, None)
    assert b.recv(99) == b"last"


@blocking_and_not
def test_an_exception_ends_sendall_between_two_parts(pair, timeout):
    # Every signal finds the call with a part of the data gone: it must not go on
    # to the end before the handler is heard.
    a, b = pair
    a.settimeout(timeout)
    b.setblocking(False)

    def read_some(count):
        drain(b)
        if count == ENOUGH:
            raise Interrupted

    with signals(read_some), pytest.raises(Interrupted):
        a.sendall(bytes(1 << 28))


@blocking_and_not
def test_an_exception_ends_accept(listener, timeout):
    listener.settimeout(timeout)
    with signals(raise_interrupted), pytest.raises(Interrupted):
        listener.accept()


@requires_linux
@blocking_and_not
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_an_exception_ends_connect(socket, method, timeout):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, \
            socket.create_connection(listener.getsockname(), TIMEOUT_S), \
            socket.socket() as sock:
        sock.settimeout(timeout)
        with signals(raise_interrupted), pytest.raises(Interrupted):
            getattr(sock, method)(listener.getsockname())


@requires_linux
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_an_exception_ends_connect_to_a_unix_socket(socket, tmp_path, monkeypatch, method):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first, \
            socket.socket(socket.AF_UNIX) as sock:
        listener.bind("listener")
        listener.listen(0)
        first.connect("listener")
        with signals(raise_interrupted) as sent, pytest.raises(Interrupted):
            # One signal ends the wait for the backlog; what follows an attempt that
            # was interrupted is the same for both implementations.
            while True:
                assert getattr(sock, method)("listener") in (None, 0)
        assert sent.count >= ENOUGH


@requires_linux
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_signal_ends_a_connect_that_should_not_have_waited(socket, tmp_path, monkeypatch, method):
    """A dup made the file of a non-blocking socket blocking: there is nothing to go on with."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first, \
            socket.socket(socket.AF_UNIX) as sock:
        listener.bind("listener")
        listener.listen(0)
        first.connect("listener")
        sock.setblocking(False)
        os.set_blocking(sock.fileno(), True)
        with signals() as sent:
            if method == "connect":
                with pytest.raises(InterruptedError):
                    sock.connect("listener")
            else:
                assert sock.connect_ex("listener") == errno.EINTR
        assert sent.count >= 1


@pytest.mark.parametrize("is_bytes", [True, False])
def test_a_handler_that_sends_many_while_many_are_sent(is_bytes):
    """What is copied together has memory that is lent once: the inner call does without."""
    pieces = [b"%03d" % number for number in range(1000)]
    wanted = b"".join(pieces)
    given = pieces if is_bytes else [bytearray(piece) for piece in pieces]
    a, b = fastsock.socketpair()
    inner, theirs = fastsock.socketpair()
    received = []

    def send_too(count):
        if count == ENOUGH:
            inner.sendmsg_all(given)
            received.append(theirs.recv_exactly(len(wanted)))
            drain(b)

    with a, b, inner, theirs:
        b.setblocking(False)
        fill(a)
        with signals(send_too):
            a.sendmsg_all(given)
        assert received == [wanted]
        b.settimeout(TIMEOUT_S)
        assert b.recv_exactly(len(wanted)) == wanted


def test_buffers_are_given_back(pair):
    a, b = pair
    buffer = bytearray(9)
    for call in (lambda: a.recv_into(buffer), lambda: a.recvfrom_into(buffer),
                 lambda: a.recvmsg_into([buffer])):
        with signals(raise_interrupted), pytest.raises(Interrupted):
            call()
        buffer.append(0)
    fill(a)
    for call in (lambda: a.send(buffer), lambda: a.sendall(buffer),
                 lambda: a.sendmsg([buffer])):
        with signals(raise_interrupted), pytest.raises(Interrupted):
            call()
        buffer.append(0)


# -- timeouts --------------------------------------------------------------------

@pytest.mark.parametrize("name", RECEIVERS)
def test_receiving_times_out_all_the_same(pair, name):
    a, _ = pair
    a.settimeout(0.03)
    with signals() as sent, pytest.raises(TimeoutError):
        RECEIVERS[name](a)
    assert sent.count > 0


@pytest.mark.parametrize("name", SENDERS)
def test_sending_times_out_all_the_same(pair, name):
    a, _ = pair
    fill(a)
    a.settimeout(0.03)
    with signals() as sent, pytest.raises(TimeoutError):
        SENDERS[name](a)
    assert sent.count > 0


def test_sendall_of_much_times_out_all_the_same(pair):
    # The handler reads a little each time, so that no single wait is long.
    a, b = pair
    b.setblocking(False)
    a.settimeout(0.05)

    def read_a_little(count):
        with contextlib.suppress(BlockingIOError):
            b.recv(4096)

    with signals(read_a_little) as sent, pytest.raises(TimeoutError):
        a.sendall(bytes(1 << 28))
    assert sent.count > 0


def test_accept_times_out_all_the_same(listener):
    listener.settimeout(0.03)
    with signals() as sent, pytest.raises(TimeoutError):
        listener.accept()
    assert sent.count > 0


@requires_linux
def test_connect_times_out_all_the_same(socket):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, \
            socket.create_connection(listener.getsockname(), TIMEOUT_S):
        with socket.socket() as sock, signals() as sent:
            sock.settimeout(0.03)
            with pytest.raises(TimeoutError):
                sock.connect(listener.getsockname())
        assert sent.count > 0
        with socket.socket() as sock, signals() as sent:
            sock.settimeout(0.03)
            assert sock.connect_ex(listener.getsockname()) != 0
        assert sent.count > 0


# -- what a handler may do -----------------------------------------------------------

@blocking_and_not
@pytest.mark.parametrize("name", RECEIVERS)
def test_a_handler_that_closes_the_socket(pair, name, timeout):
    # The descriptor's number may be somebody else's by then: it is not used again.
    a, _ = pair
    a.settimeout(timeout)
    with signals(lambda count: a.close() if count == ENOUGH else None), \
            pytest.raises(OSError, match="Bad file descriptor"):
        RECEIVERS[name](a)


@blocking_and_not
def test_a_handler_that_closes_a_listener(listener, timeout):
    listener.settimeout(timeout)
    with signals(lambda count: listener.close() if count == ENOUGH else None), \
            pytest.raises(OSError, match="Bad file descriptor"):
        listener.accept()


@blocking_and_not
def test_a_handler_that_receives_from_the_same_socket(pair, timeout):
    a, b = pair
    a.settimeout(timeout)
    inside = []

    def receive(count):
        if count == ENOUGH:
            b.send(b"inside")
            inside.append(a.recv(99))
        elif count == 2 * ENOUGH:
            b.send(b"outside")

    with signals(receive):
        assert a.recv(99) == b"outside"
    assert inside == [b"inside"]


def test_signals_do_not_disturb_what_is_ready(pair):
    a, b = pair
    with signals() as sent:
        rounds = 0
        while sent.count < 20:
            a.sendall(b"ping")
            assert b.recv(4) == b"ping"
            rounds += 1
    assert rounds > 0 and select.select([a, b], [], [], 0)[0] == []
