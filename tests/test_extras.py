"""Methods that the stdlib has not: exact receives, many buffers, many accepts, busy-polling."""

import errno
import os
import threading

import pytest

import fastsock
from tests.conftest import FACILITIES, TIMEOUT_S, no_fd_free, open_fds


@pytest.fixture
def socket():
    return fastsock


def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


# -- recv_exactly -----------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 100_000])
@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_recv_exactly(pair, size, piece):
    a, b = pair
    data = os.urandom(size + 3)

    def send():
        for start_ in range(0, len(data), piece):
            a.sendall(data[start_:start_ + piece])

    sender = start(send)
    assert b.recv_exactly(size) == data[:size]
    assert b.recv_exactly(3) == data[size:]
    sender.join(TIMEOUT_S)


@pytest.mark.parametrize("size", [10, 10_000])
def test_recv_exactly_into(pair, size):
    a, b = pair
    data = os.urandom(size)
    a.sendall(data)
    target = bytearray(size)
    assert b.recv_exactly_into(target) == size
    assert target == data
    assert b.recv_exactly_into(bytearray()) == 0


@pytest.mark.parametrize("size", [10, 10_000])
@pytest.mark.parametrize("way", ["recv_exactly", "recv_exactly_into"])
def test_the_end_before_all_is_there(pair, size, way):
    a, b = pair
    a.sendall(b"abc")
    a.close()
    with pytest.raises(fastsock.IncompleteReadError) as caught:
        getattr(b, way)(size if way == "recv_exactly" else bytearray(size))
    assert isinstance(caught.value, EOFError)
    assert (caught.value.partial, caught.value.expected) == (b"abc", size)


@pytest.mark.parametrize("size", [10, 10_000])
@pytest.mark.parametrize("way", ["recv_exactly", "recv_exactly_into"])
@pytest.mark.parametrize("timeout, expected", [(0, BlockingIOError), (0.05, TimeoutError)])
def test_nothing_received_is_lost(pair, size, way, timeout, expected):
    a, b = pair
    a.sendall(b"abc")
    b.settimeout(timeout)
    with pytest.raises(expected) as caught:
        getattr(b, way)(size if way == "recv_exactly" else bytearray(size))
    assert caught.value.partial == b"abc"


def test_one_deadline_for_the_whole_receive(pair):
    """A peer that always sends a little more can't keep it waiting."""
    a, b = pair
    b.settimeout(0.2)
    ending = threading.Event()

    def trickle():
        while not ending.wait(0.01):
            a.send(b"x")

    thread = start(trickle)
    try:
        with pytest.raises(TimeoutError) as caught:
            b.recv_exactly(1_000_000)
        assert 0 < len(caught.value.partial) < 1_000_000
    finally:
        ending.set()
        thread.join(TIMEOUT_S)


def test_bad_sizes(pair):
    a, _ = pair
    with pytest.raises(ValueError, match="0 or more bytes, not -1"):
        a.recv_exactly(-1)
    with pytest.raises(TypeError):
        a.recv_exactly("1")
    with pytest.raises(TypeError):
        a.recv_exactly_into(b"read-only")


# -- sendmsg_all and sendall ------------------------------------------------------

@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
@pytest.mark.parametrize("sizes", [
    [], [0], [0, 0, 5, 0], [64] * 1000, [16384] * 100, [1] * 5000, [3000] * 3000,
    [10, 100_000, 0, 70_000, 1], [1 << 20]], ids=str)
def test_sendmsg_all(pair, timeout, sizes):
    a, b = pair
    a.settimeout(timeout)
    buffers = [os.urandom(size) for size in sizes]
    expected = b"".join(buffers)
    received = bytearray()

    def read():
        received.extend(b.recv_exactly(len(expected)))

    reader = start(read)
    assert a.sendmsg_all(iter(buffers)) is None
    reader.join(TIMEOUT_S)
    assert received == expected


def test_sendmsg_all_of_other_buffers(pair):
    a, b = pair
    a.sendmsg_all([bytearray(b"abc"), memoryview(b"defghi")[::1][3:], b""])
    assert b.recv(100) == b"abcghi"
    with pytest.raises(TypeError):
        a.sendmsg_all(["text"])
    with pytest.raises(TypeError, match="must be an iterable"):
        a.sendmsg_all(1)
    # What is no buffer is refused before anything is sent.
    with pytest.raises(TypeError):
        a.sendmsg_all([b"abc"] * 100 + ["text"])
    b.settimeout(0)
    with pytest.raises(BlockingIOError):
        b.recv(1)


def test_sendmsg_all_needs_a_stream(socket):
    a, b = socket.socketpair(type=socket.SOCK_DGRAM)
    with a, b, pytest.raises(ValueError, match="needs a SOCK_STREAM socket"):
        a.sendmsg_all([b"x"])


@pytest.mark.parametrize("way", ["sendall", "sendmsg_all"])
@pytest.mark.parametrize("timeout, expected", [(0, BlockingIOError), (0.05, TimeoutError)])
def test_what_went_out_is_said(pair, way, timeout, expected):
    a, b = pair
    a.settimeout(timeout)
    data = os.urandom(4 << 20)
    pieces = [data[at:at + 5000] for at in range(0, len(data), 5000)]
    with pytest.raises(expected) as caught:
        a.sendall(data) if way == "sendall" else a.sendmsg_all(pieces)
    sent = caught.value.bytes_sent
    assert 0 < sent < len(data)
    assert b.recv_exactly(sent) == data[:sent]
    b.settimeout(0)
    with pytest.raises(BlockingIOError):
        b.recv(1)


@pytest.mark.parametrize("way", ["sendall", "sendmsg_all"])
def test_nothing_went_out(pair, way):
    a, b = pair
    b.close()
    with pytest.raises(BrokenPipeError) as caught:
        a.sendall(b"x") if way == "sendall" else a.sendmsg_all([b"x"])
    assert caught.value.bytes_sent == 0


# -- accept_many ------------------------------------------------------------------

@pytest.mark.parametrize("timeout", [None, 0, TIMEOUT_S])
def test_accept_many(socket, timeout):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(7)]
        listener.settimeout(timeout)
        accepted = listener.accept_many(5) + listener.accept_many()
        assert [address for _, address in accepted] == [c.getsockname() for c in clients]
        for sock, _ in accepted:
            assert type(sock) is fastsock.socket and sock.gettimeout() is None
        for sock in (*clients, *(sock for sock, _ in accepted)):
            sock.close()
        if timeout == 0:
            with pytest.raises(BlockingIOError):
                listener.accept_many()


def test_accept_many_takes_what_is_there_and_waits_for_no_more(listener, socket):
    """Also where a dup made the listener's file blocking."""
    with listener.dup() as other, socket.create_connection(listener.getsockname()) as client:
        other.setblocking(True)
        [(sock, address)] = listener.accept_many()
        with sock:
            assert address == client.getsockname()


def test_accept_many_refuses_a_limit_of_0(listener):
    with pytest.raises(ValueError, match="above 0, not 0"):
        listener.accept_many(0)


@pytest.mark.parametrize("way", ["accept", "accept_many"])
def test_no_descriptor_left(socket, listener, way):
    """EMFILE, and the listener stays usable."""
    clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    with no_fd_free(), pytest.raises(OSError) as caught:
        getattr(listener, way)()
    assert caught.value.errno == errno.EMFILE
    accepted = listener.accept_many()
    assert len(accepted) == 3
    for sock in (*clients, *(sock for sock, _ in accepted)):
        sock.close()


# -- create_connection ------------------------------------------------------------

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("keywords", [
    {"total_timeout": 5}, {"happy_eyeballs_delay": 0.25},
    {"total_timeout": 5, "happy_eyeballs_delay": 0.01, "timeout": 7}], ids=str)
def test_create_connection(socket, listener, host, keywords):
    port = listener.getsockname()[1]
    with socket.create_connection((host, port), **keywords) as client:
        server, address = listener.accept()
        with server:
            assert address == client.getsockname()
            assert client.gettimeout() == keywords.get("timeout")
            client.sendall(b"x")
            assert server.recv(1) == b"x"


def silent_listener(socket):
    """A listener whose backlog is full: connections to it are never answered."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


@pytest.mark.parametrize("delay", [None, 0.01])
def test_the_deadline_bounds_all_addresses(socket, monkeypatch, delay):
    silent, fillers = silent_listener(socket)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", silent.getsockname())] * 50
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    before = open_fds()
    with pytest.raises(TimeoutError):
        socket.create_connection(("many", 1), total_timeout=0.2, happy_eyeballs_delay=delay)
    assert open_fds() == before
    for sock in (silent, *fillers):
        sock.close()


def test_a_race_is_won_by_the_address_that_answers(socket, listener, monkeypatch):
    silent, fillers = silent_listener(socket)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
             for address in (silent.getsockname(), listener.getsockname())]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    with socket.create_connection(("two", 1), happy_eyeballs_delay=0.01) as client:
        assert client.getpeername() == listener.getsockname()
        listener.accept()[0].close()
    for sock in (silent, *fillers):
        sock.close()


def test_all_errors_of_a_race(socket, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)] * 2
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    with pytest.raises(ExceptionGroup) as caught:
        socket.create_connection(("two", 1), happy_eyeballs_delay=1, all_errors=True)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("two", 1), total_timeout=5)


@pytest.mark.parametrize("name", ["total_timeout", "happy_eyeballs_delay"])
def test_bad_seconds(socket, name):
    with pytest.raises(ValueError, match=f"{name} must be above 0 seconds, not 0"):
        socket.create_connection(("127.0.0.1", 1), **{name: 0})


# -- busy-polling ---------------------------------------------------------------------

def test_busy_polling_gives_the_same_results(pair):
    a, b = pair
    for sock in pair:
        sock.set_busy_poll(1000)

    def echo():
        while data := b.recv(100):
            b.sendall(data)

    partner = start(echo)
    fastsock.stats(reset=True)
    for number in range(200):
        message = b"%d" % number
        a.sendall(message)
        assert a.recv_exactly(len(message)) == message
    a.settimeout(0.05)
    with pytest.raises(TimeoutError):
        a.recv(1)
    a.shutdown(1)
    partner.join(TIMEOUT_S)


#: What a busy poll asks again and again, and how often a wait makes that call without one.
ASKED, AT_REST = ("recv", 0) if FACILITIES["dontwait"] else ("poll", 1)


def test_a_busy_poll_is_counted_and_ends_with_its_object(pair):
    a, _ = pair
    a.settimeout(0.01)

    def calls_of_a_wait(sock):
        fastsock.stats(reset=True)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        return fastsock.stats()["system_calls"][ASKED]

    for _ in range(4):  # learn that nothing is there
        calls_of_a_wait(a)
    assert calls_of_a_wait(a) == AT_REST
    a.set_busy_poll(2000)
    assert calls_of_a_wait(a) > 2
    with a.dup() as copy:
        copy.settimeout(0.01)
        for _ in range(4):
            calls_of_a_wait(copy)
        assert calls_of_a_wait(copy) == AT_REST
    fd = a.detach()
    with fastsock.socket(fileno=fd) as other:
        other.settimeout(0.01)
        for _ in range(4):
            calls_of_a_wait(other)
        assert calls_of_a_wait(other) == AT_REST


def test_failing_busy_polls_are_suspended(pair):
    a, _ = pair
    a.settimeout(0.001)
    a.set_busy_poll(500)
    for _ in range(12):
        with pytest.raises(TimeoutError):
            a.recv(1)
    fastsock.stats(reset=True)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            a.recv(1)
    assert fastsock.stats()["system_calls"][ASKED] == 20 * AT_REST


def test_bad_busy_polls(pair):
    a, _ = pair
    for bad in (-1, 1_000_001):
        with pytest.raises(ValueError, match=f"not {bad}"):
            a.set_busy_poll(bad)
        with pytest.raises(ValueError, match=f"not {bad}"):
            fastsock.set_busy_poll(bad)
    a.close()
    with pytest.raises(OSError):
        a.set_busy_poll(10)


def test_the_default_busy_poll(python):
    program = """
import fastsock, sys
a, b = fastsock.socketpair()
a.settimeout(0.01)
for _ in range(5):
    try:
        a.recv(1)
    except TimeoutError:
        pass
fastsock.stats(reset=True)
try:
    a.recv(1)
except TimeoutError:
    print(fastsock.stats()["system_calls"][sys.argv[1]])
a.close(); b.close()
"""
    assert int(python(ASKED, code=program).stdout) == AT_REST
    assert int(python(
        ASKED, code=program, env={"FASTSOCK_BUSY_POLL_US": "2000"}).stdout) > 2
    assert int(python(
        ASKED, code=program, env={"FASTSOCK_BUSY_POLL_US": ""}).stdout) == AT_REST
    result = python(code=program, env={"FASTSOCK_BUSY_POLL_US": "much"}, check=False)
    assert "FASTSOCK_BUSY_POLL_US must be a whole number" in result.stderr


# -- stats ------------------------------------------------------------------------

def test_stats_add_up(pair):
    a, b = pair
    fastsock.stats(reset=True)
    for _ in range(10):
        a.send(b"x" * 64)
        b.recv(64)
    counted = fastsock.stats(reset=True)
    assert counted["calls"] == 20
    assert counted["system_calls"]["send"] == counted["system_calls"]["recv"] == 10
    assert counted["bytes_in"] == counted["bytes_out"] == 640
    assert counted["tries_failed"] == 0
    assert fastsock.stats()["calls"] == 0


def test_run_prints_stats(python, tmp_path):
    (tmp_path / "app.py").write_text(
        "import socket\na, b = socket.socketpair()\nwith a, b:\n"
        "    a.send(b'x' * 1234)\n    b.recv(5000)\nprint('done')\n")
    result = python("-m", "fastsock", "run", "--stats", "app.py")
    assert result.stdout == "done\n"
    lines = dict(line.strip().split("  ", 1) for line in result.stderr.splitlines()[1:])
    shown = {name: text.strip() for name, text in lines.items()}
    assert (shown["calls"], shown["bytes in"], shown["bytes out"]) == ("2", "1,234", "1,234")
    assert shown["system calls"] == "recv 1, send 1"
