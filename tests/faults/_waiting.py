"""Waiting for many, and bytes that are moved without being read: selectors, sendfile, relay.

Rules: as in _scenarios.py, with whose names they stand.
"""

import contextlib
import os
import socket as stdlib_socket
import tempfile

import fastsock
from fastsock import select, selectors

from tests.faults._run import TIMEOUT_S, Flow, counted
from tests.faults._scenarios import DATA, LARGE, connected, scenario, still_work


@scenario("epoll", "poll", "EpollSelector", "PollSelector", "DefaultSelector")
def waiting(name, *, run):
    """select.epoll, select.poll and the selectors: what is registered is told of, or not
    registered."""
    with connected("unix", None) as (a, b):
        a.sendall(b"x")
        fd = b.fileno()
        with contextlib.ExitStack() as stack:
            poller = None
            if name in ("epoll", "poll"):
                with run:
                    poller = getattr(select, name)()
                    if name == "epoll":
                        stack.enter_context(poller)
                    poller.register(fd, select.POLLIN)
                    assert poller.poll(1000) == [(fd, select.POLLIN)]
                    poller.modify(fd, select.POLLIN | select.POLLOUT)
                    assert poller.poll(1000) == [(fd, select.POLLIN | select.POLLOUT)]
                    poller.unregister(fd)
                    assert poller.poll(0) == []
                if poller is None or getattr(poller, "closed", False):
                    return
                with contextlib.suppress(KeyError, OSError):
                    poller.unregister(fd)
                poller.register(fd, select.POLLIN)
                assert poller.poll(1000) == [(fd, select.POLLIN)]
                return
            with run:
                poller = getattr(selectors, name)()
                poller.register(b, selectors.EVENT_READ, "data")
                [(key, events)] = poller.select(1)
                assert (key.fileobj, events) == (b, selectors.EVENT_READ)
                poller.modify(b, selectors.EVENT_READ | selectors.EVENT_WRITE)
                [(key, events)] = poller.select(1)
                assert events == selectors.EVENT_READ | selectors.EVENT_WRITE
                poller.unregister(b)
                assert poller.select(0) == []
            if poller is None:
                return
            stack.callback(poller.close)
            if b in poller.get_map():
                poller.unregister(b)
            try:
                poller.register(b, selectors.EVENT_READ)
            except FileExistsError:
                # As the interpreter's: what the kernel refused to change or to forget is
                # no longer the selector's, and still the kernel's.
                assert run.was_met and run.fault.name == "epoll_ctl"
                return
            [(key, events)] = poller.select(1)
            assert (key.fileobj, events) == (b, selectors.EVENT_READ)


@scenario(("unix", None), ("tcp", TIMEOUT_S))
def sendfile(family, timeout, *, run):
    """sendfile: the file's position says what went."""
    with connected(family, timeout) as (a, b), tempfile.TemporaryFile() as file:
        file.write(LARGE)
        file.seek(0)
        flow = Flow()
        with run:
            a.sendfile(file)
        flow.sent = LARGE[:file.tell()]
        flow.drain(b, run)
        flow.check(run)
        assert run.error is not None or len(flow.came) == len(LARGE)
        still_work(a, b)


@scenario(("unix", 20_000), ("tcp", 20_000), ("unix", 400_000))
def relay(family, size, *, run):
    """relay(): what it says that it moved is what came."""
    with connected(family, None) as (a, b), connected(family, None) as (c, d):
        data = DATA[:size]
        a.sendall(data)
        d.sendall(DATA[:300])
        a.shutdown(stdlib_socket.SHUT_WR)
        d.shutdown(stdlib_socket.SHUT_WR)
        moved = None
        with run:
            try:
                moved = fastsock.relay(b, c, idle_timeout=TIMEOUT_S)
            except BaseException as error:
                moved = counted(error, "bytes_relayed") or (0, 0)
                raise
        # As before, unless it said that it could not.
        assert (run.error is not None and run.fault.name == "ioctl"
                or os.get_blocking(b.fileno()) and os.get_blocking(c.fileno()))
        forth, back = Flow(), Flow()
        forth.sent, back.sent = data[:moved[0]], DATA[:moved[1]]
        forth.drain(d, run)
        back.drain(a, run)
        forth.check(run)
        back.check(run)
        assert run.error is not None or moved == (size, 300)
