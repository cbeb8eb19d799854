"""epoll, poll, select and the selectors beyond what a program usually meets: fds that other
code registered, that were closed or never open, no memory, limits.

Job: each runs on the stdlib's modules and on fastsock's, and does the same.
"""

import contextlib
import ctypes
import errno
import os
import platform
import resource
import select as stdlib_select
import struct

import pytest

from tests.polling import CLASSES, SELECTOR_MODULES, outcome, requires_epoll, same_outcomes
from tests.workers import NUMBERS as CALL_NUMBERS, needs_to_see_sleepers

IN = stdlib_select.POLLIN
NO_FD = 1 << 21     # above any limit, and above what is kept by fd


# -- events of other code ---------------------------------------------------------------

def register_by_c(epfd, fd, number):
    """epoll_ctl(2) with a number of the caller's in the place of the fd."""
    form = "=Ii4x" if platform.machine() == "x86_64" else "=I4xi4x"  # packed there
    event = ctypes.create_string_buffer(struct.pack(form, IN, number))
    assert ctypes.CDLL(None).epoll_ctl(epfd, 1, fd, event) == 0


#: A number that is no fd at all, as the half of a pointer may be.
NUMBERS = [NO_FD, 2**31 - 1, -1, -2, -77, -2**31]


@requires_epoll
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("others", [0, 3])
def test_an_event_that_other_code_registered(select_module, pipes, number, others):
    fds = [pipes(b"x")[0] for _ in range(others)]
    reader, _ = pipes(b"x")
    with select_module.epoll() as epoll:
        for fd in fds:
            epoll.register(fd, IN)
        for _ in range(2):  # what was handed out before is known then
            assert epoll.poll(0) == [(fd, IN) for fd in fds]
        register_by_c(epoll.fileno(), reader, number)
        for _ in range(2):
            assert sorted(epoll.poll(0, 10)) == sorted([(number, IN), *((fd, IN) for fd in fds)])


@requires_epoll
@pytest.mark.parametrize("number", NUMBERS)
def test_a_selector_tells_of_none_that_other_code_registered(selectors_module, pipes, number):
    mine, _ = pipes(b"x")
    reader, _ = pipes(b"x")
    with selectors_module.EpollSelector() as selector:
        key = selector.register(mine, selectors_module.EVENT_READ)
        other = selector.register(reader, selectors_module.EVENT_READ)
        assert len(selector.select(0)) == 2
        selector.unregister(reader)
        register_by_c(selector.fileno(), reader, number)
        found = [pair for _ in range(4) for pair in selector.select(0)]
        assert found and all(pair == (key, selectors_module.EVENT_READ) for pair in found)
        assert other.fd == reader


# -- fds that are not there -----------------------------------------------------------------

@requires_epoll
def test_an_epoll_that_somebody_else_closed_before_it_sleeps(select_module, pipes):
    # It has slept before, and so does not look first.
    reader, _ = pipes()
    poller = select_module.epoll()
    poller.register(reader, IN)
    for _ in range(5):
        assert poller.poll(0.001) == []
    os.close(poller.fileno())
    for timeout in 0.001, None, 0:
        with pytest.raises(OSError) as caught:
            poller.poll(timeout)
        assert caught.value.errno == errno.EBADF
    with contextlib.suppress(OSError):  # of which 3.15 tells
        poller.close()


def with_a_high_fd(name, timeout, reader):
    """register(), select(), modify() and unregister() of a number that is no fd."""
    def run(module):
        told = []
        with getattr(module, name)() as selector:
            selector.register(reader, module.EVENT_READ, "reader")
            told.append(outcome(selector.register, NO_FD, module.EVENT_READ, "high"))
            for _ in range(2):
                told.append(outcome(selector.select, timeout))
            told.append(outcome(selector.modify, NO_FD, module.EVENT_WRITE, "other"))
            told.append(outcome(selector.select, timeout))
            told.append(outcome(selector.get_key, NO_FD))
            told.append(outcome(selector.unregister, NO_FD))
            told.append(outcome(selector.select, timeout))
        return told
    return run


@pytest.mark.parametrize("timeout", [0, 5])
@pytest.mark.parametrize("name", CLASSES)
def test_a_number_that_is_too_high_for_an_fd(pipes, name, timeout):
    reader, _ = pipes(b"x")
    kind, told = same_outcomes(SELECTOR_MODULES, with_a_high_fd(name, timeout, reader))
    assert kind == "returned" and len(told) == 8
    # poll(2) tells of it, epoll(7) refuses it, select(2) can't even be asked.
    assert told[0][0] == ("returned" if name != "EpollSelector" else OSError)
    assert told[1][0] == ("returned" if name != "SelectSelector" else ValueError)


def with_a_negative_fd(name):
    """As with_a_high_fd(), of a class that has a number of its own for a file."""
    def run(module):
        class Own(getattr(module, name)):
            def _fileobj_lookup(self, fileobj):
                return -5 if fileobj == "odd" else super()._fileobj_lookup(fileobj)

        with Own() as selector:
            # The texts are those of the calls that refuse it.
            return [outcome(call, *arguments)[0] for call, *arguments in (
                (selector.register, "odd", module.EVENT_READ), (selector.select, 0),
                (selector.get_key, "odd"), (selector.unregister, "odd"), (selector.select, 0),
                (selector.unregister, "odd"))]
    return run


@pytest.mark.parametrize("name", CLASSES)
def test_a_number_below_0(name):
    kind, told = same_outcomes(SELECTOR_MODULES, with_a_negative_fd(name))
    assert kind == "returned"
    # poll and epoll refuse it at once, select when it is asked.
    refused = [told[0], told[1]].index(ValueError)
    assert refused == (name == "SelectSelector") and told[4] == "returned"


# -- limits -----------------------------------------------------------------------------------

@pytest.mark.parametrize("timeout", [0, 5, None])
def test_more_places_than_a_process_may_have_fds(select_module, pipes, timeout):
    fds = [pipes(b"x")[0] for _ in range(20)]
    poller = select_module.poll()
    for fd in fds:
        poller.register(fd, IN)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (19, limits[1]))
    try:
        for _ in range(4):  # with and without a look before
            with pytest.raises(OSError) as caught:
                poller.poll(timeout)
            assert caught.value.errno == errno.EINVAL
        poller.unregister(fds[0])
        found = poller.poll(timeout)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert found == [(fd, IN) for fd in fds[1:]]


@pytest.mark.parametrize("timeout", [0.9999991, 0.9999999, 2.9999995])
def test_a_timeout_just_below_a_second(select_module, pipes, timeout):
    # Rounded up to microseconds, of which there are no million in a timeval.
    reader, _ = pipes(b"x")
    assert select_module.select([reader], [], [], timeout) == ([reader], [], [])


# -- no memory -----------------------------------------------------------------------------------

WITHOUT_MEMORY = """
import os, resource, threading
import {module} as select

reader, writer = os.pipe()
epoll = select.epoll()
epoll.register(reader, select.EPOLLIN)

def refused():
    try:
        epoll.poll(0, 2**31 - 1)    # each event has its place
    except MemoryError:
        return True

# So that nothing is touched that is there only when it is used.
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
assert refused()
assert epoll.poll(0) == []
got = []
thread = threading.Thread(target=lambda: got.append(epoll.poll(None)))
thread.start()
while open(f"/proc/self/task/{{thread.native_id}}/syscall").read().split()[0] not in {sleeps}:
    os.sched_yield()
assert refused()                    # also while another one has the object's own memory
os.write(writer, b"x")
thread.join()
assert got == [[(reader, select.EPOLLIN)]] == [epoll.poll(0)]
"""


@requires_epoll
@needs_to_see_sleepers
@pytest.mark.skipif("FASTSOCK_SANITIZED" in os.environ,
                    reason="a process with shadow memory is above any limit")
def test_more_events_than_there_is_memory(select_module, python):
    python(code=WITHOUT_MEMORY.format(module=select_module.__name__,
                                      sleeps=set(map(str, CALL_NUMBERS["epoll_wait"]))))
