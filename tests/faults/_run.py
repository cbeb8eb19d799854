"""One run of a scenario with at most one fault, and what is right after it.

Job: `Run` arms the fault around the part of a scenario that is to meet it, and decides
which exceptions are right. `Flow` knows what one direction of a connection was said to have
sent, and proves that just that arrived. `examine()` runs a scenario, and looks for what it
left behind.

Rules: an interrupted or shortened call is never an exception; any other fault is either
none, or an OSError of just its number (a MemoryError for memory). What was reported as sent
is what arrives, to the byte.
"""

import array
import collections
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import threading
import time
import warnings

from tests.faults._injector import FAILS_AFTER, IS_SHORT

#: A scenario that takes longer hangs. Sockets of scenarios give up before.
LIMIT_S = 20.0
TIMEOUT_S = 5.0

#: What passes for nothing wrong, and for the exception that the fault asks for.
UNHARMED, RAISED, NOT_MET = "unharmed", "raised", "not met"
#: What the interpreter itself does wrong without memory, so that nothing can be said.
INTERPRETERS = "the interpreter's"


class Hangs(BaseException):
    """A scenario did not come to its end."""


class Run:
    """One run of a scenario: `with run:` is the part that meets the fault."""

    def __init__(self, injector, fault=None):
        self.injector = injector
        self.fault = fault
        self.error = None       # what the part raised, if that was right
        self.seen = {}
        self.was_met = False
        self.is_over = False
        self.watched = None

    @property
    def lacked_memory(self):
        """Was it memory that was missing? A scenario needs it as well, to count what it did:
        then its counts prove nothing, but only that the objects go on."""
        return self.error is not None and self.fault.name == "malloc"

    def ended_for_memory(self, error):
        """May this have ended a thread for good? Only a lack of memory may."""
        return (isinstance(error, MemoryError) and self.fault is not None
                and self.fault.name == "malloc")

    def allows(self, error):
        fault = self.fault
        if fault is None or not self.was_met:
            return False
        if fault.name == "malloc":
            # RuntimeError: what the interpreter says if it can't make a lock or a thread.
            return isinstance(error, (MemoryError, RuntimeError)) or (
                isinstance(error, OSError)
                and error.errno in (errno.ENOMEM, socket.EAI_MEMORY))  # of getaddrinfo(3)
        if fault.mode == IS_SHORT:
            return False
        if fault.errno == errno.EINTR and fault.mode != FAILS_AFTER:
            return False
        if fault.errno == errno.EINTR and fault.name == "connect":
            return False
        return isinstance(error, OSError) and error.errno == fault.errno

    def __enter__(self):
        fault = self.fault
        if fault is None:
            self.injector.disarm()
        else:
            self.injector.arm(fault.name, fault.n, fault.mode, fault.errno)
        self.watched = self.injector.watched()
        self.watched[0] = 1
        return self

    def __exit__(self, cls, error, traceback):
        self.watched[0] = 0
        self.end()
        if error is not None and self.allows(error):
            # Without its traceback, which holds what the scenario has let go.
            self.error = error.with_traceback(None)
            self.error.__context__ = None
            return True
        return False

    def end(self):
        """No fault from here on, in no thread; calls are not counted either."""
        if self.is_over:
            return
        if self.watched is not None:
            self.watched[0] = 0
        self.seen = self.injector.seen()
        self.was_met = bool(self.injector.fired())
        self.injector.disarm()
        self.is_over = True

    @contextlib.contextmanager
    def unwatched(self):
        """What the other end does inside the part: it meets no fault."""
        self.watched[0] = 0
        try:
            yield
        finally:
            self.watched[0] = 1


def counted(error, name):
    """How much an exception says that was sent. One of the system must say it; another may
    have come from what the scenario itself does."""
    return getattr(error, name) if isinstance(error, OSError) else getattr(error, name, 0)


class Flow:
    """One direction: what was reported as sent, and what arrived."""

    def __init__(self):
        self.sent = bytearray()
        self.came = bytearray()

    def send(self, send, data):
        """By a call that returns how many bytes went."""
        self.sent += data[:send(data)]

    def send_all(self, send_all, data, argument=None):
        """By a call that sends all, or says in `bytes_sent` how much."""
        try:
            send_all(data if argument is None else argument)
        except BaseException as error:
            self.sent += data[:counted(error, "bytes_sent")]
            raise
        self.sent += data

    def receive(self, receive, *arguments):
        """By a call that returns bytes, or has what had come in `partial`."""
        try:
            data = receive(*arguments)
        except BaseException as error:
            self.came += getattr(error, "partial", b"")
            raise
        self.came += data
        return data

    def drain(self, target, run):
        """Take what is still on its way, from a socket, and also what should not be."""
        target.settimeout(TIMEOUT_S)
        while len(self.came) < len(self.sent) and not run.lacked_memory:
            data = target.recv(1 << 16)
            self.came += data
            if not data:
                break
        target.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while data := target.recv(1 << 16):
                self.came += data

    def check(self, run):
        assert self.came == self.sent or run.lacked_memory, (
            f"{len(self.sent)} bytes were reported as sent and {len(self.came)} came, which "
            f"are {'a part of them' if self.sent.startswith(self.came) else 'others'}")


def open_fds():
    """{fd: what it is} of this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def says_that_it_hangs(*_):
    raise Hangs(f"it did not end within {LIMIT_S} s")


class Result(collections.namedtuple("Result", "outcome error problem run")):
    """What came of a run; `problem` is None, or a text."""


#: Of the interpreter: whoever starts or ends a thread holds it.
limbo = threading._active_limbo_lock


def once(scenario, run):
    """Run a scenario: (outcome, error, problem)."""
    before = open_fds()
    signal.signal(signal.SIGALRM, says_that_it_hangs)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    problem = None
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", ResourceWarning)
            try:
                scenario(run=run)
            except (Exception, Hangs) as error:
                problem = f"{type(error).__name__}: {error}"
                where = error.__traceback__
                while where.tb_next is not None:
                    where = where.tb_next
                code = where.tb_frame.f_code
                problem += f" ({os.path.basename(code.co_filename)}:{where.tb_lineno})"
                del where, code
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        run.end()
    if problem is None:
        leaked = {fd: what for fd, what in open_fds().items() if before.get(fd) != what}
        if leaked:
            gc.collect()
            still = {fd: what for fd, what in open_fds().items() if before.get(fd) != what}
            problem = (f"left open: {still}" if still else
                       f"open until garbage was collected: {leaked}")
    # Without memory an exception may come anywhere, also before a `with` has begun.
    if problem is None and warned and not run.lacked_memory:
        problem = f"closed by being forgotten: {warned[0].message}"
    if run.fault is not None and run.fault.name == "malloc" and limbo._is_owned():
        # `with lock:` lets go by lock.__exit__(), which asks for memory for its arguments.
        while limbo._is_owned():
            limbo.release()
        return Result(INTERPRETERS, None, None, run)
    outcome = RAISED if run.error is not None else UNHARMED if run.was_met else NOT_MET
    return Result(outcome, run.error, problem, run)


# Above what fastsock's cache of peers' addresses takes until it is full.
ROUNDS = 60
LONG_S = 0.5


class Usage:
    """What memory was in use after each of some runs, in memory of its own."""

    def __init__(self, injector):
        self.injector = injector
        self.blocks = array.array("Q", bytes(8 * (ROUNDS + 2)))
        self.bytes = array.array("Q", bytes(8 * (ROUNDS + 2)))
        self.count = 0

    def note(self):
        gc.collect()
        self.blocks[self.count] = sys.getallocatedblocks()
        self.bytes[self.count] = self.injector.heap()
        self.count += 1

    def grew(self):
        """Is it more than one note before?"""
        here = self.count - 1
        return (self.blocks[here] > self.blocks[here - 1]
                or self.bytes[here] > self.bytes[here - 1])

    def __str__(self):
        return (f"blocks {self.blocks[1:9].tolist()}..., "
                f"malloc {self.bytes[1:9].tolist()}...")


def examine(scenario, injector, fault, usage):
    """Run a scenario with a fault, again and again if memory seems to grow."""
    usage.count = 0
    usage.note()
    began = time.monotonic()
    result = once(scenario, Run(injector, fault))
    took_s = time.monotonic() - began
    usage.note()
    # What waits for a timer (a server without fds does) would be repeated for a minute.
    if result.problem is None and usage.grew() and took_s < LONG_S:
        # The first time of a path fills caches. What grows each time is a leak.
        for _ in range(ROUNDS):
            once(scenario, Run(injector, fault))
            usage.note()
            if not usage.grew():
                return result
        if fault.name == "malloc":
            # The interpreter itself loses a key and a value where a dict lacks memory for its
            # first entry (CPython 3.11: insert_to_emptydict()).
            return result._replace(outcome=INTERPRETERS)
        return result._replace(problem=f"memory grows each time: {usage}")
    return result
