"""Long random runs on the stdlib's objects and fastsock's at once: each step does the same.

The fds are shared and the seeds are fixed, so that a failure comes again.
"""

import os
import random
import select as stdlib_select

import pytest

from tests.polling import (
    CLASSES, KINDS, SELECT_MODULES, SELECTOR_MODULES, made, outcome, requires_epoll,
)

IN, OUT, PRI = stdlib_select.POLLIN, stdlib_select.POLLOUT, stdlib_select.POLLPRI
STEPS = 4000


class World:
    """Pipes that fill, empty, close and come back under the same numbers."""

    def __init__(self, pipes, seed, pairs):
        self.random = random.Random(seed)
        self.pipes = pipes
        self.pairs = [pipes() for _ in range(pairs)]
        self.full = set()  # fds that have a byte to be read

    def fd(self):
        return self.random.choice(self.random.choice(self.pairs))

    def write(self):
        reader, writer = self.random.choice(self.pairs)
        if reader not in self.full:
            os.write(writer, b"x")
            self.full.add(reader)

    def read(self):
        reader, _ = self.random.choice(self.pairs)
        if reader in self.full:
            os.read(reader, 1)
            self.full.discard(reader)

    def replace(self):
        """Close a pipe; another gets its numbers, as the lowest that are free."""
        index = self.random.randrange(len(self.pairs))
        self.full.discard(self.pairs[index][0])
        self.pipes.close(*self.pairs[index])
        self.pairs[index] = self.pipes()


def run(world, both, change, observe):
    """Change at random; what `observe` returns is the same for both after each step."""
    for step in range(STEPS):
        kind = world.random.random()
        if kind < 0.25:
            world.write()
        elif kind < 0.4:
            world.read()
        elif kind < 0.41:
            world.replace()
        elif kind < 0.8:
            call = change()
            found = [outcome(call, each) for each in both]
            assert found[0] == found[1], f"step {step}"
        else:
            found = [outcome(observe, each) for each in both]
            assert found[0] == found[1], f"step {step}"


@pytest.mark.parametrize("pairs", [3, 150])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_pollers(pipes, kind, seed, pairs):
    world = World(pipes, seed, pairs)
    choose = world.random.choice
    masks = [0, IN, OUT, IN | OUT, IN | PRI, IN | OUT | PRI]
    if kind == "epoll":
        masks += [IN | stdlib_select.EPOLLET, IN | stdlib_select.EPOLLONESHOT]

    def change():
        name = choose(["register"] * 3 + ["modify", "unregister"])
        fd, mask = world.fd(), choose(masks)
        arguments = (fd,) if name == "unregister" else (fd, mask)
        return lambda poller: getattr(poller, name)(*arguments)

    def observe(poller):
        found = poller.poll(0)
        # The kernel's order of epoll is that in which fds became ready, also of two objects;
        # poll's is that of registration.
        return sorted(found) if kind == "epoll" else found

    with made(SELECT_MODULES["stdlib"], kind) as first, \
            made(SELECT_MODULES["fastsock"], kind) as second:
        run(world, [first, second], change, observe)
        assert observe(first) == observe(second)


@pytest.mark.parametrize("seed", range(3))
def test_select(pipes, seed):
    world = World(pipes, seed, 40)
    selects = [module.select for module in SELECT_MODULES.values()]
    for _ in range(STEPS // 4):
        for step in (world.write, world.read, world.read):
            step()
        lists = [[world.fd() for _ in range(world.random.randrange(30))] for _ in range(3)]
        found = [select(*lists, 0) for select in selects]
        assert found[0] == found[1]


def plain(key):
    return tuple(key)


@pytest.mark.parametrize("pairs", [3, 150])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CLASSES)
def test_selectors(pipes, name, seed, pairs):
    world = World(pipes, seed, pairs)
    choose = world.random.choice
    methods = ["register"] * 3 + ["modify"] * 2 + ["unregister", "get_key"]

    def change():
        method, fd, events, data = choose(methods), world.fd(), choose([1, 2, 3]), choose("abc")
        if world.random.random() < 0.02:
            events = choose([0, 4, -1, 7])
        if method in ("unregister", "get_key"):
            return lambda selector: plain(getattr(selector, method)(fd))
        return lambda selector: plain(getattr(selector, method)(fd, events, data))

    def observe(selector):
        ready = selector.select(0)
        if name != "PollSelector":  # only poll(2) has an order of its own
            ready.sort(key=lambda pair: pair[0].fd)
        return ([(plain(key), events) for key, events in ready],
                [plain(key) for key in selector.get_map().values()])

    made_by = [getattr(module, name) for module in SELECTOR_MODULES.values()]
    with made_by[0]() as first, made_by[1]() as second:
        run(world, [first, second], change, observe)
        assert observe(first) == observe(second)
        for fd in list(first.get_map()):
            assert plain(first.unregister(fd)) == plain(second.unregister(fd))
        assert observe(first) == observe(second) == ([], [])


@requires_epoll
def test_the_order_of_epoll(pipes):
    # Registered and made ready in one order, two objects tell of them in one order.
    fds = [pipes() for _ in range(50)]
    order = random.Random(1)
    with SELECT_MODULES["stdlib"].epoll() as first, SELECT_MODULES["fastsock"].epoll() as second:
        for reader, _ in fds:
            first.register(reader, IN)
            second.register(reader, IN)
        for _ in range(20):
            order.shuffle(fds)
            for _, writer in fds[:20]:
                os.write(writer, b"x")
            assert first.poll(0) == second.poll(0)
            for reader, _ in fds[:20]:
                os.read(reader, 1)
            assert first.poll(0) == second.poll(0) == []
