"""The loop by itself, without a server: what it refuses, and what may be done twice."""

import gc
import weakref

import pytest

from fastsock._loop import Loop


@pytest.fixture(params=[False, True], ids=["default", "poll"])
def loop(request):
    made = Loop(use_poll=request.param)
    yield made
    made.close()


def test_a_loop_runs_once_at_a_time(loop):
    refused = []

    def again():
        with pytest.raises(RuntimeError, match="runs already"):
            loop.run()
        refused.append(loop.is_running)
        loop.stop()

    loop.call_soon_threadsafe(again)
    loop.run()
    assert refused == [True] and not loop.is_running
    loop.stop()
    loop.run()  # and again, one after the other


def test_a_closed_loop(loop):
    loop.close()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run()
    loop.begin_again(False)  # opens nothing: the test's end looks
    for call in (loop.call_soon_threadsafe, loop.call_soon, lambda one: loop.call_later(1, one)):
        with pytest.raises(RuntimeError, match="this loop is closed"):
            call(print)
    loop.stop()


def test_a_closed_loop_keeps_no_callback(loop):
    class Callback:
        def __call__(self):
            """Never called."""

    kept = [Callback(), Callback()]
    gone = [weakref.ref(one) for one in kept]
    loop.call_soon_threadsafe(kept[0])
    loop.call_later(60, kept[1])
    kept.clear()
    loop.close()
    gc.collect()
    assert [one() for one in gone] == [None, None]


@pytest.mark.parametrize("callback", [None, 3])
def test_what_cannot_be_called(loop, callback):
    for call in (loop.call_soon_threadsafe, loop.call_soon, lambda one: loop.call_later(1, one)):
        with pytest.raises(TypeError, match=f"callback must be callable, not {callback!r}"):
            call(callback)
    loop.stop()
    loop.run()


@pytest.mark.parametrize("seconds", [None, 1e-9, 1e300])
def test_an_idle_timeout_of_any_size_ends_no_loop(loop, seconds):
    loop.set_idle_timeout(seconds)
    loop.call_later(0, loop.stop)
    loop.run()
