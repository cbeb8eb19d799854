"""The event loop: waits, and tells what it watches that it is ready.

Job: readiness, timers, callbacks of other threads, the list of the idle. It knows a
Watched by its fd and nothing of connections or protocols.

Rules: one thread runs it, and all that happens happens there; only
call_soon_threadsafe() and stop() may come from other threads and signal handlers. What
is watched is owned by the loop, by its fd: an event of an fd that was closed earlier in
the same wake-up finds nobody. A callback that raises is logged and harms no other;
KeyboardInterrupt and SystemExit leave run(). Other threads have their turn also where the
loop always finds something to do and none of it is Python code, which would let them.
"""

import collections
import heapq
import logging
import os
import signal
import threading

cimport cython
from libc.errno cimport EBADF
from libc.stdlib cimport free, malloc

cimport fastsock._libc as libc
from fastsock._deadline cimport NS_PER_MS, NS_PER_S, monotonic_ns
from fastsock._errors cimport caught
from fastsock._python cimport PyErr_CheckSignals, PyList_GET_ITEM
from fastsock._readiness cimport READABLE

cdef object heappush = heapq.heappush
cdef object heappop = heapq.heappop
cdef object logger = logging.getLogger("fastsock.server")

cdef enum:
    SCRATCH_SIZE = 65536

cdef int64_t LONGEST_WAIT_NS = 3600 * <int64_t>NS_PER_S
cdef int64_t TURN_NS = 5 * <int64_t>NS_PER_MS  # as sys.getswitchinterval() is at first


cdef class Watched:
    """Something with an fd that a loop watches; no type to make objects of."""

    cdef int watch(self, int interest) except -1:
        """Be told of other events; of none (0), also not of errors."""
        cdef int before = self.interest
        if interest == before or self.fd < 0:
            return 0
        # Only what the kernel agreed to counts.
        if before == 0:
            self.loop.readiness.add(self.fd, interest)
        elif interest == 0:
            self.interest = 0
            if self.loop.readiness.remove(self.fd):
                self.loop.soon.append((self._unwatch, ()))
        else:
            self.loop.readiness.change(self.fd, interest)
        self.interest = interest
        return 0

    def _unwatch(self):
        """Internal: have the kernel forget it, which failed; it is told of until then."""
        if self.fd >= 0 and self.interest == 0 and self.loop.readiness.remove(self.fd):
            self.loop.soon.append((self._unwatch, ()))

    cdef int ready(self, int events) except -1:
        """Called with READABLE, WRITABLE and whatever else poll(2) says."""
        raise NotImplementedError

    cdef int ready_raised(self) except -1:
        """Called while an exception of ready() is being handled. It leaves the loop, unless
        it is met here."""
        raise

    cdef int timed_out(self) except -1:
        """Called when nothing happened for the loop's idle timeout."""
        raise NotImplementedError

    cdef int drain(self) except -1:
        """The loop is to end soon: go, if nothing is on its way."""
        return 0

    cdef int end_now(self) except -1:
        """The loop has ended."""
        return 0


cdef class TimerHandle:
    """What call_later() returns."""

    def cancel(self):
        """Don't call it. Does nothing if it was called or cancelled."""
        self.callback = None
        self.arguments = None

    def cancelled(self):
        """Was it cancelled, or called?"""
        return self.callback is None

    def when(self):
        """When it is to be called, in seconds of time.monotonic()."""
        return self.deadline_ns / <double>NS_PER_S


cdef class WakeUp(Watched):
    """The reading end of the pipe by which other threads and signals wake the loop."""

    def __dealloc__(self):
        if self.fd > 0:  # the loop was never closed
            libc.close(self.fd)

    cdef int ready(self, int events) except -1:
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass
        # Only now: a byte that is written later is still there for the next wait. In turn
        # with wake(): who still finds it set there has put before what this thread then finds.
        with cython.critical_section(self.loop):
            self.loop.is_woken = False
        return 0


cdef class Loop:
    """An event loop for one thread.

    Parameters
    ----------
    use_poll : bool
        poll(2) also where there is epoll(7).
    """

    def __cinit__(self, *, use_poll=False):
        self.wake_reader = self.wake_writer = -1
        self.scratch_size = SCRATCH_SIZE
        self.scratch = <char *>malloc(SCRATCH_SIZE)
        if self.scratch == NULL:
            raise MemoryError()
        self.readiness = Readiness(use_poll)
        self.watched = []
        self.soon = collections.deque()
        self.timers = []
        self.at_wake_up = []
        wake_up = WakeUp.__new__(WakeUp)  # first: it closes the reading end, whatever fails
        self.wake_reader, self.wake_writer = os.pipe()
        (<WakeUp>wake_up).fd = self.wake_reader
        os.set_blocking(self.wake_reader, False)
        os.set_blocking(self.wake_writer, False)
        self.adopt(<WakeUp>wake_up, READABLE)

    def __dealloc__(self):
        # Without __cinit__, whose arguments may be refused, it is 0 and no fd.
        if self.scratch != NULL and self.wake_writer >= 0:
            libc.close(self.wake_writer)
        free(self.scratch)

    def close(self):
        """Give the loop's own fds back; whoever is watched must be gone."""
        cdef Watched wake_up
        if self.wake_reader < 0:
            return
        wake_up = self.watched[self.wake_reader]
        self.drop(wake_up)
        with cython.critical_section(self):  # others may be about to wake()
            libc.close(wake_up.fd)
            libc.close(self.wake_writer)
            self.wake_reader = self.wake_writer = wake_up.fd = -1
        self.readiness.close()
        # As in asyncio: no callback is accepted any more, and what is left is dropped.
        self.soon.clear()
        self.timers.clear()

    def begin_again(self, is_running):
        """After fork(), in the child: readiness and a pipe of its own, under the same numbers,
        so that neither process takes from the other what wakes it.

        Parameters
        ----------
        is_running : bool
            Does the one thread that is left run the loop?
        """
        if self.wake_reader < 0:
            return
        for fd, number in zip(os.pipe(), (self.wake_reader, self.wake_writer)):
            os.set_blocking(fd, False)
            os.dup2(fd, number, False)
            os.close(fd)
        self.is_woken = False
        if self.has_wake_up_fd and not is_running:
            # Signals would be written there for ever, also when it is another file's number.
            self.has_wake_up_fd = False
            previous = signal.set_wakeup_fd(-1)
            if previous != self.wake_writer:
                signal.set_wakeup_fd(previous)
        if self.is_running and not is_running:
            # Of another thread, which is not here: its callbacks are the parent's to call.
            self.soon.clear()
            self.timers.clear()
        self.is_running = is_running
        self.readiness.begin_again(is_running)
        for watched in self.watched:
            if watched is not None and (<Watched>watched).interest:
                try:
                    self.readiness.add((<Watched>watched).fd, (<Watched>watched).interest)
                except OSError as error:
                    if caught(error, OSError).errno != EBADF:
                        raise  # else somebody closed it, as in the parent

    cdef int adopt(self, Watched watched, int interest) except -1:
        """Watch something from now on."""
        cdef Py_ssize_t missing = watched.fd + 1 - len(self.watched)
        if missing > 0:
            self.watched.extend([None] * (missing + len(self.watched) // 2))
        other = self.watched[watched.fd]
        if other is not None:
            # Somebody else closed its fd, whose number is another's now.
            self.forget_idle(<Watched>other)
            (<Watched>other).interest = 0
            (<Watched>other).fd = -1
            (<Watched>other).end_now()
        watched.loop = self
        watched.interest = 0
        watched.watch(interest)
        self.watched[watched.fd] = watched
        return 0

    cdef int drop(self, Watched watched) except -1:
        """Watch it no more; the caller closes the fd."""
        self.forget_idle(watched)
        if 0 <= watched.fd < len(self.watched) and self.watched[watched.fd] is watched:
            watched.watch(0)
            self.watched[watched.fd] = None
        return 0

    def set_idle_timeout(self, seconds):
        """End what nothing happens to for so long; None: never."""
        cdef double nanoseconds = 0 if seconds is None else seconds * 1e9
        self.idle_timeout_ns = <int64_t>min(nanoseconds, 9e18)

    def call_at_wake_up(self, function):
        """Have it called at the end of each wake-up, before the next wait."""
        self.at_wake_up.append(function)

    def drain(self):
        """Tell everybody that the loop is to end: who has nothing to do may go."""
        for watched in list(self.watched):
            if watched is not None:
                (<Watched>watched).drain()

    def end_all(self, silently=False):
        """End what is watched, at once; `silently`: without sending what waits for its peer,
        which another process is about to send."""
        for watched in list(self.watched):
            if watched is not None:
                if silently and hasattr(watched, "abort"):
                    watched.abort()
                (<Watched>watched).end_now()
        for _ in range(16):  # who puts itself there again is not waited for
            if not self.soon:
                break
            self.run_soon()

    # The idle: a list linked through its members, the longest idle first.

    cdef void touch(self, Watched watched) noexcept:
        """Something happened there just now: it is the least idle."""
        cdef PyObject *this = <PyObject *>watched
        watched.active_ns = self.now_ns
        if self.least_idle == this:
            return
        self.forget_idle(watched)
        watched.idle_before = self.least_idle
        if self.least_idle != NULL:
            (<Watched>self.least_idle).idle_after = this
        else:
            self.longest_idle = this
        self.least_idle = this

    cdef void forget_idle(self, Watched watched) noexcept:
        cdef PyObject *this = <PyObject *>watched
        if watched.idle_before != NULL:
            (<Watched>watched.idle_before).idle_after = watched.idle_after
        elif self.longest_idle == this:
            self.longest_idle = watched.idle_after
        if watched.idle_after != NULL:
            (<Watched>watched.idle_after).idle_before = watched.idle_before
        elif self.least_idle == this:
            self.least_idle = watched.idle_before
        watched.idle_before = watched.idle_after = NULL

    cdef int end_idle(self) except -1:
        cdef Watched watched
        if self.idle_timeout_ns <= 0:
            return 0
        while self.longest_idle != NULL:
            watched = <Watched>self.longest_idle
            if watched.active_ns + self.idle_timeout_ns > self.now_ns:
                break
            self.forget_idle(watched)
            watched.timed_out()
        return 0

    # Callbacks.

    def call_soon_threadsafe(self, callback, *arguments):
        """Call it at the next turn of the loop; from any thread or signal handler.

        Raises
        ------
        TypeError
            `callback` is not callable.
        RuntimeError
            The loop is closed. Without this error `callback` was scheduled before close().
        """
        check_callback(callback)
        with cython.critical_section(self):  # serialised with close()
            self.check_open()
            self.soon.append((callback, arguments))
        self.wake()

    def call_soon(self, callback, *arguments):
        """Call it at the next turn; from the loop's thread."""
        check_callback(callback)
        self.check_open()
        self.soon.append((callback, arguments))

    def call_later(self, delay, callback, *arguments):
        """Call it after `delay` seconds; returns a handle with cancel()."""
        cdef TimerHandle handle = TimerHandle.__new__(TimerHandle)
        cdef double seconds = delay
        check_callback(callback)
        self.check_open()
        if seconds != seconds:
            raise ValueError("delay must be a number of seconds, not NaN")
        seconds = min(max(seconds, 0.0), 1e9)
        handle.callback = callback
        handle.arguments = arguments
        handle.deadline_ns = monotonic_ns() + <int64_t>(seconds * NS_PER_S)
        self.timers_made += 1
        heappush(self.timers, (handle.deadline_ns, self.timers_made, handle))
        return handle

    def stop(self):
        """End run() at its next turn; from any thread or signal handler."""
        self.is_stopped = True
        self.wake()

    cdef int check_open(self) except -1:
        if self.wake_reader < 0:
            raise RuntimeError("this loop is closed")
        return 0

    cdef int wake(self) except -1:
        # With the GIL held, or in turn: the loop's thread may be about to close() it.
        with cython.critical_section(self):
            if not self.is_woken and self.wake_writer >= 0:
                self.is_woken = True
                if libc.write(self.wake_writer, b"\0", 1) < 0:
                    pass  # it is full: the loop is awake
        return 0

    cdef int run_soon(self) except -1:
        cdef Py_ssize_t count = len(self.soon)
        while count:
            count -= 1
            callback, arguments = self.soon.popleft()
            call_back(callback, arguments)
        return 0

    cdef int run_timers(self) except -1:
        cdef TimerHandle handle
        while self.timers:
            deadline_ns, _, handle = self.timers[0]
            if handle.callback is not None and deadline_ns > self.now_ns:
                break
            heappop(self.timers)
            callback, arguments = handle.callback, handle.arguments
            handle.callback = None
            if callback is not None:
                call_back(callback, arguments)
        return 0

    # The turns.

    def run(self):
        """Wait and dispatch until stop() is called.

        Raises
        ------
        RuntimeError
            It runs already.
        KeyboardInterrupt, SystemExit
            Of a signal handler or a callback; run() may be called again.
        """
        cdef int count
        cdef int64_t turn_ns
        if self.is_running:
            raise RuntimeError("this loop runs already")
        self.check_open()
        previous = None
        self.is_running = True
        try:
            previous = take_wake_up_fd(self.wake_writer)  # Python code: signals come here, too
            self.has_wake_up_fd = previous is not None
            PyErr_CheckSignals()  # one that came before was not written to the pipe
            self.now_ns = turn_ns = monotonic_ns()
            while True:
                self.run_soon()
                if self.is_stopped:
                    self.is_stopped = False
                    break
                count = self.readiness.wait(self.time_to_wait())
                self.now_ns = monotonic_ns()
                if self.readiness.has_slept():
                    turn_ns = self.now_ns
                self.dispatch(count)
                for callback in self.at_wake_up:
                    callback()
                if self.timers:
                    self.run_timers()
                if self.longest_idle != NULL:
                    self.end_idle()
                if self.now_ns - turn_ns > TURN_NS:
                    with nogil:  # who waits for the GIL gets it
                        turn_ns = self.now_ns
                PyErr_CheckSignals()
        finally:
            self.is_running = False
            if previous is not None:
                self.has_wake_up_fd = False
                signal.set_wakeup_fd(previous)

    cdef int64_t time_to_wait(self) except -2:
        """Until something is to be done, in nanoseconds; 0: at once."""
        cdef int64_t until_ns = self.now_ns + LONGEST_WAIT_NS
        cdef int64_t deadline_ns
        if self.soon:
            return 0
        if self.timers:
            deadline_ns = self.timers[0][0]
            until_ns = min(until_ns, deadline_ns)
        if self.idle_timeout_ns > 0 and self.longest_idle != NULL:
            until_ns = min(until_ns,
                           (<Watched>self.longest_idle).active_ns + self.idle_timeout_ns)
        return max(until_ns - self.now_ns, 0)

    cdef int dispatch(self, int count) except -1:
        cdef int index = 0
        cdef int events
        cdef PyObject *found
        watched = None
        while index < count:
            try:
                while index < count:  # one `try` for all of them: most raise nothing
                    found = PyList_GET_ITEM(self.watched, self.readiness.events[index].data.fd)
                    events = <int>self.readiness.events[index].events
                    index += 1
                    if <object>found is not None:
                        watched = <object>found  # owned for the time of the call
                        (<Watched>watched).ready(events)
            except Exception:
                (<Watched>watched).ready_raised()
        return 0


cdef object take_wake_up_fd(int fd):
    """Let signals write to the pipe, in the main thread, if nobody has asked for that: the
    fd to restore, or None."""
    if threading.current_thread() is not threading.main_thread():
        return None
    previous = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    if previous != -1:
        signal.set_wakeup_fd(previous)
        return None
    return previous


cdef int check_callback(object callback) except -1:
    if not callable(callback):
        raise TypeError(f"callback must be callable, not {callback!r}")
    return 0


cdef int call_back(object callback, object arguments) except -1:
    try:
        callback(*arguments)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # also asyncio.CancelledError
        logger.exception("a callback raised: %r", callback)
    return 0
