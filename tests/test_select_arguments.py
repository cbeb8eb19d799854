"""Arguments of epoll, poll and select that are odd or wrong, and timeouts.

Job: each call is made on the stdlib's module and on fastsock's, and does the same, to
the class and the text of an exception. The fds are ready, so that no call waits.
"""

import os
import select as stdlib_select
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.polling import (
    KINDS, SELECT_MODULES, File, Index, has_epoll, made, requires_epoll, same_outcomes,
)

IN = stdlib_select.POLLIN
NAN, INFINITY = float("nan"), float("inf")

class Real:
    """A number by its __float__() alone, which may raise."""

    def __init__(self, value):
        self.value = value

    def __float__(self):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def __repr__(self):
        return f"Real({self.value!r})"


pytestmark = pytest.mark.filterwarnings("ignore:bool is used as a file descriptor")

BAD_FDS = [
    None, "x", b"x", 1.0, [], object, Index(0), Index(-1), -1, -2, 2**31 - 1, 2**31, 2**40, 2**70,
    -2**40, True, 999999, File(-1), File("x"), File(None), File(1.0), File(2**40), File(True),
    File(KeyError("mine")), File(OSError("mine")), File(TypeError("mine")),
]

MASKS = [
    None, "x", 1.0, 1.5, [], True, False, Index(1), Index(-1), 0, 1, -1, -2**31, 2**15, 2**16 - 1,
    2**16, 2**31, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**70, -2**70,
]

NUMBERS = [None, "x", 1.0, [], True, Index(1), Index(0), Index(2**40), 0, 1, -1, -2, 1000, 2**31,
           2**40, -2**40, 2**70]

TIMEOUTS = [
    None, 0, 1, 5, -1, -2, True, False, 0.0, -0.0, 0.5, -0.5, -0.0005, 5e-324, -5e-324, 1e-12, NAN,
    INFINITY, -INFINITY, 1e300, -1e300, 1e10, -1e10, Index(0), Index(-1), Index(2**70),
    # Where milliseconds no longer fit into an int
    2147483.647, 2147483.6470001, 2147483.648, -2147483.648, -2147483.6489, -2147483.649,
    2147483647, 2147483647.5, 2147483648, -2147483648, -2147483648.5, -2147483649,
    # and nanoseconds into 64 bits.
    9223372036, 9223372036.5, 9223372036.854775, 9223372037, -9223372037, 2**62, 2**63, -2**63,
    2**70, -2**70,
    "x", "1", b"", [], 1j, object,
    # From 3.15 on real numbers of any kind.
    Fraction(1, 2), Decimal("0.5"), Decimal("nan"), Decimal("1e300"), Fraction(-10**300),
    Real(0.5), Real("x"), Real(KeyError("mine")), Real(TypeError("mine")),
]


def plain(value):
    """A result without what differs for a reason, like the fd of a new epoll object."""
    return value if isinstance(value, (list, tuple)) else type(value).__name__


def with_poller(kind, fd, call):
    """call(poller) on an object of which `fd` is part; then what poll() tells."""
    def run(module):
        with made(module, kind) as poller:
            poller.register(fd, IN)
            result = call(poller)
            return plain(result), poller.poll(0)
    return run


@pytest.mark.parametrize("bad", BAD_FDS, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_fds(pipes, kind, bad):
    reader, _ = pipes(b"x")
    for call in (lambda poller: poller.register(bad), lambda poller: poller.register(bad, IN),
                 lambda poller: poller.modify(bad, IN), lambda poller: poller.unregister(bad),
                 lambda poller: poller.register(bad, None)):
        same_outcomes(SELECT_MODULES, with_poller(kind, reader, call))


@pytest.mark.parametrize("bad", BAD_FDS, ids=repr)
def test_fds_of_select(pipes, bad):
    reader, _ = pipes(b"x")
    for lists in (([bad], [], []), ([], [reader, bad], []), ([], [], (bad,)), (bad, [], []),
                  ([], bad, []), ([reader], [], bad)):
        same_outcomes(SELECT_MODULES, lambda module: module.select(*lists, 0))


@pytest.mark.parametrize("mask", MASKS, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_masks(pipes, kind, mask):
    reader, _ = pipes(b"x")
    other, _ = pipes(b"x")
    for call in (lambda poller: poller.register(other, mask),
                 lambda poller: poller.modify(reader, mask)):
        same_outcomes(SELECT_MODULES, with_poller(kind, reader, call))


@requires_epoll
@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_numbers_of_epoll(pipes, number):
    reader, _ = pipes(b"x")

    def new(module, **keywords):
        module.epoll(**keywords).close()

    same_outcomes(SELECT_MODULES, lambda module: new(module, sizehint=number))
    same_outcomes(SELECT_MODULES, lambda module: new(module, flags=number))
    same_outcomes(SELECT_MODULES, with_poller(
        "epoll", reader, lambda poller: poller.poll(0, number)))
    same_outcomes(SELECT_MODULES, with_poller(
        "epoll", reader, lambda poller: poller.poll(timeout=0, maxevents=number)))


@requires_epoll
def test_the_flags_of_epoll():
    for flags in (stdlib_select.EPOLL_CLOEXEC, stdlib_select.EPOLL_CLOEXEC | 1):
        same_outcomes(SELECT_MODULES, lambda module: module.epoll(flags=flags).close())
        same_outcomes(SELECT_MODULES, lambda module: module.epoll(-1, flags).close())


@pytest.mark.parametrize("timeout", TIMEOUTS, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_timeouts(pipes, kind, timeout):
    reader, _ = pipes(b"x")
    kind_of, result = same_outcomes(SELECT_MODULES, with_poller(
        kind, reader, lambda poller: poller.poll(timeout)))
    assert kind_of != "returned" or result == ([(reader, IN)],) * 2


@pytest.mark.parametrize("timeout", TIMEOUTS, ids=repr)
def test_timeouts_of_select(pipes, timeout):
    reader, _ = pipes(b"x")
    kind_of, result = same_outcomes(
        SELECT_MODULES, lambda module: module.select([reader], [], [], timeout))
    assert kind_of != "returned" or result == ([reader], [], [])


@requires_epoll
def test_what_is_judged_first(pipes):
    reader, _ = pipes(b"x")
    for call in (lambda poller: poller.poll("x", 0), lambda poller: poller.poll("x", "y"),
                 lambda poller: poller.poll(NAN, 0), lambda poller: poller.poll(1e300, -7)):
        same_outcomes(SELECT_MODULES, with_poller("epoll", reader, call))
    for arguments in [(None, [], [], "x"), (None, [], [], -1), ([None], [], [], -1),
                      ([-1], [None], [], 0), ([-1], None, [], 0)]:
        same_outcomes(SELECT_MODULES, lambda module: module.select(*arguments))


def test_an_iterator_that_raises():
    def raising(error):
        yield 0
        raise error

    class NoIterator:
        def __iter__(self):
            return 5

    for error in (TypeError("mine"), KeyError("mine"), OSError("mine")):
        kind_of, text = same_outcomes(
            SELECT_MODULES, lambda module: module.select(raising(error), [], [], 0))
        assert kind_of is type(error) and "mine" in text
    same_outcomes(SELECT_MODULES, lambda module: module.select(NoIterator(), [], [], 0))


def test_names_and_numbers_of_arguments(select_module, pipes):
    # The texts are those of two ways to write extensions; the class is the same.
    reader, _ = pipes(b"x")
    poll = select_module.poll()
    calls = [
        lambda: select_module.select(), lambda: select_module.select([], []),
        lambda: select_module.select([], [], [], 0, 0),
        lambda: select_module.select([], [], [], timeout=0),
        lambda: select_module.poll(1), lambda: poll.register(), lambda: poll.register(fd=reader),
        lambda: poll.register(reader, IN, 0), lambda: poll.modify(reader),
        lambda: poll.unregister(), lambda: poll.poll(timeout=0), lambda: poll.poll(0, 0)]
    if has_epoll:
        with select_module.epoll() as epoll:
            calls += [lambda: select_module.epoll(1, 0, 0), lambda: select_module.epoll(size=1),
                      lambda: epoll.register(), lambda: epoll.modify(reader),
                      lambda: epoll.unregister(), lambda: epoll.poll(0, 1, 2),
                      lambda: epoll.poll(wait=0), lambda: epoll.fromfd(fd=reader),
                      lambda: epoll.close(1)]
    for call in calls:
        with pytest.raises(TypeError):
            call()


@requires_epoll
def test_arguments_that_are_refused_close_nothing(select_module):
    # An object whose initialiser never ran must not take 0 for its fd.
    before = os.fstat(0)
    for call in (lambda: select_module.epoll(1, 0, 0), lambda: select_module.epoll(size=1)):
        with pytest.raises(TypeError):
            call()
    assert os.path.samestat(os.fstat(0), before)


@requires_epoll
def test_names_of_the_arguments_of_epoll(select_module, pipes):
    reader, _ = pipes(b"x")
    with select_module.epoll(sizehint=10, flags=0) as epoll:
        epoll.register(fd=reader, eventmask=0)
        epoll.modify(fd=reader, eventmask=IN)
        assert epoll.poll(timeout=0, maxevents=1) == [(reader, IN)]
        epoll.unregister(fd=reader)
        assert epoll.poll(maxevents=1, timeout=0) == []
