"""create_connection() with a deadline, or with a race of addresses (Happy Eyeballs).

Imported when first asked for. Method (RFC 8305): the addresses of the two families
are tried in turn; the next attempt starts as soon as one fails, or when `delay`
has passed since the last start; the first that stands wins, and the others
are closed.

Rules: attempts are non-blocking connects under one poll(2); nothing outlives the
call but the winner, and a resolver that the deadline left behind.
"""

from __future__ import annotations

import errno
import itertools
import os
import select
import threading
import time

from fastsock._address_forms import scoped
from fastsock._poll import new_poll
from fastsock._socket_class import stdlib_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from fastsock._poll import poll
    from fastsock._socket_class import socket

    _Address = tuple[Any, ...] | str | bytes
    _Found = tuple[int, int, int, str, tuple[Any, ...]]  # of getaddrinfo()

# Not EAGAIN: nothing was begun then (no local port is free), and poll(2) calls it ready.
_IN_PROGRESS = (errno.EINPROGRESS, errno.EINTR)
_NO_BOUND_S = 1e9           # about 31 years: as no bound, since C's types for time end somewhere
_LONGEST_POLL_MS = 2**31 - 1


def _now() -> float:
    """Seconds of the monotonic clock; freezegun and the like stop time.monotonic()."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def _poll() -> select.poll | poll:
    """The program's polling object, gevent's for example; ours, where eventlet removed it."""
    return getattr(select, "poll", new_poll)()


def in_turn(found: Iterable[_Found]) -> list[_Found]:
    """The addresses with their families alternating, the resolver's first one first."""
    by_family: dict[int, list[_Found]] = {}
    for entry in found:
        by_family.setdefault(entry[0], []).append(entry)
    rounds = itertools.zip_longest(*by_family.values())
    return [entry for entries in rounds for entry in entries if entry is not None]


class Race:
    """The attempts of one call."""

    def __init__(self, names: ModuleType, timeout_s: float | None,
                 source_address: _Address | None, delay_s: float | None,
                 total_timeout_s: float | None) -> None:
        for name, seconds in (("happy_eyeballs_delay", delay_s),
                              ("total_timeout", total_timeout_s)):
            if seconds is None:
                continue
            try:
                is_positive = seconds > 0
            except TypeError:
                raise TypeError(f"{name} must be a number of seconds above 0, or None, "
                                f"not {seconds!r}") from None
            if not is_positive:
                raise ValueError(f"{name} must be above 0 seconds, not {seconds!r}")
        self.names = names
        self.timeout_s = timeout_s
        self.source_address = source_address
        self.delay_s = None if delay_s is None else min(delay_s, _NO_BOUND_S)
        self.deadline = (None if total_timeout_s is None or total_timeout_s >= _NO_BOUND_S
                         else _now() + total_timeout_s)
        self.errors: list[Exception] = []
        # By fd: the socket, and when it is given up.
        self.running: dict[int, tuple[socket, float | None]] = {}

    def run(self, resolve: Callable[[], list[_Found]],
            errors: list[Exception]) -> socket | None:
        """The first socket that is connected; None if all attempts ended in `errors`."""
        self.errors = errors
        try:
            sock = self.first_of(in_turn(self.look_up(resolve)))
            if sock is not None:
                try:
                    sock.settimeout(self.timeout_s)
                except BaseException:
                    sock.close()
                    raise
            return sock
        finally:
            for loser, _ in self.running.values():
                loser.close()
            self.running.clear()

    def look_up(self, resolve: Callable[[], list[_Found]]) -> list[_Found]:
        """The resolver's answer, waited for until the deadline."""
        if self.deadline is None:
            return resolve()
        answer: list[tuple[list[_Found], BaseException | None]] = []

        def ask() -> None:
            try:
                answer.append((resolve(), None))
            except BaseException as error:
                answer.append(([], error))

        # getaddrinfo(3) can't be interrupted: past the deadline it is left behind.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(max(0, self.deadline - _now()))
        if not answer:
            if not thread.is_alive() and _now() < self.deadline:
                raise MemoryError("the thread that asks the resolver ended without an answer")
            raise TimeoutError("timed out")
        found, error = answer[0]
        if error is not None:
            raise error
        return found

    def first_of(self, addresses: Iterable[_Found]) -> socket | None:
        """The first of the addresses that answers, or None."""
        waiting = list(addresses)
        next_start = _now()
        failed = len(self.errors)
        while waiting or self.running:
            now = _now()
            if self.deadline is not None and now >= self.deadline:
                raise TimeoutError("timed out")
            if len(self.errors) > failed:  # the next attempt starts at once (RFC 8305, section 5)
                failed = len(self.errors)
                next_start = now
            may_start = not self.running or (self.delay_s is not None and now >= next_start)
            if waiting and may_start:
                sock = self.start(waiting.pop(0), now)
                if sock is not None:
                    return sock
                next_start = now + (self.delay_s or 0)
                continue
            sock = self.wait(next_start if waiting and self.delay_s is not None else None)
            if sock is not None:
                return sock
        return None

    def start(self, entry: _Found, now: float) -> socket | None:
        """Begin one attempt; returns the socket if it stands at once."""
        family, type, proto, _, destination = entry
        sock: socket | None = None
        try:
            sock = self.names.socket(family, type, proto)
            if self.timeout_s is not None and not 0 <= self.timeout_s <= _NO_BOUND_S:
                sock.settimeout(self.timeout_s)  # raises as the stdlib: negative, NaN, too large
            sock.setblocking(False)
            if self.source_address:
                if (family == stdlib_socket.AF_INET and isinstance(self.source_address, tuple)
                        and len(self.source_address) > 2):
                    raise OSError(errno.EAFNOSUPPORT, "the source address has the form of IPv6, "
                                  f"not of IPv4: {self.source_address!r}")
                sock.bind(scoped(self.source_address, family))
            outcome = sock.connect_ex(destination)
            if outcome and outcome not in _IN_PROGRESS:
                raise OSError(outcome, os.strerror(outcome))
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            self.errors.append(error)
            return None
        if not outcome:
            return sock
        given_up = None if self.timeout_s is None else now + self.timeout_s
        self.running[sock.fileno()] = (sock, given_up)
        return None

    def wait(self, next_start: float | None) -> socket | None:
        """Wait for an attempt to end, or for the time of the next; a connected socket or None."""
        poll = _poll()
        for fd in self.running:
            poll.register(fd, select.POLLOUT)
        ends = [end for _, end in self.running.values()]
        moments = [moment for moment in (*ends, next_start, self.deadline)
                   if moment is not None]
        wait_ms = None
        if moments:
            # Rounded up: a wait that ends early would be a loop without sleep.
            wait_ms = int((min(moments) - _now()) * 1000) + 1
            wait_ms = min(max(0, wait_ms), _LONGEST_POLL_MS)
        for fd, _ in poll.poll(wait_ms):
            sock, _ = self.running.pop(fd)
            try:
                outcome = sock.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR)
            except OSError as error:  # ENOBUFS: no reason to give the others up
                outcome = error.errno or errno.EIO
            if not outcome:
                return sock
            self.errors.append(OSError(outcome, os.strerror(outcome)))
            sock.close()
        now = _now()
        for fd, (sock, given_up) in list(self.running.items()):
            if given_up is not None and now >= given_up:
                self.errors.append(TimeoutError("timed out"))
                del self.running[fd]
                sock.close()
        return None
