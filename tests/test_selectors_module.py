"""EpollSelector, PollSelector, SelectSelector, DefaultSelector: registering and select().

Subclasses, event loops, garbage and install() are in test_selectors_in_use.py, long
random runs in test_select_randomly.py.
"""

import enum
import os
import selectors as stdlib_selectors
import signal
import socket as stdlib_socket
import threading
import types

import pytest

import fastsock
from fastsock import selectors
from tests.conftest import TIMEOUT_S
from tests.polling import CLASSES, OUR_CLASSES, SELECTOR_MODULES, File, Index, same_outcomes
from tests.test_signals import ENOUGH, Interrupted, raise_interrupted, signals
from tests.workers import Worker, needs_to_see_sleepers

READ, WRITE = stdlib_selectors.EVENT_READ, stdlib_selectors.EVENT_WRITE
BOTH = READ | WRITE
NAN, INFINITY = float("nan"), float("inf")

pytestmark = pytest.mark.filterwarnings("ignore:bool is used as a file descriptor")
#: In which system call each sleeps.
CALLS = {"EpollSelector": "epoll_wait", "PollSelector": "poll", "SelectSelector": "select"}

each_class = pytest.mark.parametrize("name", CLASSES)


# -- the module -------------------------------------------------------------------

def test_classes_are_subclasses_of_the_stdlibs():
    for name in OUR_CLASSES:
        ours, theirs = getattr(selectors, name), getattr(stdlib_selectors, name)
        assert issubclass(ours, theirs) and ours is not theirs and ours.__name__ == name
        with ours() as selector:
            assert isinstance(selector, stdlib_selectors.BaseSelector)
    for name in {*CLASSES} - {*OUR_CLASSES}:
        assert getattr(selectors, name) is getattr(stdlib_selectors, name)
    assert selectors.DefaultSelector is getattr(
        selectors, stdlib_selectors.DefaultSelector.__name__)


def test_other_names_are_the_stdlibs():
    for name in ("SelectorKey", "EVENT_READ", "EVENT_WRITE", "BaseSelector", "KqueueSelector",
                 "DevpollSelector", "_BaseSelectorImpl", "_SelectorMapping"):
        if hasattr(stdlib_selectors, name):
            assert getattr(selectors, name) is getattr(stdlib_selectors, name)


# -- registering --------------------------------------------------------------------

def test_register_returns_a_key(selector, pipes):
    reader, _ = pipes()
    data = object()
    key = selector.register(reader, READ, data)
    assert type(key) is stdlib_selectors.SelectorKey
    assert key == (reader, reader, READ, data) and key.data is data
    assert selector.get_key(reader) is key and selector.get_map()[reader] is key
    assert dict(selector.get_map()) == {reader: key} and len(selector.get_map()) == 1
    assert selector.unregister(reader) is key
    assert dict(selector.get_map()) == {} and selector.select(0) == []


def test_events_and_data_by_name(selector, pipes):
    reader, _ = pipes()
    assert selector.register(fileobj=reader, events=READ, data="x").data == "x"
    assert selector.modify(fileobj=reader, events=BOTH, data="y")[2:] == (BOTH, "y")
    assert selector.get_key(fileobj=reader).data == "y"
    assert selector.select(timeout=0) == []
    assert selector.unregister(fileobj=reader).data == "y"


@pytest.mark.parametrize("module", [stdlib_socket, fastsock], ids=["stdlib", "fastsock"])
def test_sockets(selector, module):
    a, b = module.socketpair()
    with a, b:
        key = selector.register(a, READ)
        assert key.fileobj is a and key.fd == a.fileno()
        assert selector.get_key(a) is selector.get_key(a.fileno()) is key
        assert selector.select(0) == []
        b.send(b"x")
        assert selector.select(0) == selector.select() == [(key, READ)]
        assert selector.unregister(a.fileno()) is key


@pytest.mark.parametrize("module", [stdlib_socket, fastsock], ids=["stdlib", "fastsock"])
def test_sockets_that_are_closed(selector, module):
    a, b = module.socketpair()
    key = selector.register(a, READ)
    a.close()
    assert selector.get_key(a) is key
    assert selector.unregister(a) is key
    for call in (selector.get_key, selector.unregister, lambda file: selector.modify(file, READ),
                 lambda file: selector.register(file, READ)):
        with pytest.raises(ValueError, match="^Invalid file descriptor: -1$"):
            call(a)
    b.close()


def test_a_socket_class_with_a_fileno_of_its_own(selector, pipes):
    reader, _ = pipes(b"x")

    class Elsewhere(fastsock.socket):
        def fileno(self):
            return reader

    with Elsewhere() as sock:
        key = selector.register(sock, READ)
        assert key.fd == reader and selector.select(0) == [(key, READ)]


def test_one_fd_by_two_objects(selector, pipes):
    reader, _ = pipes(b"x")
    with open(reader, "rb", closefd=False) as file:
        key = selector.register(file, READ)
        assert selector.get_key(reader) is key
        with pytest.raises(KeyError) as caught:
            selector.register(reader, READ)
        assert caught.value.args == (f"{reader} (FD {reader}) is already registered",)
        with pytest.raises(KeyError) as caught:
            selector.register(file, WRITE)
        assert caught.value.args == (f"{file!r} (FD {reader}) is already registered",)
        assert selector.select(0) == [(key, READ)]


def test_unknown_files(selector, pipes):
    reader, _ = pipes()
    for call in (selector.get_key, selector.unregister, lambda file: selector.modify(file, READ),
                 lambda file: selector.get_map()[file]):
        with pytest.raises(KeyError) as caught:
            call(reader)
        assert caught.value.args == (f"{reader!r} is not registered",)


def test_modify(selector, pipes):
    reader, writer = pipes()
    key = selector.register(writer, READ, "data")
    assert selector.select(0) == []
    assert selector.modify(writer, READ, "data") is key  # nothing is new
    changed = selector.modify(writer, WRITE, "data")
    assert changed == (writer, writer, WRITE, "data")
    assert selector.get_key(writer) is changed
    assert selector.select(0) == [(changed, WRITE)]
    other = selector.modify(writer, WRITE, "other")
    [(found, events)] = selector.select(0)
    assert found is other and found.data == "other" and events == WRITE
    assert selector.modify(writer, WRITE).data is None  # the default, and not what was
    assert key == (writer, writer, READ, "data")


def test_data_that_is_equal_to_nothing(selector, pipes):
    reader, _ = pipes(b"x")
    key = selector.register(reader, READ, NAN)
    other = selector.modify(reader, READ, NAN)
    assert other is not key and selector.select(0)[0][0] is other


@each_class
def test_modify_by_another_object(pipes, name):
    """What the key's fileobj is then, and where in the map it stands."""
    reader, writer = pipes(b"x")

    def run(module):
        with open(reader, "rb", closefd=False) as file, getattr(module, name)() as selector:
            selector.register(file, READ, "a")
            selector.register(writer, WRITE, "b")
            keys = [selector.modify(reader, READ, "c"), selector.modify(reader, BOTH, "c")]
            return [key.fileobj is file for key in keys], list(selector.get_map())
    same_outcomes(SELECTOR_MODULES, run)


@each_class
@pytest.mark.parametrize("events", [
    None, "x", 1.5, 2.0, [], 0, 1, 2, 3, 4, 5, -1, 8, True, False, Index(1), 2**31, 2**32 - 1,
    2**32 + 1, 2**64, 2**70 + 2, -2**70, enum.IntFlag("Flag", "A B").A], ids=repr)
def test_events_that_are_odd(pipes, name, events):
    """The exception, and what is registered after it, is the stdlib's."""
    reader, _ = pipes(b"x")
    other, _ = pipes(b"x")

    def register(selector):
        selector.register(other, events)

    def modify(selector):
        selector.modify(reader, events)

    def modify_data(selector):
        selector.modify(reader, events, "data")

    for call in (register, modify, modify_data):
        def run(module):
            with getattr(module, name)() as selector:
                selector.register(reader, READ)
                try:
                    error = call(selector)
                except Exception as caught:
                    error = type(caught), str(caught)
                return (error, {fd: tuple(key) for fd, key in selector.get_map().items()},
                        sorted((key.fd, found) for key, found in selector.select(0)))
        same_outcomes(SELECTOR_MODULES, run)


@pytest.mark.parametrize("name", [name for name in OUR_CLASSES if name != "SelectSelector"])
def test_events_that_equal_an_int_and_are_none(pipes, name):
    """1.0 is no change of events: the stdlib stores it, and select() raises from then on.

    fastsock refuses it at once, and all stays as it was.
    """
    reader, _ = pipes(b"x")
    with getattr(selectors, name)() as selector:
        key = selector.register(reader, READ)
        assert selector.modify(reader, 1.0) is key
        with pytest.raises(TypeError):
            selector.modify(reader, 1.0, "data")
        assert selector.get_key(reader) is key and selector.select(0) == [(key, READ)]


@each_class
@pytest.mark.parametrize("file", [
    None, "x", b"x", 1.0, [], object, -1, -2**40, 2**31, 2**40, True, Index(0), File(-1),
    File("x"), File(None), File(1.5), File("1"), File(KeyError("mine")), File(OSError("mine")),
    File(TypeError("mine")), File(ValueError("mine")), File(AttributeError("mine"))], ids=repr)
def test_files_that_are_odd(pipes, name, file):
    reader, _ = pipes(b"x")
    for method, arguments in [("register", (READ,)), ("modify", (READ,)), ("unregister", ()),
                              ("get_key", ())]:
        def run(module):
            with getattr(module, name)() as selector:
                selector.register(reader, READ)
                try:
                    found = getattr(selector, method)(file, *arguments)[1:]
                except Exception as caught:
                    found = type(caught), str(caught)
                return found, sorted(selector.get_map())
        same_outcomes(SELECTOR_MODULES, run)


@each_class
def test_a_file_that_the_kernel_refuses(name, tmp_path):
    with open(tmp_path / "file", "wb") as file:
        def run(module):
            with getattr(module, name)() as selector:
                try:
                    selector.register(file, WRITE)
                except OSError as caught:
                    return type(caught), str(caught), dict(selector.get_map())
                return [(key.fileobj, events) for key, events in selector.select(0)]
        same_outcomes(SELECTOR_MODULES, run)


@each_class
@pytest.mark.parametrize("reused", [False, True])
def test_a_file_that_was_closed_meanwhile(pipes, name, reused):
    """modify(), select() and unregister() of an fd that is gone, or another's by now."""
    def run(module):
        reader, writer = os.pipe()
        other, last = os.pipe()
        os.write(last, b"x")
        with getattr(module, name)() as selector:
            found = []
            selector.register(reader, READ, "data")
            selector.register(last, WRITE)
            os.close(reader)
            if reused:
                os.dup2(other, reader)
            for call in (lambda: selector.select(0), lambda: selector.modify(reader, BOTH)[2:],
                         lambda: selector.unregister(reader)[2:], lambda: selector.select(0),
                         lambda: selector.register(reader, READ)[2:], lambda: selector.select(0)):
                try:
                    result = call()
                except Exception as caught:
                    result = type(caught), str(caught)
                else:
                    if isinstance(result, list):
                        result = sorted((key.fd, events) for key, events in result)
                found.append(result)
            for fd in (writer, other, last, reader)[:4 if reused else 3]:
                os.close(fd)
            return found
    same_outcomes(SELECTOR_MODULES, run)


# -- the end -----------------------------------------------------------------------------

def test_leaving_closes(selector_class, pipes):
    reader, _ = pipes(b"x")
    with selector_class() as selector:
        selector.register(reader, READ)
        mapping = selector.get_map()
    assert selector.get_map() is None and len(mapping) == 0
    with pytest.raises(RuntimeError, match="^Selector is closed$"):
        selector.get_key(reader)
    selector.close()  # again


@each_class
def test_calls_after_close(pipes, name):
    reader, _ = pipes(b"x")
    for call in (lambda selector: selector.select(0), lambda selector: selector.select(-1),
                 lambda selector: selector.register(reader, READ)[1:],
                 lambda selector: selector.unregister(reader),
                 lambda selector: selector.modify(reader, WRITE),
                 lambda selector: selector.get_key(reader),
                 lambda selector: selector.select("x"),
                 lambda selector: selector.close()):
        def run(module):
            selector = getattr(module, name)()
            selector.register(reader, READ)
            selector.close()
            return call(selector)
        same_outcomes(SELECTOR_MODULES, run)


def test_an_epoll_selector_has_a_fileno(selector):
    if "Epoll" in type(selector).__name__:
        assert selector.fileno() == selector._selector.fileno() >= 0


# -- select() ---------------------------------------------------------------------------

def test_nothing_registered(selector):
    assert selector.select(0) == selector.select(-1) == selector.select(0.001) == []


def test_results_are_new_lists_of_pairs(selector, pipes):
    reader, writer = pipes(b"x")
    keys = {(selector.register(reader, READ), READ), (selector.register(writer, WRITE), WRITE)}
    for timeout in (0, None, 5, -1, 0.5, True):
        found = selector.select(timeout)
        assert type(found) is list and set(found) == keys
        assert all(type(pair) is tuple and type(pair[1]) is int for pair in found)
        found.clear()


def test_only_what_was_asked_for_is_told(selector, pipes):
    a, b = stdlib_socket.socketpair()
    with a, b:
        b.send(b"x")
        key = selector.register(a, WRITE)
        assert selector.select(0) == [(key, WRITE)]
        key = selector.modify(a, READ)
        assert selector.select(0) == [(key, READ)]
        key = selector.modify(a, BOTH)
        assert selector.select(0) == [(key, BOTH)]
        b.close()
        assert selector.select(0) == [(key, BOTH)]  # to be written, which then fails


@each_class
@pytest.mark.parametrize("wanted", [READ, WRITE, BOTH])
def test_hang_up_and_error(pipes, name, wanted):
    reader, gone_writer = pipes()
    gone_reader, writer = pipes()
    pipes.close(gone_writer, gone_reader)

    def run(module):
        with getattr(module, name)() as selector:
            selector.register(reader, wanted)
            selector.register(writer, wanted)
            return sorted((key.fd, events) for key, events in selector.select(0))
    same_outcomes(SELECTOR_MODULES, run)


@each_class
@pytest.mark.parametrize("timeout", [
    None, 0, 1, -1, True, 0.0, -0.0, 1e-300, -1e300, 0.5, NAN, INFINITY, -INFINITY, 1e10, 1e300,
    2147483.647, 2147483.648, 9223372036, 9223372036.85, 9223372037, 2**62, 2**63, 2**70, -2**70,
    10**400, "x", [], 1j, object], ids=repr)
def test_timeouts(pipes, name, timeout):
    reader, _ = pipes(b"x")

    def run(module):
        with getattr(module, name)() as selector:
            selector.register(reader, READ)
            return [(tuple(key), events) for key, events in selector.select(timeout)]
    same_outcomes(SELECTOR_MODULES, run)


def test_the_same_pair_for_the_same_events(pipes):
    for name in OUR_CLASSES:
        reader, writer = pipes(b"x")
        with getattr(selectors, name)() as selector:
            key = selector.register(reader, READ, "data")
            [first] = selector.select(0)
            assert first[0] is key and selector.select()[0] is first
            other = selector.modify(reader, READ, "other")
            [second] = selector.select(0)
            assert second is not first and second[0] is other
            selector.unregister(reader)
            third = selector.register(reader, READ, "other")
            assert selector.select(0)[0][0] is third
            assert first == (key, READ)  # whoever has it finds it as it was


def test_thousands_of_fds(selector_class, pipes, many_fds):
    count = min(3200, many_fds - 200) // 2
    if "Select" == selector_class.__name__[:6]:
        count = min(count, 450)
    fds = [pipes(b"x") for _ in range(count)]
    with selector_class() as selector:
        for number, (reader, writer) in enumerate(fds):
            selector.register(reader, READ, number)
            selector.register(writer, WRITE, -number)
        for _ in range(3):
            found = {(key.fd, key.data, events) for key, events in selector.select(0)}
            assert len(found) == 2 * count
            assert found == ({(fds[n][0], n, READ) for n in range(count)}
                             | {(fds[n][1], -n, WRITE) for n in range(count)})
        for reader, writer in fds[1:]:
            selector.unregister(reader)
            selector.modify(writer, READ)
        assert [key.fd for key, _ in selector.select()] == [fds[0][0]] or count > 1
        assert {key.fd for key, _ in selector.select()} == set(fds[0])


def test_an_fd_that_is_too_high_for_select(selectors_module, pipes, many_fds):
    if many_fds <= 1024:
        pytest.skip("no fd may be so high here")
    reader, _ = pipes(b"x")
    os.dup2(reader, 1024)
    try:
        with selectors_module.SelectSelector() as selector:
            key = selector.register(reader, READ)
            high = selector.register(1024, READ)
            for _ in range(2):
                with pytest.raises(ValueError, match="out of range in select"):
                    selector.select(0)
            assert selector.get_key(1024) is high
            high = selector.modify(1024, BOTH)
            with pytest.raises(ValueError, match="out of range in select"):
                selector.select(None)
            assert selector.unregister(1024) is high
            assert selector.select(0) == [(key, READ)]
    finally:
        os.close(1024)


# -- waiting -----------------------------------------------------------------------------

def test_a_wait_goes_on_after_a_signal(selector, pipes):
    reader, writer = pipes()
    key = selector.register(reader, READ)
    for timeout in (None, TIMEOUT_S):
        with signals(lambda count: os.write(writer, b"x") if count == ENOUGH else None) as sent:
            assert selector.select(timeout) == [(key, READ)]
        assert sent.count >= ENOUGH
        os.read(reader, 1)


def test_a_handler_that_raises_ends_the_wait(selector, pipes):
    reader, writer = pipes()
    key = selector.register(reader, READ)
    for timeout in (None, TIMEOUT_S):
        with signals(raise_interrupted), pytest.raises(Interrupted):
            selector.select(timeout)
    os.write(writer, b"x")
    assert selector.select(0) == [(key, READ)]


@needs_to_see_sleepers
def test_a_handler_that_raises_interrupted_error(selector, pipes):
    # The stdlib's selectors take it for a signal and return what there is: nothing.
    def handle(number, frame):
        raise InterruptedError

    def interrupt():
        while not Worker.sleeps_in(main, CALLS[type(selector).__name__]):
            os.sched_yield()
        signal.pthread_kill(main.thread.ident, signal.SIGUSR1)

    selector.register(pipes()[0], READ)
    main = types.SimpleNamespace(thread=threading.current_thread())
    before = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        assert selector.select() == []
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)


@needs_to_see_sleepers
def test_another_thread_makes_the_fd_ready(selector, pipes):
    call = CALLS[type(selector).__name__]
    reader, writer = pipes()
    key = selector.register(reader, READ)
    for timeout in (None, TIMEOUT_S) * 3:
        worker = Worker(call, selector.select, timeout)
        os.write(writer, b"x")
        worker.join()
        assert worker.result == [(key, READ)]
        os.read(reader, 1)
