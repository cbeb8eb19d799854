"""How many system calls select() and poll() make, counted by strace(1).

Ready: one call each, as the stdlib. Nothing ready: a sleep each, and only a few looks
that failed before it is known that looking does not help.
"""

import pytest

TURNS = 100
FEW = 5

SETUP = """import os
from fastsock import select, selectors
reader, writer = os.pipe()
{write}
waiter = {make}
waiter.register(reader, 1)"""

READY = 'os.write(writer, b"x")'

WAYS = {
    "EpollSelector": ("selectors.EpollSelector()", "select", 1, "epoll_wait"),
    "PollSelector": ("selectors.PollSelector()", "select", 1, "poll"),
    "SelectSelector": ("selectors.SelectSelector()", "select", 1, "select"),
    "epoll": ("select.epoll()", "poll", 1, "epoll_wait"),
    "poll": ("select.poll()", "poll", 1000, "poll"),
}
#: What C libraries and architectures make of them.
SAME = {"epoll_pwait": "epoll_wait", "ppoll": "poll", "pselect6": "select", "_newselect": "select"}

each_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def waits_of(calls_of):
    def waits(way, write, timeout, turns=TURNS):
        make, method, unit, _ = WAYS[way]
        if timeout is not None:
            timeout *= unit
        found = calls_of(SETUP.format(make=make, write=write),
                         f"for _ in range({turns}): waiter.{method}({timeout})")
        return [SAME.get(name, name) for name in found]
    return waits


@each_way
@pytest.mark.parametrize("timeout", [None, 0, 5])
def test_ready_fds_are_one_call_each(waits_of, way, timeout):
    assert waits_of(way, READY, timeout) == [WAYS[way][3]] * TURNS


@each_way
def test_a_look_without_events_is_one_call(waits_of, way):
    assert waits_of(way, "", 0) == [WAYS[way][3]] * TURNS


@each_way
def test_sleeps_are_one_call_each_but_for_a_few_looks(waits_of, way):
    found = waits_of(way, "", 0.001)
    assert set(found) == {WAYS[way][3]}
    assert TURNS <= len(found) <= TURNS + FEW


@each_way
def test_looks_between_sleeps_do_not_teach_it_to_look(calls_of, way):
    """As an event loop does: a look while it has work to do, else a sleep."""
    make, method, unit, call = WAYS[way]
    found = calls_of(SETUP.format(make=make, write=""), f"""for _ in range({TURNS}):
    waiter.{method}(0)
    waiter.{method}({0.001 * unit})""")
    assert 2 * TURNS <= len(found) <= 2 * TURNS + FEW


@each_way
def test_registering_is_one_call_of_epoll_and_else_none(calls_of, way):
    make, _, _, _ = WAYS[way]
    found = calls_of(SETUP.format(make=make, write=""),
                     "waiter.modify(reader, 1)\nwaiter.modify(reader, 2)\n"
                     "waiter.unregister(reader)")
    expected = {"epoll": 3, "EpollSelector": 2}.get(way, 0)  # the first changes no events
    assert found == ["epoll_ctl"] * expected
