"""The other side of a loop: feeding it, taking what it sends, and knowing when it sleeps.

Rules: a peer uses the stdlib's sockets, in a thread in which signals are blocked. What
passes is a known text, compared at every offset, so that a byte lost, doubled or exchanged
is seen where it happens.
"""

import contextlib
import os
import pathlib
import platform
import random
import select
import signal
import socket
import sys
import threading
import time

import fastsock

from tests.stress._run import TIMEOUT_S

#: Lines of 20 to 100 bytes, none of which is like another.
PATTERN = b"".join(b"%08x%s\n" % (number, b"." * random.Random(number).randrange(11, 91))
                   for number in range(1 << 14))

#: The calls that may sleep, as the kernel numbers them. A futex is not among them: that is a
#: thread which waits for the GIL.
SLEEPS = {
    "x86_64": {7, 271, 45, 44, 47, 46, 299, 307, 40, 43, 288, 42, 232, 281, 23, 270, 275},
    "aarch64": {73, 207, 206, 212, 211, 243, 269, 71, 202, 242, 203, 22, 72, 76},
}.get(platform.machine(), set())


def why_not():
    """Why nothing can be seen of sleeping threads here, or None."""
    if sys.platform != "linux":
        return "sleeping threads are seen by Linux's /proc"
    if not SLEEPS:
        return f"the numbers of {platform.machine()}'s system calls are not known here"
    if not os.access("/proc/self/syscall", os.R_OK):
        return "/proc/self/syscall can't be read"
    return None


def sleeps(native_id):
    """Does a thread of this process sleep in a system call of ours?"""
    try:
        first = pathlib.Path(f"/proc/self/task/{native_id}/syscall").read_text().split()[0]
    except (OSError, IndexError):  # it has just ended
        return False
    return first.isdigit() and int(first) in SLEEPS


def until(condition, what="what was waited for"):
    """Look until it is so; how long it may take has a limit."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what} did not happen")
        os.sched_yield()


class Source:
    """The bytes of a known text, one after the other, from the first or any other on."""

    def __init__(self, text=PATTERN):
        self.text = text
        self.offset = 0

    def take(self, size):
        """The next so many bytes."""
        start = self.offset % len(self.text)
        found = self.text[start:start + size]
        while len(found) < size:
            found += self.text[:size - len(found)]
        self.offset += size
        return found

    def meet(self, data):
        """Bytes that arrived: raises unless they are the next ones."""
        expected = self.take(len(data))
        if expected != bytes(data):
            place = next(index for index in range(len(data)) if expected[index] != data[index])
            raise AssertionError(
                f"at {self.offset - len(data) + place} came {bytes(data[place:place + 20])!r}, "
                f"not {expected[place:place + 20]!r}")


class Thread(threading.Thread):
    """A thread without signals, whose exception join() raises."""

    def __init__(self, function, *arguments, keeps_signals=False):
        super().__init__(daemon=True)
        self.call = function, arguments
        self.keeps_signals = keeps_signals
        self.error = self.result = None
        self.start()

    def run(self):
        if not self.keeps_signals:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGINT})
        function, arguments = self.call
        try:
            self.result = function(*arguments)
        except BaseException as error:
            self.error = error
        finally:
            del self.call, function, arguments

    def wait(self):
        """Wait for its end; it may have raised."""
        self.join(2 * TIMEOUT_S)
        if self.is_alive():
            raise TimeoutError("a thread does not end")

    def end(self):
        """Wait for its end, and return what its function returned, or raise."""
        self.wait()
        if self.error is not None:
            raise self.error
        return self.result

    def until_it_sleeps(self):
        until(lambda: not self.is_alive() or sleeps(self.native_id), "a thread's sleep")
        return self.is_alive()


class Ticks:
    """SIGALRM each millisecond, whose handler notes the time and returns.

    A peer waits for some of them: then the loop was interrupted since the peer last did
    something. The longest time between two runs of the handler is how long a loop kept
    Python from it.
    """

    INTERVAL_S = 0.001

    def __init__(self, run):
        self.run = run
        self.count = 0
        self.last_ns = None

    def handle(self, number, frame):
        now_ns = time.monotonic_ns()
        if self.last_ns is not None:
            late_ns = now_ns - self.last_ns - int(self.INTERVAL_S * 1e9)
            self.run.latencies_ns.append(max(late_ns, 0))
        self.last_ns = now_ns
        self.count += 1
        with contextlib.suppress(BlockingIOError):
            os.write(self.writer, b".")

    def __enter__(self):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.before = signal.signal(signal.SIGALRM, self.handle)
        signal.setitimer(signal.ITIMER_REAL, self.INTERVAL_S, self.INTERVAL_S)
        return self

    def __exit__(self, *exception):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)
        os.close(self.reader)
        os.close(self.writer)
        self.run.add(signals=self.count)

    def wait(self, count=2):
        """Return after so many more of them; for another thread."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.reader, 1 << 16)
        while count > 0:
            if not select.select([self.reader], [], [], TIMEOUT_S)[0]:
                raise TimeoutError("the loop keeps signal handlers from running")
            count -= len(os.read(self.reader, count))


@contextlib.contextmanager
def pair(timeout, kind=socket.SOCK_STREAM, room=None):
    """(a socket of ours with a timeout, one of the stdlib's), connected over AF_UNIX."""
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    with fastsock.adopt(a) as ours, b:
        ours.settimeout(timeout)
        b.settimeout(TIMEOUT_S)
        if room is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
            b.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        yield ours, b


@contextlib.contextmanager
def tcp_pair(timeout):
    """The same over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        b = socket.create_connection(listener.getsockname(), TIMEOUT_S)
        a, _ = listener.accept()
    with fastsock.adopt(a) as ours, b:
        ours.settimeout(timeout)
        b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield ours, b


@contextlib.contextmanager
def without_waiting(sock):
    """Where a socket has a timeout, MSG_DONTWAIT alone would wait for it."""
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        yield
    finally:
        sock.settimeout(timeout)


def take_some(sock, most=1 << 16):
    """What has arrived, without waiting; b"" if nothing has."""
    with without_waiting(sock), contextlib.suppress(BlockingIOError):
        return sock.recv(most)
    return b""


def fill(sock):
    """Send until nothing more fits, without waiting; how many bytes."""
    total = 0
    with without_waiting(sock), contextlib.suppress(BlockingIOError):
        while True:
            total += sock.send(bytes(4096))
    return total
