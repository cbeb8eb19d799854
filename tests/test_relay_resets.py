"""A reset stays one behind relay() and Relay: only an end that was sent comes out as an end.

A reset of AF_UNIX is a socket that is closed with unread data; towards AF_UNIX there is none.
Connections have no idle timeout here, so that what is not noticed hangs.
"""

import contextlib
import errno
import os
import random
import select
import socket as stdlib_socket
import struct
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, requires_ipv6
from tests.serving import receive
from tests.test_relay import Relaying, receive_all, tcp_pair
from tests.test_relay_server import Target, connect, serving
from tests.workers import exit_status_of, needs_to_see_sleepers

LOOPBACK = {"tcp": ("127.0.0.1", 0), "tcp6": ("::1", 0)}
FAMILY = {"tcp": stdlib_socket.AF_INET, "tcp6": stdlib_socket.AF_INET6,
          "unix": stdlib_socket.AF_UNIX}


@pytest.fixture(params=[False, True], ids=["default", "poll"])
def use_poll(request):
    return request.param


@contextlib.contextmanager
def relayed(tmp_path, kinds=("tcp", "tcp"), **options):
    """(relay, client, behind): a connection through a Relay; both ends are the caller's."""
    with contextlib.ExitStack() as stack:
        front, rear = kinds
        target = Target(FAMILY[rear], LOOPBACK.get(rear, str(tmp_path / "behind")))
        stack.enter_context(target.listener)
        options.setdefault("idle_timeout", None)
        relay = stack.enter_context(serving(fastsock.Relay(
            LOOPBACK.get(front, tmp_path / "front"), target.address, **options)))
        client = stack.enter_context(stdlib_socket.socket(FAMILY[front]))
        client.settimeout(TIMEOUT_S)
        client.connect(relay.addresses[0])
        yield relay, client, stack.enter_context(target.accept())


def reset(sock):
    sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def received_before_reset(sock):
    """All that comes before a reset; fails if an end comes in its place."""
    received = bytearray()
    with pytest.raises(ConnectionResetError):
        while piece := sock.recv(1 << 16):
            received += piece
        pytest.fail(f"an end after {len(received)} bytes")
    return bytes(received)


def error_after_its_end(sock):
    """Wait until poll(2) reports a failure that nobody asked for; SO_ERROR."""
    poller = select.poll()
    poller.register(sock, 0)
    [(_, events)] = poller.poll(TIMEOUT_S * 1000)
    assert events & select.POLLERR
    return sock.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR)


def fill(sock):
    """Send until nothing more is taken; returns what was."""
    data = random.Random(len(str(sock))).randbytes(1 << 20)
    sent = bytearray()
    sock.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while True:
            sent += data[:sock.send(data)]
    sock.settimeout(TIMEOUT_S)
    return bytes(sent)


KINDS = [("tcp", "tcp"), pytest.param(("tcp6", "tcp6"), marks=requires_ipv6), ("unix", "tcp"),
         ("tcp", "unix"), ("unix", "unix")]
ends = pytest.mark.parametrize("who", ["client", "target"])


def in_order(who, client, behind):
    """(who resets, the other)."""
    return (client, behind) if who == "client" else (behind, client)


def is_tcp(sock):
    return sock.family != stdlib_socket.AF_UNIX


def reset_with_unread(sock, other):
    """A reset, whatever the family: what the other sent is there and is not read."""
    other.sendall(b"unread")
    assert sock.recv(6, stdlib_socket.MSG_PEEK | stdlib_socket.MSG_WAITALL) == b"unread"
    reset(sock)


@pytest.mark.parametrize("kinds", KINDS)
@ends
def test_in_the_midst_of_a_transfer(tmp_path, kinds, who, use_poll):
    with relayed(tmp_path, kinds, use_poll=use_poll) as (_, client, behind):
        sock, other = in_order(who, client, behind)
        sock.sendall(b"begun")
        assert other.recv(5) == b"begun"
        reset_with_unread(sock, other)
        if is_tcp(other):
            assert received_before_reset(other) == b""
        else:
            assert other.recv(1) == b""  # AF_UNIX has no reset


@pytest.mark.parametrize("kinds", KINDS[:3])
@ends
def test_what_came_before_is_passed_on(tmp_path, kinds, who, use_poll):
    data = random.Random(8).randbytes(100_000)
    with relayed(tmp_path, kinds, use_poll=use_poll) as (_, client, behind):
        sock, other = in_order(who, client, behind)
        received = []
        thread = threading.Thread(target=lambda: received.append(
            receive(other, len(data))))
        thread.start()
        sock.sendall(data)
        thread.join()
        reset_with_unread(sock, other)
        assert received == [data]


@pytest.mark.parametrize("kinds", KINDS[:2])
@ends
def test_while_the_other_peer_reads_nothing(tmp_path, kinds, who, use_poll):
    """Nothing is wanted from the side that fails then, and yet its failure is noticed."""
    with relayed(tmp_path, kinds, use_poll=use_poll) as (relay, client, behind):
        sock, other = in_order(who, client, behind)
        sent = fill(sock)
        reset(sock)
        assert error_after_its_end(other) == errno.ECONNRESET
        received = receive_all(other)  # the error was taken by SO_ERROR
        assert sent.startswith(received)


@pytest.mark.parametrize("kinds", KINDS[:2])
@ends
def test_while_it_does_not_read_itself(tmp_path, kinds, who, use_poll):
    """The error of the side that fails is reported to whoever writes there, not to the reader."""
    with relayed(tmp_path, kinds, use_poll=use_poll) as (_, client, behind):
        sock, other = in_order(who, client, behind)
        fill(other)
        reset(sock)
        assert received_before_reset(other) == b""


@pytest.mark.parametrize("kinds", KINDS)
@ends
def test_after_a_half_close(tmp_path, kinds, who, use_poll):
    with relayed(tmp_path, kinds, use_poll=use_poll) as (relay, client, behind):
        sock, other = in_order(who, client, behind)
        sock.sendall(b"question")
        sock.shutdown(stdlib_socket.SHUT_WR)
        assert receive_all(other) == b"question"
        reset_with_unread(sock, other)
        if is_tcp(other):
            assert error_after_its_end(other) in (errno.EPIPE, errno.ECONNRESET)
        with pytest.raises(OSError) as caught:  # AF_UNIX: when the relay has closed it
            while True:
                other.send(b"x")
        assert caught.value.errno in (errno.EPIPE, errno.ECONNRESET)


@pytest.mark.parametrize("kinds", KINDS)
@ends
def test_an_end_stays_one(tmp_path, kinds, who, use_poll):
    """Who sends much and closes is not a reset, however late the other reads it."""
    with relayed(tmp_path, kinds, use_poll=use_poll) as (relay, client, behind):
        sock, other = in_order(who, client, behind)
        sent = fill(sock)
        sock.close()
        assert receive_all(other) == sent
        other.close()
        relay.shutdown(grace=10 * TIMEOUT_S)  # serving() joins its thread


@pytest.mark.parametrize("kinds", KINDS)
@ends
def test_a_hang_up_does_not_spin(tmp_path, kinds, who, use_poll):
    """AF_UNIX hangs up when its peer was closed, and poll(2) says so from then on."""
    wake_ups = []
    with relayed(tmp_path, kinds, use_poll=use_poll) as (relay, client, behind):
        sock, other = in_order(who, client, behind)
        sock.sendall(b"x")
        sock.close()
        assert receive_all(other) == b"x"
        turned = threading.Event()
        relay.call_soon_threadsafe(
            lambda: (relay._loop.call_at_wake_up(lambda: wake_ups.append(1)),
                     relay.call_later(0.2, turned.set)))
        assert turned.wait(TIMEOUT_S)
        assert relay.connection_count == 1
        assert len(wake_ups) < 10


def test_a_client_that_resets_before_the_target_has_answered(use_poll):
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(stdlib_socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(stdlib_socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        relay = fastsock.Relay(("127.0.0.1", 0), silent.getsockname(), idle_timeout=None,
                               connect_timeout=10 * TIMEOUT_S, use_poll=use_poll)
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        client = stdlib_socket.create_connection(relay.addresses[0], TIMEOUT_S)
        client.sendall(b"x")
        reset(client)
        relay.shutdown(grace=10 * TIMEOUT_S)
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


# -- ends of the relay's own -------------------------------------------------------

@pytest.mark.parametrize("ending", ["shutdown", "close", "idle_timeout"])
def test_the_relay_ends(tmp_path, ending, use_poll):
    with relayed(tmp_path, use_poll=use_poll,
                 idle_timeout=0.2 if ending == "idle_timeout" else None) as (relay, *peers):
        client, behind = peers
        behind.sendall(b"half of an answer")
        assert client.recv(100) == b"half of an answer"
        if ending != "idle_timeout":
            getattr(relay, ending)()
        for sock in peers:
            assert received_before_reset(sock) == b""


@pytest.mark.parametrize("ending", ["shutdown", "close", "idle_timeout"])
def test_the_relay_ends_half_closed_connections(tmp_path, ending):
    with relayed(tmp_path, idle_timeout=0.2 if ending == "idle_timeout" else None) as (
            relay, client, behind):
        client.shutdown(stdlib_socket.SHUT_WR)
        assert behind.recv(1) == b""
        if ending != "idle_timeout":
            getattr(relay, ending)()
        assert received_before_reset(client) == b""
        assert error_after_its_end(behind) in (errno.EPIPE, errno.ECONNRESET)


def test_a_graceful_shutdown_lets_them_end(tmp_path):
    with relayed(tmp_path) as (relay, client, behind):
        client.sendall(b"question")
        relay.shutdown(grace=10 * TIMEOUT_S)
        assert behind.recv(8) == b"question"
        behind.sendall(b"answer")
        behind.close()
        assert receive_all(client) == b"answer"
        client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork() is not there")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_closes_its_copy_resets_nothing(tmp_path):
    with relayed(tmp_path) as (relay, client, behind):
        client.sendall(b"x")
        assert behind.recv(1) == b"x"
        assert exit_status_of(relay.close) == 0
        for sender, receiver in ((client, behind), (behind, client)):
            sender.sendall(b"y")
            sender.shutdown(stdlib_socket.SHUT_WR)
            assert receive_all(receiver) == b"y"


def test_the_log_names_each_address(monkeypatch, caplog):
    with contextlib.ExitStack() as stack:
        places = []
        for host in "127.0.0.1", "127.0.0.2":
            bound = stack.enter_context(stdlib_socket.socket())
            bound.bind((host, 0))  # and nobody listens
            places.append(bound.getsockname())
        with monkeypatch.context() as patch:
            patch.setattr(stdlib_socket, "getaddrinfo", lambda *_, **__: [
                (stdlib_socket.AF_INET, stdlib_socket.SOCK_STREAM, 6, "", place)
                for place in places])
            relay = fastsock.Relay(None, ("two.example", 9),
                                   sock=stdlib_socket.create_server(("127.0.0.2", 0)))
        stack.enter_context(serving(relay))
        with pytest.raises(ConnectionResetError), connect(relay) as client:
            client.recv(1)
    assert [record.getMessage() for record in caplog.records] == [
        f"a relay can't connect to {places[0]!r}: Connection refused; "
        f"{places[1]!r}: Connection refused"]


# -- relay() -----------------------------------------------------------------------

@contextlib.contextmanager
def relaying(**options):
    """(the relay, client, a, b, behind): as `relayed`, through relay()."""
    (client, a), (b, behind) = tcp_pair(), tcp_pair()
    with client, a, b, behind:
        for sock in client, behind:
            sock.settimeout(TIMEOUT_S)
        yield Relaying(a, b, **options), client, a, b, behind


def failure_of(running):
    with pytest.raises(OSError) as caught:
        running.outcome()
    return caught.value


@needs_to_see_sleepers
@ends
def test_relay_raises_after_a_half_close(who):
    with relaying() as (running, client, a, b, behind):
        sock, other = in_order(who, client, behind)
        sock.sendall(b"question")
        sock.shutdown(stdlib_socket.SHUT_WR)
        assert receive_all(other) == b"question"
        reset(sock)
        error = failure_of(running)
        assert isinstance(error, ConnectionResetError)
        assert error.bytes_relayed == ((8, 0) if who == "client" else (0, 8))
        assert error.failed_socket is (a if who == "client" else b)
        other.sendall(b"x")  # the sockets are the caller's: nothing became of them


@needs_to_see_sleepers
@ends
def test_relay_raises_while_the_other_peer_reads_nothing(who):
    with relaying() as (running, client, a, b, behind):
        sock, other = in_order(who, client, behind)
        sent = fill(sock)
        reset(sock)
        error = failure_of(running)
        assert isinstance(error, ConnectionResetError)
        assert error.failed_socket is (a if who == "client" else b)
        (a if who == "target" else b).close()
        received = receive_all(other)
        assert len(received) == max(error.bytes_relayed) and sent.startswith(received)


@needs_to_see_sleepers
@ends
def test_relay_passes_no_end_on_where_a_reader_resets(who):
    with relaying() as (running, client, a, b, behind):
        sock, other = in_order(who, client, behind)
        fill(other)
        reset(sock)
        assert failure_of(running).failed_socket is (a if who == "client" else b)
        other.settimeout(0.1)
        with pytest.raises(TimeoutError):
            pytest.fail(f"{other.recv(1)!r} instead of nothing")


@needs_to_see_sleepers
def test_relay_with_a_peer_that_takes_nothing():
    client, a = stdlib_socket.socketpair()
    b, behind = stdlib_socket.socketpair()
    with client, a, b:
        running = Relaying(a, b)
        client.sendall(b"x")
        assert behind.recv(1) == b"x"
        behind.shutdown(stdlib_socket.SHUT_WR)
        assert client.recv(1) == b""
        behind.close()  # with nothing unread: an end
        client.sendall(b"y")
        error = failure_of(running)
        assert isinstance(error, BrokenPipeError)
        assert error.failed_socket is b and error.bytes_relayed == (1, 0)


def test_relay_names_no_socket_where_neither_failed():
    client, a = stdlib_socket.socketpair()
    b, behind = stdlib_socket.socketpair()
    with client, a, b, behind:
        with pytest.raises(TimeoutError) as caught:
            fastsock.relay(a, b, idle_timeout=0.05)
        assert caught.value.failed_socket is None


def test_relay_does_not_spin_after_a_hang_up(calls_of):
    """AF_UNIX hangs up when its peer was closed, which poll(2) reports for ever."""
    setup = """import threading
a, b = socket.socketpair()
c, d = socket.socketpair()
a.close()
def answer():
    assert d.recv(1) == b""
    import time
    time.sleep(0.3)
    d.close()
thread = threading.Thread(target=answer)
thread.start()"""
    calls = calls_of(setup, "assert socket.relay(b, c) == (0, 0)")
    assert calls.count("poll") < 8
