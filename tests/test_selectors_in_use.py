"""Selectors in programs: subclasses, garbage, references, event loops, install()."""

import asyncio
import gc
import os
import selectors as stdlib_selectors
import sys
import weakref

import pytest

from fastsock import select, selectors
from tests.conftest import TIMEOUT_S
from tests.polling import CLASSES

READ, WRITE = stdlib_selectors.EVENT_READ, stdlib_selectors.EVENT_WRITE


# -- subclasses --------------------------------------------------------------------------

def test_a_subclass_that_calls_super(selector_class, pipes):
    reader, _ = pipes(b"x")
    calls = []

    class Counting(selector_class):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def register(self, fileobj, events, data=None):
            calls.append("register")
            return super().register(fileobj, events, [data])

        def modify(self, fileobj, events, data=None):
            calls.append("modify")
            return super().modify(fileobj, events, data)

        def unregister(self, fileobj):
            calls.append("unregister")
            return super().unregister(fileobj)

        def select(self, timeout=None):
            calls.append("select")
            return super().select(timeout)[::-1]

    with Counting("mine") as selector:
        assert selector.name == "mine"
        key = selector.register(reader, READ, "data")
        assert key.data == ["data"] and selector.select(0) == [(key, READ)]
        key = selector.modify(reader, READ, 5)
        assert selector.select() == [(key, READ)] and selector.unregister(reader) is key
    assert calls == ["register", "select", "modify", "select", "unregister"]


def test_which_methods_modify_calls(selectors_module, pipes):
    """SelectSelector's other events are a registration anew, by the subclass's methods."""
    reader, writer = pipes(b"x")
    for name in CLASSES:
        calls = []

        class Noting(getattr(selectors_module, name)):
            def register(self, fileobj, events, data=None):
                calls.append("register")
                return super().register(fileobj, events, data)

            def unregister(self, fileobj):
                calls.append("unregister")
                return super().unregister(fileobj)

        with Noting() as selector:
            selector.register(reader, READ)
            selector.modify(reader, READ, "data")
            assert calls == ["register"]
            selector.modify(reader, READ | WRITE)
            assert calls[1:] == (["unregister", "register"] if name == "SelectSelector" else [])


def test_a_subclass_with_a_poller_of_its_own(selectors_module, pipes):
    """`_selector` may be any object with the methods: the tests of asyncio put mocks there."""
    reader, _ = pipes(b"x")
    for name, kind in (("EpollSelector", "epoll"), ("PollSelector", "poll")):
        if name not in CLASSES:
            continue
        calls = []

        class Spy:
            def __init__(self):
                self.real = getattr(select, kind)()

            def __getattr__(self, method):
                calls.append(method)
                return getattr(self.real, method)

        with type("Sub", (getattr(selectors_module, name),), {"_selector_cls": Spy})() as selector:
            if not isinstance(selector._selector, Spy):
                selector._selector.close()
                selector._selector = Spy()
            key = selector.register(reader, READ)
            assert selector.select(0) == [(key, READ)]
            key = selector.modify(reader, READ | WRITE)
            assert selector.unregister(reader) is key
            assert calls[:4] == ["register", "poll", "modify", "unregister"]
            selector._selector = selector._selector.real


# -- garbage and references ----------------------------------------------------------------

class Data:
    pass


def test_a_selector_in_a_circle_is_collected(selector_class, pipes):
    reader, writer = pipes(b"x")
    selector = selector_class()
    data = Data()
    data.selector = selector
    selector.register(reader, READ, data)
    assert selector.select(0)[0][0].data is data
    gone = [weakref.ref(selector), weakref.ref(data)]
    del selector, data
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize("end", ["unregister", "modify", "close", "forget"])
def test_data_is_let_go(selector_class, pipes, end):
    reader, _ = pipes(b"x")
    data = Data()
    gone = weakref.ref(data)
    selector = selector_class()
    selector.register(reader, READ, data)
    assert selector.select(0)
    del data
    assert gone() is not None
    if end == "unregister":
        selector.unregister(reader)
    elif end == "modify":
        selector.modify(reader, READ, None)
        selector.select(0)
    elif end == "close":
        selector.close()
    else:
        selector = None
        gc.collect()  # the mapping of get_map() is a circle
    assert gone() is None
    if selector is not None:
        selector.close()


def test_no_reference_too_many(selector_class, pipes):
    reader, writer = pipes(b"x")
    data = Data()
    count = sys.getrefcount(data)
    with selector_class() as selector:
        for number in range(300):
            key = selector.register(reader, READ, data)
            selector.select(0)
            selector.select()
            key = selector.modify(reader, READ | WRITE, data)
            selector.select(0)
            with pytest.raises(KeyError):
                selector.register(reader, READ, data)
            with pytest.raises(ValueError):
                selector.register(writer, 0, data)
            with pytest.raises(ValueError):
                selector.register(-1, READ, data)
            key = selector.modify(reader, WRITE, data)
            selector.unregister(reader)
        del key
    gc.collect()  # what the exceptions hold
    assert sys.getrefcount(data) == count


def test_a_refused_registration_keeps_nothing(selector_class, tmp_path):
    data = Data()
    gone = weakref.ref(data)
    with open(tmp_path / "file", "wb") as file, selector_class() as selector:
        try:
            selector.register(file, READ, data)
        except PermissionError:
            assert len(selector.get_map()) == 0
        else:
            selector.unregister(file)
        del data
        gc.collect()
        assert gone() is None


@pytest.mark.parametrize("action", ["select", "register", "unregister", "close"])
def test_a_finalizer_that_uses_the_selector(selector_class, pipes, action):
    """Data that goes runs its __del__ in the middle of a method."""
    fds = [pipes(b"x")[0] for _ in range(20)]
    seen = []
    with selector_class() as selector:
        class Last:
            def __del__(self):
                if action == "select":
                    seen.append(len(selector.select(0)))
                elif action == "register":
                    seen.append(selector.register(fds[-1], READ))
                elif action == "unregister":
                    seen.append(selector.unregister(fds[1]))
                else:
                    seen.append(selector.close())

        for fd in fds[1:-1]:
            selector.register(fd, READ)
        selector.register(fds[0], READ, Last())
        selector.select(0)
        selector.modify(fds[0], READ, None)
        if action != "close":
            selector.select(0)  # the pair of before is let go by now at the latest
            found = {key.fd for key, _ in selector.select(0)}
            assert found == {"select": set(fds[:-1]), "register": set(fds),
                             "unregister": set(fds[:-1]) - {fds[1]}}[action]
        else:
            assert selector.get_map() is None
        assert len(seen) == 1


@pytest.mark.parametrize("turn", [1, 2, 3, 50])
@pytest.mark.parametrize("name", CLASSES)
def test_code_that_runs_in_a_collection(name, turn, pipes):
    """Making the results may set off collections, and one of them any code (a finalizer's)."""
    fds = [pipes(b"x")[0] for _ in range(100)]
    met = []
    turns = iter(range(1, turn))
    with getattr(selectors, name)() as selector:
        for fd in fds:
            selector.register(fd, READ, [fd])

        def callback(phase, _):
            if phase == "start" and not met and next(turns, None) is None:
                met.append(phase)
                for fd in fds:
                    selector.unregister(fd)
                    selector.register(fd, READ, -fd)

        held = [(number, number) for number in range(5000)]  # no tuple is left to be used again
        before = gc.get_threshold()
        gc.callbacks.append(callback)
        try:
            gc.set_threshold(1)
            found = selector.select(0)
        finally:
            gc.set_threshold(*before)
            gc.callbacks.remove(callback)
        assert sorted(key.fd for key, _ in found) == sorted(fds)
        if met:
            assert {key.data for key, _ in selector.select(0)} == {-fd for fd in fds}
        assert len(held) == 5000


# -- event loops and install() ---------------------------------------------------------------

def test_an_asyncio_loop(selector_class):
    """An echo server, with clients beside it, timers and calls of other threads."""
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def ask(port, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        data = os.urandom(100_000)
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()
        return number

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await asyncio.gather(*(ask(port, number) for number in range(20)))
        assert found == list(range(20))
        assert await asyncio.to_thread(os.getpid) == os.getpid()
        await asyncio.sleep(0.001)
        server.close()
        await server.wait_closed()

    with asyncio.Runner(
            loop_factory=lambda: asyncio.SelectorEventLoop(selector_class())) as runner:
        runner.run(asyncio.wait_for(main(), TIMEOUT_S))


def test_install_and_uninstall(python):
    python(code="""
import asyncio, select, selectors, socketserver, subprocess
before = dict(vars(selectors)), dict(vars(select))
import fastsock
from fastsock import selectors as ours
assert (dict(vars(selectors)), dict(vars(select))) == before, "importing changed a module"
names = {"PollSelector", "SelectSelector"}
if fastsock.select.epoll_is_ours:
    names |= {"DefaultSelector", "EpollSelector"}
for _ in range(2):
    fastsock.install()
    changed = {name for name, value in vars(selectors).items() if before[0][name] is not value}
    assert changed == names, changed
    for name in names:
        assert getattr(selectors, name) is getattr(ours, name)
    assert dict(vars(select)) == before[1]
    loop = asyncio.new_event_loop()
    assert type(loop._selector) is ours.DefaultSelector
    assert loop.run_until_complete(asyncio.sleep(0.001, "slept")) == "slept"
    loop.close()
    done = subprocess.run(["cat"], input="text", capture_output=True, text=True)
    assert done.stdout == "text"
    fastsock.uninstall()
    assert dict(vars(selectors)) == before[0]
    loop = asyncio.new_event_loop()
    assert type(loop._selector) is before[0]["DefaultSelector"]
    loop.close()
""")


def test_the_name_in_the_package_is_our_module(python):
    # The stdlib's socket.py imports selectors, and all its names are copied.
    python(code="""
import fastsock
from fastsock import select, selectors
assert fastsock.selectors is selectors and selectors.__name__ == "fastsock.selectors"
assert fastsock.select is select and select.__name__ == "fastsock.select"
import fastsock.selectors, fastsock.select, sys
assert sys.modules["fastsock.selectors"] is selectors is fastsock.selectors
""")


def test_disabled_by_the_environment(python):
    python(env={"FASTSOCK_DISABLE": "1"}, code="""
import selectors
before = dict(vars(selectors))
import fastsock
fastsock.install()
assert dict(vars(selectors)) == before
""")


@pytest.mark.parametrize("change", [
    "del selectors.PollSelector, select.poll", "del selectors.EpollSelector, select.epoll",
    "class Other(selectors.SelectSelector): pass\nselectors.DefaultSelector = Other"])
def test_modules_that_another_library_has_changed(python, change):
    """As gevent and eventlet do: what is left is there, and the default is theirs."""
    python(code=f"""
import select, selectors
try:
    {change.replace(chr(10), chr(10) + "    ")}
except AttributeError:
    pass  # not there in the first place
from fastsock import select as our_select, selectors as ours
for name in ("PollSelector", "EpollSelector", "SelectSelector"):
    assert hasattr(ours, name) == hasattr(selectors, name), name
assert issubclass(ours.DefaultSelector, selectors.DefaultSelector)
with ours.SelectSelector() as selector:
    assert selector.select(0) == []
assert our_select.select([], [], [], 0) == ([], [], [])
""")
