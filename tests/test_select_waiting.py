"""epoll, poll and select while they wait: signals, other threads, the GIL, fork, garbage.

No assertion is about how long a call takes: a thread is known to sleep by the kernel's
word (workers.py), and what a call waits for is done once it sleeps.
"""

import contextlib
import errno
import functools
import gc
import os
import select as stdlib_select
import sys
import threading
import time

import pytest

from fastsock import select
from tests.conftest import TIMEOUT_S
from tests.polling import KINDS, OUR_KINDS, UNIT, made, requires_epoll
from tests.test_signals import ENOUGH, Interrupted, raise_interrupted, signals
from tests.workers import Worker, needs_to_see_sleepers

IN, OUT, NVAL = stdlib_select.POLLIN, stdlib_select.POLLOUT, stdlib_select.POLLNVAL

#: In which system call each kind sleeps.
CALLS = {"epoll": "epoll_wait", "poll": "poll", "select": "select"}


class Selecting:
    """select() with the methods of the other two."""

    def __init__(self, module):
        self.module = module
        self.fds = {}

    def register(self, fd, mask):
        self.fds[fd] = mask

    def poll(self, timeout=None):
        readers = [fd for fd, mask in self.fds.items() if mask & IN]
        return [(fd, IN) for fd in self.module.select(readers, [], [], timeout)[0]]


class Way:
    """An object to wait with, and what seconds are to it."""

    def __init__(self, module, kind, poller):
        self.kind, self.poller = kind, poller
        self.call = CALLS[kind]
        self.unit = UNIT.get(kind, 1)

    def wait(self, seconds=None):
        return self.poller.poll(seconds if seconds is None else seconds * self.unit)


@pytest.fixture(params=[*KINDS, "select"])
def way(request, select_module):
    if request.param == "select":
        yield Way(select_module, "select", Selecting(select_module))
    else:
        with made(select_module, request.param) as poller:
            yield Way(select_module, request.param, poller)


waits = pytest.mark.parametrize("timeout", [None, TIMEOUT_S])


# -- time ------------------------------------------------------------------------

@pytest.mark.parametrize("timeout", [0.0101, 0.002, 0.0001])
def test_a_wait_is_never_too_short(way, pipes, timeout):
    reader, _ = pipes()
    way.poller.register(reader, IN)
    for _ in range(5):  # looking first or not
        start = time.monotonic_ns()
        assert way.wait(timeout) == []
        assert time.monotonic_ns() - start >= timeout * 1e9


# -- signals ---------------------------------------------------------------------

@waits
def test_a_wait_goes_on_after_a_signal(way, pipes, timeout):
    reader, writer = pipes()
    way.poller.register(reader, IN)
    with signals(lambda count: os.write(writer, b"x") if count == ENOUGH else None) as sent:
        assert way.wait(timeout) == [(reader, IN)]
    assert sent.count >= ENOUGH


def test_a_wait_goes_on_with_what_is_left(way, pipes):
    # If each signal began the time anew, it would never end.
    reader, _ = pipes()
    way.poller.register(reader, IN)
    with signals() as sent:
        start = time.monotonic_ns()
        assert way.wait(0.05) == []
        assert time.monotonic_ns() - start >= 50_000_000
    assert sent.count


@waits
def test_a_handler_that_raises_ends_the_wait(way, pipes, timeout):
    reader, writer = pipes()
    way.poller.register(reader, IN)
    with signals(raise_interrupted), pytest.raises(Interrupted):
        way.wait(timeout)
    os.write(writer, b"x")
    assert way.wait(timeout) == [(reader, IN)]


@waits
@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_that_registers(select_module, pipes, kind, timeout):
    reader, _ = pipes()
    ready, _ = pipes(b"x")
    with made(select_module, kind) as poller:
        poller.register(reader, IN)

        def act(count):
            if count == ENOUGH:
                poller.register(ready, IN)
                if kind == "poll":  # which goes on with what it was called for
                    raise Interrupted
        with signals(act):
            if kind == "poll":
                with pytest.raises(Interrupted):
                    poller.poll(timeout and timeout * UNIT[kind])
            else:
                assert poller.poll(timeout) == [(ready, IN)]
        assert poller.poll(0) == [(ready, IN)]


@requires_epoll
def test_a_handler_that_closes(select_module, pipes):
    # On the stdlib, too, the next call of the kernel finds the fd closed.
    with select_module.epoll() as poller:
        poller.register(pipes()[0], IN)
        with signals(lambda count: poller.close()), pytest.raises(OSError) as caught:
            poller.poll()
        assert caught.value.errno == errno.EBADF


# -- threads and the GIL -----------------------------------------------------------

@needs_to_see_sleepers
@waits
def test_another_thread_makes_the_fd_ready(way, pipes, timeout):
    """It runs while this call sleeps: the GIL is free."""
    reader, writer = pipes()
    way.poller.register(reader, IN)
    for _ in range(5):
        worker = Worker(way.call, way.wait, timeout)
        os.write(writer, b"x")
        worker.join()
        assert worker.result == [(reader, IN)]
        os.read(reader, 1)


@requires_epoll
@needs_to_see_sleepers
def test_registering_while_another_thread_waits(select_module, pipes):
    """epoll tells of it at once."""
    with select_module.epoll() as poller:
        worker = Worker("epoll_wait", poller.poll)
        reader, _ = pipes(b"x")
        poller.register(reader, IN)
        worker.join()
        assert worker.result == [(reader, IN)]


@requires_epoll
@needs_to_see_sleepers
def test_unregistering_while_another_thread_waits(select_module, pipes):
    with select_module.epoll() as poller:
        first, _ = pipes()
        second, writer = pipes()
        poller.register(first, IN)
        poller.register(second, IN)
        worker = Worker("epoll_wait", poller.poll)
        poller.unregister(first)
        os.write(writer, b"x")
        worker.join()
        assert worker.result == [(second, IN)]


@needs_to_see_sleepers
def test_poll_waits_for_what_was_registered_before(select_module, pipes):
    poller = select_module.poll()
    fds = [pipes() for _ in range(100)]
    for reader, _ in fds[:50]:
        poller.register(reader, IN)
    worker = Worker("poll", poller.poll)
    for reader, _ in fds[50:]:
        poller.register(reader, IN)
    for reader, _ in fds[:49]:
        poller.unregister(reader)
    os.write(fds[60][1], b"x")
    os.write(fds[0][1], b"x")
    os.write(fds[49][1], b"x")
    worker.join()
    # The first of the two woke it, so that the second may be missing.
    assert worker.result[0] == (fds[0][0], IN)
    assert worker.result[1:] in ([], [(fds[49][0], IN)])
    assert poller.poll(0) == [(fds[49][0], IN), (fds[60][0], IN)]


@requires_epoll
@needs_to_see_sleepers
def test_several_threads_wait_on_one_epoll(select_module, pipes):
    reader, writer = pipes()
    with select_module.epoll() as poller:
        poller.register(reader, IN)
        workers = [Worker("epoll_wait", poller.poll) for _ in range(4)]
        ready, _ = pipes(b"x")
        assert poller.poll(0) == []  # beside them
        os.write(writer, b"x")
        for worker in workers:
            worker.join()
            assert worker.result == [(reader, IN)]
        poller.register(ready, IN)
        assert sorted(poller.poll(0)) == sorted([(reader, IN), (ready, IN)])


@needs_to_see_sleepers
def test_two_threads_can_not_wait_on_one_poll(select_module, pipes):
    reader, writer = pipes()
    poller = select_module.poll()
    poller.register(reader, IN)
    worker = Worker("poll", poller.poll)
    for timeout in (0, None, 5):
        with pytest.raises(RuntimeError, match=r"^concurrent poll\(\) invocation$"):
            poller.poll(timeout)
    os.write(writer, b"x")
    worker.join()
    assert worker.result == poller.poll(0) == [(reader, IN)]


def test_poll_is_free_again_after_an_error(select_module, pipes):
    reader, _ = pipes()
    poller = select_module.poll()
    poller.register(reader, IN)
    for _ in range(3):
        with signals(raise_interrupted), pytest.raises(Interrupted):
            poller.poll()
        assert poller.poll(0) == []


@needs_to_see_sleepers
def test_calls_that_look_let_no_other_thread_run(pipes):
    """The GIL is kept: with a long interval between switches, the other has no turn."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("there is no GIL to keep")
    reader, _ = pipes(b"x")
    turns = []
    stop, started = pipes()

    def count():
        os.write(started, b"x")
        while not turns or turns[-1] is not None:
            turns.append(0)
            os.sched_yield()

    before = sys.getswitchinterval()
    looks = [functools.partial(select.select, [reader], [], [], 0)]
    with contextlib.ExitStack() as stack:
        for kind in OUR_KINDS:
            poller = stack.enter_context(made(select, kind))
            poller.register(reader, IN)
            looks += [functools.partial(poller.poll, 0), functools.partial(poller.poll, 5)]
        thread = threading.Thread(target=count)
        thread.start()
        os.read(stop, 1)
        sys.setswitchinterval(TIMEOUT_S)
        # The other may wait by the short interval still, and would have its turn after that.
        seen = len(turns)
        while len(turns) == seen:
            os.sched_yield()
        try:
            for look in looks:
                seen = len(turns)
                for _ in range(50):
                    look()
                assert len(turns) == seen, look
        finally:
            sys.setswitchinterval(before)
            turns.append(None)
            thread.join()


# -- fork ------------------------------------------------------------------------

def test_after_a_fork(way, pipes):
    reader, writer = pipes(b"x")
    way.poller.register(reader, IN)
    assert way.wait(0) == [(reader, IN)]
    child = os.fork()
    if not child:
        status = 1
        try:
            other, _ = os.pipe()
            if way.kind == "poll":
                way.poller.register(other, IN)
            if way.wait(0) == [(reader, IN)] == way.wait():
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert way.wait(0) == [(reader, IN)]


# -- what is handed out again --------------------------------------------------------

@pytest.mark.parametrize("kind", OUR_KINDS)
def test_the_same_tuple_for_the_same_events(pipes, kind):
    a, b = pipes(b"x")
    with made(select, kind) as poller:
        poller.register(a, IN)
        poller.register(b, OUT)
        first = dict((pair[0], pair) for pair in poller.poll(0))
        for timeout in (0, None, 5):
            for pair in poller.poll(timeout):
                assert pair is first[pair[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_another_tuple_for_other_events(pipes, kind):
    reader, writer = pipes(b"x")
    with made(select, kind) as poller:
        poller.register(reader, IN)
        [first] = poller.poll(0)
        pipes.close(writer)
        [second] = poller.poll(0)
        assert first == (reader, IN) and second == (reader, IN | stdlib_select.POLLHUP)
        os.read(reader, 1)
        assert poller.poll(0) == [(reader, stdlib_select.POLLHUP)]
        assert first == (reader, IN)  # whoever has it finds it as it was


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_tuples_are_kept_once_and_let_go(pipes, kind):
    def references():
        # Of the list's item: a variable's reference may be borrowed, and not be counted.
        return sys.getrefcount(pairs[0])

    reader, _ = pipes(b"x")
    with made(select, kind) as poller:
        poller.register(reader, IN)
        pairs = poller.poll(0)
        count = references()
        for _ in range(1000):
            poller.poll(0)
        assert references() == count
        poller.unregister(reader)
        assert references() == count - 1
        for _ in range(100):
            poller.register(reader, IN)
            poller.poll(0)
            poller.unregister(reader)
        poller.register(reader, IN)
        pairs = poller.poll(0)
        count = references()
    del poller
    assert references() == count - 1


# -- many fds and little room ----------------------------------------------------------

def test_fds_that_come_and_go_up_to_the_limit(select_module, python):
    # poll(2) takes no more entries than the process may have fds.
    python(code=f"""
import resource
import {select_module.__name__} as select
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
poller = select.poll()
for fd in range(100, 400):
    poller.register(fd, select.POLLIN)
for turn in range(10):
    for timeout in (0, 5, None):
        for fd in range(100, 390 - turn):
            poller.unregister(fd)
            poller.register(fd, select.POLLIN)
        expected = [*range(390 - turn, 400), *range(100, 390 - turn)]
        if turn:
            fds = [fd for fd, events in poller.poll(timeout)]
            assert sorted(fds) == sorted(expected) and len(fds) == 300
for fd in range(400, 700):
    poller.register(fd, select.POLLIN)
try:
    poller.poll(0)
except OSError as error:
    assert "Invalid argument" in str(error)
else:
    raise AssertionError("the kernel took more than the limit")
for fd in range(400, 700):
    poller.unregister(fd)
assert len(poller.poll(0)) == 300
""")


@pytest.mark.parametrize("inner", ["poll", "register", "unregister"])
def test_code_that_runs_in_a_collection(inner, pipes):
    """Making the results may set off a collection, and that any code (a finalizer's).

    Only here: some versions of the stdlib read beyond their memory then.
    """
    fds = [pipes(b"x") for _ in range(100)]
    poller = select.poll()
    for reader, _ in fds:
        poller.register(reader, IN)
    met = []

    def callback(phase, _):
        if phase == "start" and not met:
            met.append(phase)
            if inner == "poll":
                for reader, _ in fds[1:]:
                    os.read(reader, 1)
                try:
                    poller.poll(0)
                except RuntimeError as error:
                    met.append(error)
            elif inner == "register":
                for fd in range(2000, 5000):
                    poller.register(fd, IN)
            else:
                for reader, _ in fds:
                    poller.unregister(reader)

    held = [(number, number) for number in range(5000)]  # no tuple is left to be used again
    before = gc.get_threshold()
    gc.callbacks.append(callback)
    try:
        gc.set_threshold(1)
        found = poller.poll(0)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(callback)
    assert found == [(reader, IN) for reader, _ in fds]
    again = {"poll": fds[:1], "register": fds, "unregister": []}[inner] if met else fds
    assert [pair for pair in poller.poll(0) if pair[1] != NVAL] == [
        (reader, IN) for reader, _ in again]
    assert len(held) == 5000
