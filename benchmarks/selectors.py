"""selectors and select.epoll: python -m benchmarks selectors"""

import contextlib
import os
import select
import selectors

import fastsock
from benchmarks.measure import in_turn, timed, with_c


@contextlib.contextmanager
def event_fds(ready, others=0):
    """eventfds that can be read, and others that can't."""
    fds = [os.eventfd(1) for _ in range(ready)] + [os.eventfd(0) for _ in range(others)]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def again_and_again(look):
    """A variant that calls a look, which does not wait."""
    @timed
    def work(count):
        for _ in range(count):
            look(0)
    return work


def selecting(module, fds):
    selector = module.EpollSelector()
    for fd in fds:
        selector.register(fd, selectors.EVENT_READ)
    return again_and_again(selector.select)


def polling(module, fds):
    epoll = module.epoll()
    for fd in fds:
        epoll.register(fd, select.EPOLLIN)
    return again_and_again(epoll.poll)


def rows():
    modules = {"stdlib": selectors, "fastsock": fastsock.selectors}
    with event_fds(400) as fds:
        yield in_turn("select() with 400 ready, a call",
                      with_c({name: selecting(module, fds) for name, module in modules.items()},
                             "epoll", 400, 0), 200)
        yield in_turn("epoll.poll() with 400 ready, a call",
                      with_c({"stdlib": polling(select, fds),
                              "fastsock": polling(fastsock.select, fds)}, "epoll", 400, 0),
                      200)
    with event_fds(1, 10_000) as fds:
        yield in_turn("select() with 1 ready of 10,000",
                      with_c({name: selecting(module, fds) for name, module in modules.items()},
                             "epoll", 1, 10_000), 5000)
