"""Threads that are known to sleep in a system call: no test has to guess by sleeping."""

import os
import pathlib
import platform
import signal
import sys
import threading
import time

import pytest

from tests.conftest import TIMEOUT_S

# The numbers of the calls; some C libraries make poll(2) of ppoll(2).
NUMBERS = {
    "x86_64": {"poll": {7, 271}, "recv": {45}, "epoll_wait": {232, 281},
               "select": {23, 270}},
    "aarch64": {"poll": {73}, "recv": {207}, "epoll_wait": {22}, "select": {72}},
}.get(platform.machine(), {})

needs_to_see_sleepers = pytest.mark.skipif(
    sys.platform != "linux" or not NUMBERS or not os.access("/proc/self/syscall", os.R_OK),
    reason="needs /proc/.../syscall, to see in which call a thread sleeps")


class Worker:
    """Calls a function in a thread; returns once the thread sleeps in the system call."""

    def __init__(self, call, function, *arguments):
        self.error = self.result = None
        self.thread = threading.Thread(target=self._run, args=(function, *arguments))
        self.thread.start()
        end_s = time.monotonic() + TIMEOUT_S
        while not self.sleeps_in(call):
            assert self.thread.is_alive(), f"returned {self.result!r}, raised {self.error!r}"
            assert time.monotonic() < end_s, f"it does not sleep in {call}"
            os.sched_yield()

    def _run(self, function, *arguments):
        try:
            self.result = function(*arguments)
        except BaseException as error:
            self.error = error

    def sleeps_in(self, call):
        task = pathlib.Path("/proc/self/task", str(self.thread.native_id), "syscall")
        try:
            first = task.read_text().split()[0]
        except (OSError, IndexError):  # it has just ended
            return False
        return first.isdigit() and int(first) in NUMBERS[call]

    def join(self):
        self.thread.join(TIMEOUT_S)
        assert not self.thread.is_alive()


def exit_status_of(function):
    """Call it in a child: 0 if it returned."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(int(TIMEOUT_S))  # ends it, if it hangs
            function()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitpid(pid, 0)[1]
