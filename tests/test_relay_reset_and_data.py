"""A reset that is there before the relay has read what came first: both are passed on.

The kernel reports the error of a connection once: to SO_ERROR, to a send() or to a recv().
From then on recv() returns b"" as after an end. The relay's loop is held meanwhile, so that
it finds all at one wake-up.
"""

import contextlib
import errno
import os
import queue
import random
import socket as stdlib_socket
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, requires_facility
from tests.serving import receive
from tests.test_relay import receive_all, tcp_pair
from tests.test_relay_resets import (
    FAMILY, KINDS, LOOPBACK, ends, error_after_its_end, fill, in_order, is_tcp,
    received_before_reset, relayed, requires_ipv6, reset, use_poll,
)
from tests.test_relay_server import Target, serving

__all__ = ["use_poll"]  # a fixture


@contextlib.contextmanager
def held(relay):
    """Keep the relay's loop where it is; yields a function that lets it turn once."""
    turns = queue.SimpleQueue()

    def hold():
        is_held, goes_on = threading.Event(), threading.Event()
        turns.put((is_held, goes_on))
        relay.call_soon_threadsafe(lambda: is_held.set() or goes_on.wait(TIMEOUT_S))
        return is_held

    def turn():
        is_held = hold()  # after the events that are there by now
        turns.get()[1].set()
        assert is_held.wait(TIMEOUT_S)

    assert hold().wait(TIMEOUT_S)
    try:
        yield turn
    finally:
        turns.get()[1].set()


def received_to_its_end(sock):
    """All that comes; the end must be a reset, which AF_UNIX does not have."""
    return received_before_reset(sock) if is_tcp(sock) else receive_all(sock)


def prepare_reset(sock, other):
    """Have close() of an AF_UNIX socket be a reset."""
    if not is_tcp(sock):
        other.sendall(b"unread")
        assert sock.recv(1, stdlib_socket.MSG_PEEK)


@pytest.mark.parametrize("answers", [False, True], ids=["silent", "answering"])
@pytest.mark.parametrize("size", [5, 30_000])
@pytest.mark.parametrize("kinds", KINDS)
@ends
def test_data_and_its_reset_at_one_wake_up(tmp_path, kinds, who, size, answers, use_poll):
    data = random.Random(size).randbytes(size)
    with relayed(tmp_path, kinds, use_poll=use_poll) as (relay, client, behind):
        sock, other = in_order(who, client, behind)
        prepare_reset(sock, other)
        with held(relay):
            if answers:  # what the relay then sends to the failed side takes the error
                other.sendall(b"answer")
            sock.sendall(data)
            reset(sock)
        assert received_to_its_end(other) == data


@pytest.mark.parametrize("kinds", KINDS[:2])
@ends
def test_an_end_and_then_a_reset_at_one_wake_up(tmp_path, kinds, who, use_poll):
    """As on a direct connection: the end was received, and whoever sends has the error."""
    with relayed(tmp_path, kinds, use_poll=use_poll) as (relay, client, behind):
        sock, other = in_order(who, client, behind)
        with held(relay):
            sock.sendall(b"hello")
            sock.shutdown(stdlib_socket.SHUT_WR)
            reset(sock)
        assert receive_all(other) == b"hello"
        assert error_after_its_end(other) in (errno.EPIPE, errno.ECONNRESET)


def count_of_pipes():
    links = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
    return sum(link.startswith("pipe:") for link in links)


@requires_facility("splice")
@pytest.mark.parametrize("kinds", KINDS[:2])
@ends
def test_a_reset_behind_spliced_data(tmp_path, kinds, who, use_poll):
    with relayed(tmp_path, kinds, use_poll=use_poll) as (relay, client, behind):
        sock, other = in_order(who, client, behind)
        pipes = count_of_pipes()
        while count_of_pipes() == pipes:  # until it splices
            with held(relay):
                sent = fill(sock)
            assert receive(other, len(sent)) == sent
        with held(relay):
            sock.sendall(b"x" * 30_000)
            reset(sock)
        assert received_before_reset(other) == b"x" * 30_000


@pytest.mark.parametrize("kinds", KINDS[:2])
@ends
def test_a_reset_behind_more_than_is_taken(tmp_path, kinds, who, use_poll):
    with relayed(tmp_path, kinds, use_poll=use_poll) as (relay, client, behind):
        sock, other = in_order(who, client, behind)
        with held(relay):
            sent = fill(sock)
            reset(sock)
        received = received_before_reset(other)
        assert received and sent.startswith(received)


def connected_to(relay):
    return stdlib_socket.create_connection(relay.addresses[0][:2], TIMEOUT_S)


@pytest.mark.parametrize("family", ["tcp", pytest.param("tcp6", marks=requires_ipv6)])
@pytest.mark.parametrize("reply", [b"", b"go away\n"])
def test_a_target_that_resets_before_the_relay_knows_it_as_connected(
        family, reply, use_poll, caplog):
    target = Target(FAMILY[family], LOOPBACK[family])
    with target.listener, serving(fastsock.Relay(
            LOOPBACK[family], target.address, use_poll=use_poll)) as relay:
        with held(relay) as turn:
            client = connected_to(relay)
            turn()  # accepts, and connects
            behind = target.accept()
            behind.sendall(reply)
            reset(behind)
        with client:
            assert received_before_reset(client) == reply
    assert caplog.text == ""


@pytest.mark.parametrize("family", ["tcp", pytest.param("tcp6", marks=requires_ipv6)])
def test_a_client_that_resets_before_the_relay_knows_it_is_connected(family, use_poll, caplog):
    target = Target(FAMILY[family], LOOPBACK[family])
    with target.listener, serving(fastsock.Relay(
            LOOPBACK[family], target.address, use_poll=use_poll)) as relay:
        with held(relay) as turn:
            client = connected_to(relay)
            turn()
            client.sendall(b"hello")
            reset(client)
        with target.accept() as behind:
            assert received_before_reset(behind) == b"hello"
    assert caplog.text == ""


def test_a_client_that_resets_and_then_the_target_accepts(use_poll):
    """epoll(7) reports them in the order in which they happened."""
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(stdlib_socket.create_server(("127.0.0.1", 0), backlog=0))
        busy.settimeout(TIMEOUT_S)
        fillers = []
        for _ in range(4):
            fillers.append(stack.enter_context(stdlib_socket.socket()))
            fillers[-1].setblocking(False)
            fillers[-1].connect_ex(busy.getsockname())
        relay = stack.enter_context(serving(fastsock.Relay(
            ("127.0.0.1", 0), busy.getsockname(), connect_timeout=10 * TIMEOUT_S,
            use_poll=use_poll)))
        known = {filler.getsockname() for filler in fillers}
        with held(relay) as turn:
            client = connected_to(relay)
            turn()
            client.sendall(b"hello")
            reset(client)
            while True:
                behind, address = busy.accept()
                stack.enter_context(behind)
                if address not in known:
                    break
        behind.settimeout(TIMEOUT_S)
        assert received_before_reset(behind) == b"hello"


@ends
def test_relay_sends_no_end_for_a_reset_that_a_send_was_told_of(who):
    (client, a), (b, behind) = tcp_pair(), tcp_pair()
    with client, a, b, behind:
        sock, other = in_order(who, client, behind)
        other.sendall(b"answer")
        sock.sendall(b"hello")
        reset(sock)
        with pytest.raises(ConnectionResetError) as caught:
            fastsock.relay(a, b)
        assert caught.value.failed_socket is (a if who == "client" else b)
        assert caught.value.bytes_relayed == ((5, 0) if who == "client" else (0, 5))
        other.setblocking(False)
        assert other.recv(100) == b"hello"
        with pytest.raises(BlockingIOError):
            other.recv(100)
