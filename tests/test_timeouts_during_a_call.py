"""settimeout() by a signal handler or another thread while a call waits.

The timeout at the start bounds the call. O_NONBLOCK that a new timeout brings is no result of a
call that blocked; timeout 0 is.
"""

import contextlib
import os
import socket as stdlib_socket
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.interrupting import (
    DATA, FAMILIES, MOMENT_S, RECEIVERS, STREAMS, connected, into, marks, outcome,
    receive_and_change, set_timeouts, spins_after,
)

pytestmark = marks

def read_line(sock):
    with sock.makefile("rb") as file:
        return file.readline()


def in_batch(sock):
    batch = fastsock.DatagramBatch(4)
    sock.recvmmsg_into(batch)
    return bytes(batch[0])


OUR_RECEIVERS = {
    "makefile": read_line,
    "recv_exactly": lambda sock: sock.recv_exactly(9),
    "recv_exactly_into": lambda sock: into(sock.recv_exactly_into),
    "Stream.readline": lambda sock: fastsock.Stream(sock).readline(),
    "recvmmsg": lambda sock: sock.recvmmsg(4)[0][0],
    "recvmmsg_into": in_batch,
}

#: The timeout at the start, those that the handler sets, and what becomes of the call.
CHANGES = [
    (None, [TIMEOUT_S], DATA), (None, [TIMEOUT_S, None], DATA), (None, [0, None], DATA),
    (None, [0, TIMEOUT_S], DATA), (None, [MOMENT_S], DATA), (None, [0], BlockingIOError),
    (TIMEOUT_S, [None], DATA), (TIMEOUT_S, [0], DATA), (TIMEOUT_S, [MOMENT_S], DATA),
    (MOMENT_S, [None], TimeoutError), (MOMENT_S, [TIMEOUT_S], TimeoutError),
    (MOMENT_S, [0], TimeoutError)]
changes = pytest.mark.parametrize("timeout, later, expected", CHANGES, ids=repr)


@changes
@pytest.mark.parametrize("way", RECEIVERS)
def test_settimeout_during_a_receive(socket, way, timeout, later, expected):
    with connected(socket, "unix stream", timeout) as (a, b):
        assert receive_and_change(RECEIVERS[way], a, b, later, expected is DATA) == expected
        assert a.gettimeout() == later[-1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("later", [[TIMEOUT_S], [TIMEOUT_S, None], [0, TIMEOUT_S]], ids=repr)
def test_settimeout_during_a_receive_of_each_family(socket, family, later):
    for receive in RECEIVERS.values():
        with connected(socket, family) as (a, b):
            assert receive_and_change(receive, a, b, later) == DATA


@changes
@pytest.mark.parametrize("way", OUR_RECEIVERS)
def test_settimeout_during_a_receive_beyond_the_stdlibs(way, timeout, later, expected):
    with connected(fastsock, "unix dgram" if "mmsg" in way else "unix stream", timeout) as (a, b):
        found = receive_and_change(OUR_RECEIVERS[way], a, b, later, expected is DATA)
        if way == "makefile" and expected is BlockingIOError:
            expected = b""  # as of the stdlib's: read as None by io.BufferedReader
        assert found == expected


@pytest.mark.parametrize("later", [[TIMEOUT_S], [0]], ids=repr)
def test_settimeout_during_a_read_of_a_file(socket, later):
    with connected(socket, "unix stream") as (a, b):
        expected = DATA if later[-1] else b""
        assert receive_and_change(read_line, a, b, later, expected is DATA) == expected


def test_settimeout_with_another_kind_of_number(socket):
    """Which the stdlib's method converts."""
    class Number(float):
        pass
    with connected(socket, "unix stream") as (a, b):
        for later in [[Number(TIMEOUT_S)], [Number(TIMEOUT_S), None]]:
            assert receive_and_change(RECEIVERS["recv"], a, b, later) == DATA
            a.settimeout(None)


# -- sending ------------------------------------------------------------------------------

BLOCK = b"x" * 300_000
SENDERS = {
    "send": lambda sock, file: sock.send(BLOCK[:9]),
    "sendall": lambda sock, file: sock.sendall(BLOCK),
    "sendmsg": lambda sock, file: sock.sendmsg([BLOCK[:5], BLOCK[:4]]),
    "sendfile": lambda sock, file: sock.sendfile(file),
}
OUR_SENDERS = {
    "sendmsg_all": lambda sock, file: sock.sendmsg_all([BLOCK[:150_000]] * 2),
    "sendmsg_all of many": lambda sock, file: sock.sendmsg_all([BLOCK[:100]] * 3000),
    "Stream.write": lambda sock, file: by_stream(fastsock.Stream(sock)),
}


def by_stream(stream):
    stream.write(BLOCK)
    stream.flush()


def fill(sock):
    timeout = sock.gettimeout()
    sock.settimeout(0)
    size = 65536
    while size:  # to the last byte
        try:
            sock.send(bytes(size))
        except BlockingIOError:
            size //= 2
    sock.settimeout(timeout)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BLOCK)
    with open(path, "rb") as opened:
        yield opened


def send_and_change(module, family, send, file, timeout, later):
    """(what became of the send, how many bytes of it arrived)"""
    found = []
    with connected(module, family, timeout) as (a, b):
        fill(a)

        def drain():
            while data := b.recv(1 << 20):
                found.append(data.count(b"x"))
        reader = threading.Thread(target=drain)
        result = outcome(lambda: send(a, file), set_timeouts(a, later), reader.start,
                         spins_after(module, later))
        a.shutdown(module.SHUT_WR)
        if reader.ident is None:
            reader.start()
        reader.join(TIMEOUT_S)
        return result, sum(found)


@pytest.mark.parametrize("family", STREAMS)
@pytest.mark.parametrize("later", [[TIMEOUT_S], [TIMEOUT_S, None]], ids=repr)
@pytest.mark.parametrize("way", SENDERS)
def test_settimeout_during_a_send(socket, way, family, later, file):
    result, arrived = send_and_change(socket, family, SENDERS[way], file, None, later)
    assert (result, arrived) in [(None, len(BLOCK)), (len(BLOCK), len(BLOCK)), (9, 9)]


@pytest.mark.parametrize("later", [[TIMEOUT_S], [TIMEOUT_S, None]], ids=repr)
@pytest.mark.parametrize("way", OUR_SENDERS)
def test_settimeout_during_a_send_beyond_the_stdlibs(way, later, file):
    result, arrived = send_and_change(
        fastsock, "unix stream", OUR_SENDERS[way], file, None, later)
    assert not isinstance(result, type) and arrived == len(BLOCK)


@pytest.mark.parametrize("way", [*SENDERS, *OUR_SENDERS])
def test_non_blocking_mode_during_a_send(way, file):
    send = {**SENDERS, **OUR_SENDERS}[way]
    for module in [stdlib_socket, fastsock] if way in SENDERS else [fastsock]:
        result, arrived = send_and_change(module, "unix stream", send, file, None, [0])
        if way == "sendfile":  # it waits by a selector all the same
            assert (result, arrived) == (len(BLOCK), len(BLOCK))
        else:
            assert result is BlockingIOError


@pytest.mark.parametrize("later", [[None], [0], [TIMEOUT_S]], ids=repr)
@pytest.mark.parametrize("way", [*SENDERS, *OUR_SENDERS])
def test_the_timeout_at_the_start_bounds_a_send(way, later, file):
    """Also that of sendfile(), of which each wait is bounded."""
    send = {**SENDERS, **OUR_SENDERS}[way]
    for module in [stdlib_socket, fastsock] if way in SENDERS else [fastsock]:
        with connected(module, "unix stream", MOMENT_S) as (a, b):
            fill(a)
            assert outcome(lambda: send(a, file), set_timeouts(a, later),
                           lambda: None) is TimeoutError


@pytest.mark.parametrize("later", [[TIMEOUT_S], [TIMEOUT_S, None]], ids=repr)
@pytest.mark.parametrize("way", ["send", "sendmsg", "sendto", "sendmmsg", "send_segmented"])
def test_settimeout_during_a_send_of_a_datagram(way, later, tmp_path):
    sends = {
        "send": lambda sock: sock.send(DATA), "sendmsg": lambda sock: sock.sendmsg([DATA]),
        "sendto": lambda sock: sock.sendto(DATA, str(tmp_path / "b")),
        "sendmmsg": lambda sock: sock.sendmmsg([DATA]),
        "send_segmented": lambda sock: sock.send_segmented(DATA, 9)}
    for module in [stdlib_socket, fastsock] if hasattr(stdlib_socket.socket, way) else [fastsock]:
        with module.socket(module.AF_UNIX, module.SOCK_DGRAM) as a, \
                module.socket(module.AF_UNIX, module.SOCK_DGRAM) as b:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(tmp_path / "b")
            b.bind(str(tmp_path / "b"))
            if way != "sendto":
                a.connect(str(tmp_path / "b"))
            a.settimeout(0)
            with pytest.raises(BlockingIOError):
                while True:
                    a.sendto(b"before", str(tmp_path / "b"))
            a.settimeout(None)
            b.settimeout(TIMEOUT_S)

            # An unconnected sender of AF_UNIX spins while its receiver is full: poll(2) calls
            # it writable.
            assert outcome(lambda: sends[way](a), set_timeouts(a, later), lambda: b.recv(9),
                           spins_after(module, later) or way == "sendto") in (9, 1)


# -- connections --------------------------------------------------------------------------

@pytest.mark.parametrize("later, expected", [
    ([TIMEOUT_S], "accepted"), ([TIMEOUT_S, None], "accepted"), ([0], BlockingIOError)],
    ids=repr)
@pytest.mark.parametrize("way", ["accept", "accept_many"])
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_settimeout_during_accept(family, way, later, expected, tmp_path):
    for module in [stdlib_socket, fastsock] if way == "accept" else [fastsock]:
        with module.socket(module.AF_UNIX if family == "unix" else module.AF_INET) as listener, \
                module.socket(listener.family) as client:
            listener.bind(str(tmp_path / module.__name__) if family == "unix"
                          else ("127.0.0.1", 0))
            listener.listen()

            def call():
                found = getattr(listener, way)()
                for connection, _ in [found] if way == "accept" else found:
                    with connection:
                        assert connection.gettimeout() is None
                        assert os.get_blocking(connection.fileno())
                return "accepted"
            assert outcome(call, set_timeouts(listener, later),
                           lambda: client.connect(listener.getsockname()),
                           spins_after(module, later)) == expected


@pytest.mark.parametrize("timeout, later, expected", [
    (None, [TIMEOUT_S], None), (None, [TIMEOUT_S, None], None), (None, [0], InterruptedError),
    (TIMEOUT_S, [None], None), (TIMEOUT_S, [0], None), (MOMENT_S, [None], TimeoutError)],
    ids=repr)
def test_settimeout_during_connect(socket, timeout, later, expected):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, \
            socket.create_connection(listener.getsockname(), TIMEOUT_S), \
            socket.socket() as sock:
        sock.settimeout(timeout)

        accepted = []
        try:
            assert (outcome(lambda: sock.connect(listener.getsockname()),
                            set_timeouts(sock, later),
                            lambda: accepted.append(listener.accept()[0]))
                    == expected)
        finally:
            for one in accepted:
                one.close()


# -- many rounds --------------------------------------------------------------------------

@pytest.mark.parametrize("family", FAMILIES)
def test_a_thread_that_keeps_changing_the_timeout(family):
    """Never BlockingIOError: neither 0 nor a dup is among what it sets.

    Not on the stdlib's sockets, which raise it if O_NONBLOCK was set for the call, and the
    timeout is None again when they look.
    """
    over = threading.Event()
    with connected(fastsock, family) as (a, b):
        def change():
            while not over.is_set():
                for timeout in TIMEOUT_S, None, TIMEOUT_S, 2 * TIMEOUT_S, None:
                    a.settimeout(timeout)
        changer = threading.Thread(target=change)
        changer.start()
        try:
            for number in range(50):
                for receive in RECEIVERS.values():
                    sender = threading.Thread(target=b.send, args=[DATA])
                    sender.start()
                    assert receive(a) == DATA
                    sender.join()
        finally:
            over.set()
            changer.join()
