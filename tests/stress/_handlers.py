"""A signal handler closes what a loop waits on, and its number is another file's when the
handler returns: the loop must end with EBADF, and leave the canary of `_closers.py` alone.

No other thread has a part in it, so there is no instant which a library could not see.
"""

import contextlib
import errno
import fcntl
import signal
import socket

import fastsock
from fastsock import select

from tests.stress._closers import canary, lose
from tests.stress._loops import RECEIVERS, SENDERS, TIMEOUTS
from tests.stress._peers import Source, fill, pair
from tests.stress._run import TIMEOUT_S, scenario

INTERVAL_S = 0.001
MOST_SIGNALS = TIMEOUT_S / INTERVAL_S


@contextlib.contextmanager
def at_third_signal(act):
    """Do something in a signal handler; further ones keep the loop from sleeping."""
    count = 0

    def handle(number, frame):
        nonlocal count
        count += 1
        if count == 3:
            act()
        if count > MOST_SIGNALS:
            raise TimeoutError("the loop goes on")

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL_S, INTERVAL_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ends_with_ebadf(run, call):
    """Does it?"""
    try:
        found = call()
    except OSError as error:
        return run.expect(error.errno == errno.EBADF, repr(error))
    except ValueError as error:
        return run.expect("closed" in str(error), repr(error))
    return run.expect(False, f"it returned {found!r}")


def closing_a_receiver(name, timeout, run):
    while run.goes_on():
        with contextlib.ExitStack() as held, canary(run) as other, pair(timeout) as (ours, _):
            receive = RECEIVERS[name].make(ours)
            with at_third_signal(lambda: lose(ours, "close", other, held)):
                ends_with_ebadf(run, receive)
            del receive
        run.rounds += 1


def closing_a_sender(name, timeout, run):
    data = Source().take(300_000)
    while run.goes_on():
        with contextlib.ExitStack() as held, canary(run) as other, \
                pair(timeout, room=20_000) as (ours, _):
            send = SENDERS[name].make(ours)
            fill(ours)
            with at_third_signal(lambda: lose(ours, "close", other, held)):
                ends_with_ebadf(run, lambda: send(data))
            del send
        run.rounds += 1


for kind, timeout in TIMEOUTS.items():
    for name in RECEIVERS:
        if "elect" not in name:
            scenario(f"handlers: {name}, {kind}", name, timeout)(closing_a_receiver)
    for name in SENDERS:
        # The interpreter's own sendfile() waits by a selector, without asking who owns the fd.
        if "elect" not in name:
            scenario(f"handlers: {name}, {kind}", name, timeout)(closing_a_sender)


@scenario("handlers: relay()")
def closing_a_relay(run):
    while run.goes_on():
        with contextlib.ExitStack() as held, canary(run) as other, \
                pair(None) as (near, client), pair(None) as (far, target):
            if run.chance.random() < 0.5:
                fill(client)
            lost = run.chance.choice((near, far))
            with at_third_signal(lambda: lose(lost, "close", other, held)):
                ends_with_ebadf(run, lambda: fastsock.relay(near, far))
        run.rounds += 1


def closing_an_epoll(timeout, run):
    """Its number is another epoll object's, which has something to tell."""
    while run.goes_on():
        quiet, writer = socket.socketpair()
        with quiet, writer, select.epoll() as other:
            other.register(writer, select.EPOLLOUT)
            epoll = select.epoll()
            epoll.register(quiet, select.EPOLLIN)
            number = epoll.fileno()
            taken = []

            def replace():
                epoll.close()
                taken.append(select.epoll.fromfd(fcntl.fcntl(
                    other.fileno(), fcntl.F_DUPFD_CLOEXEC, number)))
                run.add(fds=taken[0].fileno() == number)

            with at_third_signal(replace):
                ends_with_ebadf(run, lambda: epoll.poll(timeout))
            taken[0].close()
        run.rounds += 1


if hasattr(select, "epoll"):
    for kind, timeout in TIMEOUTS.items():
        scenario(f"handlers: select.epoll, {kind}", timeout)(closing_an_epoll)
