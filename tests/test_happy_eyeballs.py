"""create_connection(happy_eyeballs_delay=...): when the next attempt starts, and seconds of all sizes.

Method: the delay is large or the addresses are many, so that a race that waits where it need
not ends by its total_timeout. Who answers, refuses or is silent is real.
"""

import asyncio
import errno
import math
import os
import select
import socket as stdlib_socket
import threading
import time

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, open_fds, requires_ipv6

DELAY_S = 0.2
NEVER_S = 10 * TIMEOUT_S


@pytest.fixture
def socket():
    return fastsock


@pytest.fixture
def silent():
    """An address that never answers: that of a listener whose backlog is full."""
    with stdlib_socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = []
        for _ in range(4):
            fillers.append(stdlib_socket.socket())
            fillers[-1].setblocking(False)
            fillers[-1].connect_ex(listener.getsockname())
        yield listener.getsockname()
        for filler in fillers:
            filler.close()


@pytest.fixture
def refusing():
    """An address that refuses at once: bound, so that nobody else gets it, but not listening."""
    with stdlib_socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()


def found(*addresses):
    """What getaddrinfo() returns."""
    return [(stdlib_socket.AF_INET if len(address) == 2 else stdlib_socket.AF_INET6,
             stdlib_socket.SOCK_STREAM, 6, "", address) for address in addresses]


@pytest.fixture
def racing(monkeypatch):
    """racing(*addresses, **options): (the connection, the addresses that were tried)."""
    def race(*addresses, cls=fastsock.socket, **options):
        tried = []

        class Recording(cls):
            def connect_ex(self, address):
                tried.append(address)
                return super().connect_ex(address)

        monkeypatch.setattr(fastsock, "socket", Recording)
        monkeypatch.setattr(fastsock, "getaddrinfo", lambda *_: found(*addresses))
        try:
            return fastsock.create_connection(("many", 1), **options), tried
        finally:
            assert tried == list(addresses)[:len(tried)]
    return race


class RefusedLater(fastsock.socket):
    """A refusal on loopback comes within connect(2); from elsewhere poll(2) reports it."""

    refusal = 0

    def connect_ex(self, address):
        outcome = super().connect_ex(address)
        if outcome == errno.ECONNREFUSED:
            self.refusal = outcome
            return errno.EINPROGRESS
        return outcome

    def getsockopt(self, *arguments):
        return self.refusal or super().getsockopt(*arguments)


@pytest.mark.parametrize("cls", [fastsock.socket, RefusedLater])
def test_the_next_attempt_starts_when_one_fails(racing, listener, silent, refusing, cls):
    # With a delay after each failure this took longer than total_timeout.
    refusals = [refusing] * (2 * int(TIMEOUT_S / DELAY_S))
    client, tried = racing(silent, *refusals, listener.getsockname(), cls=cls,
                           happy_eyeballs_delay=DELAY_S, total_timeout=TIMEOUT_S)
    with client:
        assert client.getpeername() == listener.getsockname()
        assert len(tried) == len(refusals) + 2


def test_asyncio_does_so_too(monkeypatch, listener, silent, refusing):
    refusals = [refusing] * (2 * int(TIMEOUT_S / DELAY_S))
    addresses = found(silent, *refusals, listener.getsockname())

    async def connect():
        loop = asyncio.get_running_loop()

        async def resolve(*_, **__):
            return addresses

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        transport, _ = await asyncio.wait_for(loop.create_connection(
            asyncio.Protocol, "many", 1, happy_eyeballs_delay=DELAY_S), TIMEOUT_S)
        peer = transport.get_extra_info("peername")
        transport.close()
        return peer

    assert asyncio.run(connect()) == listener.getsockname()


@pytest.mark.parametrize("delay", [NEVER_S, math.inf, 1e300, pytest.param(10**400, id="10**400")])
def test_without_a_delay_only_failures_start_attempts(racing, listener, silent, refusing, delay):
    address = listener.getsockname()
    client, tried = racing(refusing, refusing, address, silent, happy_eyeballs_delay=delay,
                           total_timeout=TIMEOUT_S)
    client.close()
    assert tried == [refusing, refusing, address]
    with pytest.raises(TimeoutError):
        racing(refusing, silent, address, happy_eyeballs_delay=delay, total_timeout=0.05)


def test_an_attempt_that_times_out_starts_the_next(racing, listener, silent):
    client, tried = racing(silent, silent, listener.getsockname(), timeout=0.05,
                           happy_eyeballs_delay=NEVER_S, total_timeout=TIMEOUT_S)
    with client:
        assert client.gettimeout() == 0.05
        assert len(tried) == 3


@pytest.mark.parametrize("options", [
    {"total_timeout": 0.05},
    {"timeout": 0.05, "happy_eyeballs_delay": NEVER_S},
    {"timeout": 0.1, "happy_eyeballs_delay": 0.01}])
def test_a_clock_that_stands_still(racing, monkeypatch, silent, options):
    # As under freezegun, where the stdlib's timeouts pass, too: they are measured in C.
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    with pytest.raises(TimeoutError):
        racing(silent, **options)


def test_where_eventlet_removed_poll(racing, monkeypatch, listener, silent):
    monkeypatch.delattr(select, "poll")
    client, _ = racing(silent, listener.getsockname(), happy_eyeballs_delay=0.01,
                       total_timeout=TIMEOUT_S)
    client.close()


def test_losers_are_closed_and_their_errors_told(racing, listener, silent, refusing):
    before = open_fds()
    client, _ = racing(silent, silent, refusing, listener.getsockname(),
                       happy_eyeballs_delay=0.01)
    client.close()
    with pytest.raises(ExceptionGroup) as caught:
        racing(silent, refusing, refusing, timeout=0.3, happy_eyeballs_delay=0.01,
               all_errors=True)
    assert [type(error) for error in caught.value.exceptions] == [
        ConnectionRefusedError, ConnectionRefusedError, TimeoutError]
    with pytest.raises(TimeoutError):
        racing(silent, silent, happy_eyeballs_delay=0.01, total_timeout=0.05)
    assert open_fds() == before


def test_an_exception_amid_the_race_closes_all(racing, silent, refusing):
    class Interrupted(fastsock.socket):
        def connect_ex(self, address):
            if address == refusing:
                raise KeyboardInterrupt
            return super().connect_ex(address)

    before = open_fds()
    with pytest.raises(KeyboardInterrupt):
        racing(silent, silent, refusing, cls=Interrupted, happy_eyeballs_delay=0.01)
    assert open_fds() == before


def test_without_a_free_port_nothing_is_connected(racing, listener):
    # EAGAIN of connect(2): nothing was begun, though poll(2) calls the socket writable.
    class NoPort(fastsock.socket):
        def connect_ex(self, address):
            return errno.EAGAIN

    with pytest.raises(BlockingIOError) as caught:
        racing(listener.getsockname(), cls=NoPort, happy_eyeballs_delay=NEVER_S)
    assert caught.value.errno == errno.EAGAIN
    assert caught.value.strerror == os.strerror(errno.EAGAIN)


@requires_ipv6
@pytest.mark.parametrize("source", [None, ("fe80::1", 0, 5, 3)])
def test_families_take_turns_and_addresses_stay_whole(monkeypatch, source):
    v6 = [(f"fe80::{number}", 1, 7, 3) for number in (2, 3, 4)]  # a flow label and a scope id
    v4 = [("127.0.0.1", 1), ("127.0.0.2", 1)]
    tried, bound = [], []

    class Refusing(fastsock.socket):
        def bind(self, address):
            bound.append(address)

        def connect_ex(self, address):
            tried.append(address)
            return errno.ECONNREFUSED

    monkeypatch.setattr(fastsock, "socket", Refusing)
    monkeypatch.setattr(fastsock, "getaddrinfo", lambda *_: found(*v6, *v4))
    with pytest.raises(ConnectionRefusedError):
        fastsock.create_connection(("many", 1), source_address=source,
                                   happy_eyeballs_delay=NEVER_S)
    if source is None:
        assert tried == [v6[0], v4[0], v6[1], v4[1], v6[2]]
        assert bound == []
    else:  # of IPv6, from which no IPv4 address is reached
        assert tried == v6
        assert bound == [source] * 3


# -- seconds -----------------------------------------------------------------------

@pytest.mark.parametrize("seconds", [math.inf, 1e300, pytest.param(10**400, id="10**400"),
                                     2**33, 3e6])
@pytest.mark.parametrize("name", ["total_timeout", "happy_eyeballs_delay"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_seconds_without_an_end(listener, seconds, name, host):
    # 3e6: more milliseconds than poll(2)'s int has, which is a wait of 24 days.
    with fastsock.create_connection((host, listener.getsockname()[1]),
                                    **{name: seconds}) as client:
        listener.accept()[0].close()
        assert client.gettimeout() is None


@pytest.mark.parametrize("seconds", [math.inf, 1e300, 3e6])
def test_a_wait_without_an_end(racing, silent, listener, seconds):
    # Long enough to reach poll(2), which the first address leaves only after the delay.
    client, _ = racing(silent, listener.getsockname(), happy_eyeballs_delay=0.01,
                       total_timeout=seconds)
    client.close()


def test_a_silent_address_is_waited_for_without_an_end(racing, silent):
    class Waiting(fastsock.socket):
        def connect_ex(self, address):
            outcome = super().connect_ex(address)
            threading.Timer(0.05, self.shutdown, [2]).start()   # which ends its attempt
            return outcome

    with pytest.raises(OSError):
        racing(silent, cls=Waiting, total_timeout=3e6)[0].close()


@pytest.mark.parametrize("seconds", [0, -1, -math.inf, math.nan, -0.0])
@pytest.mark.parametrize("name", ["total_timeout", "happy_eyeballs_delay"])
def test_seconds_that_are_refused(seconds, name):
    with pytest.raises(ValueError, match=f"{name} must be above 0 seconds, not {seconds!r}"):
        fastsock.create_connection(("127.0.0.1", 1), **{name: seconds})


@pytest.mark.parametrize("seconds", ["5", b"", [1], 1j])
@pytest.mark.parametrize("name", ["total_timeout", "happy_eyeballs_delay"])
def test_seconds_that_are_no_number(seconds, name):
    with pytest.raises(TypeError) as caught:
        fastsock.create_connection(("127.0.0.1", 1), **{name: seconds})
    assert str(caught.value) == f"{name} must be a number of seconds above 0, or None, not {seconds!r}"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the stdlib leaves its socket
@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf, 1e300, "soon"])
@pytest.mark.parametrize("options", [{}, {"total_timeout": 1}, {"happy_eyeballs_delay": 1}])
def test_timeouts_that_are_refused(listener, timeout, options):
    # In a race as without one, and before anything is connected.
    def error_of(module, **more):
        with pytest.raises((ValueError, OverflowError, TypeError)) as caught:
            module.create_connection(listener.getsockname(), timeout, **more)
        return caught.type

    assert error_of(fastsock, **options) is error_of(stdlib_socket)
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
