"""fastsock.recv, recv_exactly, send and sendall of capi.pxd: modes, flags, signals, errors.

Job: what they do is what the socket's methods of that name do. How another package uses
them is in test_cimport.py.
"""

import errno
import pathlib
import select
import threading

import pytest

import fastsock
from tests.building import built
from tests.conftest import TIMEOUT_S
from tests.interrupting import DATA, receive_and_change
from tests.serving import receive_all
from tests.test_signals import ENOUGH, Interrupted, fill, raise_interrupted, signals
from tests.workers import Worker, needs_to_see_sleepers

WAITALL, DONTWAIT, PEEK = fastsock.MSG_WAITALL, fastsock.MSG_DONTWAIT, fastsock.MSG_PEEK
MODES = {"blocks": None, "has a timeout": TIMEOUT_S}

modes = pytest.mark.parametrize("timeout", MODES.values(), ids=MODES)


class Methods:
    """The socket's own, with the names of the C functions."""
    recv = staticmethod(lambda sock, size, flags=0: sock.recv(size, flags))
    recv_exactly = staticmethod(lambda sock, size: sock.recv_exactly(size))
    send = staticmethod(lambda sock, data, flags=0: sock.send(data, flags))
    sendall = staticmethod(lambda sock, data: sock.sendall(data))


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return built(pathlib.Path(__file__).with_name("c_interface.pyx"),
                 tmp_path_factory.mktemp("c_interface"))


@pytest.fixture(params=["methods", "C"])
def calls(request, module):
    return Methods if request.param == "methods" else module


@pytest.fixture
def pair():
    a, b = fastsock.socketpair()
    with a, b:
        yield a, b


@modes
@pytest.mark.parametrize("flags", [0, PEEK, WAITALL])
def test_recv(calls, pair, timeout, flags):
    a, b = pair
    b.settimeout(timeout)
    a.sendall(b"hello")
    assert calls.recv(b, 5, flags) == b"hello"
    if flags == PEEK:
        assert calls.recv(b, 10) == b"hello"
    a.shutdown(fastsock.SHUT_WR)
    assert calls.recv(b, 10, flags) == b""


@needs_to_see_sleepers
@modes
@pytest.mark.parametrize("flags", [0, PEEK, WAITALL])
def test_recv_waits(calls, pair, timeout, flags):
    a, b = pair
    b.settimeout(timeout)
    worker = Worker("recv" if timeout is None else "poll", calls.recv, b, 3, flags)
    a.sendall(b"abc")
    worker.join()
    assert worker.result == b"abc"


@needs_to_see_sleepers
@modes
def test_recv_exactly_sleeps_for_each_piece(calls, pair, timeout):
    a, b = pair
    b.settimeout(timeout)
    call = "recv" if timeout is None else "poll"
    worker = Worker(call, calls.recv_exactly, b, 6)
    for piece in b"ab", b"cd":
        a.sendall(piece)
        # It has taken them, and sleeps again.
        while select.select([b], [], [], 0)[0] or not worker.sleeps_in(call):
            assert worker.thread.is_alive()
    a.sendall(b"ef")
    worker.join()
    assert worker.result == b"abcdef"


@modes
@pytest.mark.parametrize("flags", [0, fastsock.MSG_NOSIGNAL, fastsock.MSG_OOB])
def test_send(calls, listener_and_client, timeout, flags):
    client, server = listener_and_client
    client.settimeout(timeout)
    server.settimeout(TIMEOUT_S)
    server.setsockopt(fastsock.SOL_SOCKET, fastsock.SO_OOBINLINE, 1)
    assert calls.send(client, b"hello", flags) == 5
    assert server.recv_exactly(5) == b"hello"
    calls.sendall(client, b"all of it")
    assert server.recv_exactly(9) == b"all of it"


@pytest.fixture
def listener_and_client():
    with fastsock.create_server(("127.0.0.1", 0)) as listener:
        with fastsock.create_connection(listener.getsockname()) as client:
            server, _ = listener.accept()
            with server:
                yield client, server


@needs_to_see_sleepers
def test_sendall_waits_for_room(calls, pair):
    a, b = pair
    a.settimeout(TIMEOUT_S)
    fill(a)

    def send():
        calls.sendall(a, b"x" * 300_000)
        a.shutdown(fastsock.SHUT_WR)

    worker = Worker("poll", send)
    assert receive_all(b).lstrip(b"\0") == b"x" * 300_000
    worker.join()
    assert worker.error is None


@pytest.mark.parametrize("timeout, error", [
    (None, BlockingIOError), (0, BlockingIOError), (0.02, TimeoutError)])
def test_a_call_that_is_not_to_wait(calls, pair, timeout, error):
    # A timeout is waited for first, whatever the flags say, as in the stdlib.
    a, b = pair
    fill(a)
    for sock in pair:
        sock.settimeout(timeout)
    with pytest.raises(error):
        calls.recv(a, 1, DONTWAIT)
    with pytest.raises(error):
        calls.send(a, b"x", DONTWAIT)


@modes
def test_nobody_there(calls, pair, timeout):
    a, b = pair
    a.settimeout(timeout)
    b.close()
    for send in calls.send, calls.sendall:
        with pytest.raises(BrokenPipeError):
            send(a, b"x")


@pytest.mark.skipif(not hasattr(fastsock, "MSG_ERRQUEUE"), reason="no MSG_ERRQUEUE here")
def test_ready_and_yet_nothing_there(calls, listener_and_client):
    # poll(2) tells of data, and the queue of errors, which is asked for, is empty.
    client, server = listener_and_client
    server.sendall(b"data")
    client.settimeout(TIMEOUT_S)
    assert client.recv(1, PEEK) == b"d"
    client.settimeout(0.02)
    with pytest.raises(TimeoutError):
        calls.recv(client, 10, fastsock.MSG_ERRQUEUE)
    client.settimeout(TIMEOUT_S)
    with signals(raise_interrupted), pytest.raises(Interrupted):
        calls.recv(client, 10, fastsock.MSG_ERRQUEUE)
    assert client.recv(10) == b"data"


@modes
@pytest.mark.parametrize("flags", [0, WAITALL])
def test_it_was_closed_since(module, pair, timeout, flags):
    # Another file may have its number by then: it is not read from.
    a, b = pair
    b.settimeout(timeout)
    others = []

    def close():
        fd = b.fileno()
        b.close()
        others.extend(fastsock.socketpair())
        others[1].sendall(b"not yours")
        assert others[0].fileno() == fd

    with pytest.raises(OSError) as caught:
        module.recv(b, 10, flags, close)
    assert caught.value.errno == errno.EBADF
    assert others[0].recv(20) == b"not yours"
    for sock in others:
        sock.close()


@needs_to_see_sleepers
@pytest.mark.parametrize("flags", [0, WAITALL])
def test_a_timeout_that_is_set_since(module, pair, flags):
    """It is for the next borrow(): this call waits, without a limit."""
    a, b = pair
    worker = Worker("poll", module.recv, b, 4, flags, lambda: b.settimeout(TIMEOUT_S))
    a.sendall(b"data")
    worker.join()
    assert (worker.result, worker.error) == (b"data", None)


@needs_to_see_sleepers
@pytest.mark.parametrize("timeouts, expected", [
    ([TIMEOUT_S], DATA), ([TIMEOUT_S, None], DATA), ([0], BlockingIOError)], ids=repr)
@pytest.mark.parametrize("name", ["recv", "recv_exactly"])
def test_settimeout_while_it_waits(calls, pair, name, timeouts, expected):
    a, b = pair
    found = receive_and_change(lambda sock: getattr(calls, name)(sock, len(DATA)), b, a, timeouts,
                               expected is DATA)
    assert found == expected


@modes
@pytest.mark.parametrize("flags", [0, WAITALL])
def test_a_signal_while_it_waits(calls, pair, timeout, flags):
    a, b = pair
    b.settimeout(timeout)
    with signals(lambda count: a.sendall(b"x") if count == ENOUGH else None):
        assert calls.recv(b, 1, flags) == b"x"
    with signals(raise_interrupted), pytest.raises(Interrupted):
        calls.recv(b, 1, flags)
    a.sendall(b"y")
    assert calls.recv(b, 1) == b"y"


def test_several_threads_at_once(calls, pair):
    a, b = pair
    got = []
    threads = [threading.Thread(target=lambda: got.append(calls.recv_exactly(b, 4)))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    calls.sendall(a, b"abcd" * 4)
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert sorted(b"".join(got)) == sorted(b"abcd" * 4)
