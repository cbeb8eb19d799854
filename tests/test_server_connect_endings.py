"""The futures of Server.connect() when the server is closed: each is done then, wherever the
attempt was: before it began, while it was scheduled, in a look-up, or cancelled.
"""

import concurrent.futures
import socket
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, open_fds
from tests.protocol_servers import OURS, Recording

LOCAL = ("127.0.0.1", 0)


@pytest.fixture(params=OURS)
def options(request):
    return {"use_poll": request.param == "poll"}


@pytest.fixture
def target(tmp_path):
    """The path of a listening socket, on which connect(2) succeeds at once."""
    path = str(tmp_path / "target")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield path


def is_aborted(future):
    return isinstance(future.exception(TIMEOUT_S), ConnectionAbortedError)


@pytest.fixture
def look_up(monkeypatch):
    """Names whose look-up waits for `goes_on`; `begun` is set when one has begun."""
    original = socket.getaddrinfo

    class LookUp:
        begun, goes_on = threading.Event(), threading.Event()
        raised = []
        error = None

    def getaddrinfo(host, port, *arguments, flags=0, **options):
        if host != "some.example":
            return original(host, port, *arguments, flags=flags, **options)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        LookUp.thread = threading.current_thread()
        LookUp.begun.set()
        LookUp.goes_on.wait(TIMEOUT_S)
        if LookUp.error is not None:
            raise LookUp.error
        return original("127.0.0.1", port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(threading, "excepthook", LookUp.raised.append)
    yield LookUp
    LookUp.goes_on.set()


@pytest.mark.parametrize("kind", ["path", "name"])
def test_a_server_that_never_ran(options, target, look_up, kind):
    before = open_fds()
    made = []
    server = fastsock.Server(Recording, LOCAL, **options)
    address = target if kind == "path" else ("some.example", 80)
    futures = [server.connect(lambda: made.append(1), address) for _ in range(3)]
    assert futures[1].cancel()
    server.close()
    assert is_aborted(futures[0]) and is_aborted(futures[2])
    assert futures[1].cancelled()
    assert not concurrent.futures.wait(futures, 0).not_done  # also the cancelled one is reported
    assert not made and not look_up.begun.is_set() and server.connection_count == 0
    assert open_fds() == before


def test_connect_between_the_last_turn_and_the_end(options, target):
    """What the loop runs only while it is ended begins nothing."""
    before = open_fds()
    server = fastsock.Server(Recording, LOCAL, **options)
    found = []

    def last():
        found.append(server.connect(Recording, target))

    server.call_soon_threadsafe(server.call_soon_threadsafe, last)
    server.close()
    assert is_aborted(found[0])
    assert open_fds() == before


class Interposed:
    """A loop that calls a function before or after its close()."""

    def __init__(self, loop, before=None, after=None):
        self.loop, self.before, self.after = loop, before, after

    def __getattr__(self, name):
        return getattr(self.loop, name)

    def close(self):
        if self.before is not None:
            self.before()
        self.loop.close()
        if self.after is not None:
            self.after()


def in_a_thread(function):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function).exception(TIMEOUT_S)


@pytest.mark.parametrize("when", ["before", "after"])
def test_connect_in_another_thread_while_the_loop_is_closed(options, target, when):
    """Behind the last callback, a connect() is accepted and aborted, or refused."""
    server = fastsock.Server(Recording, LOCAL, **options)
    futures, raised = [], []

    def late():
        raised.append(in_a_thread(lambda: futures.append(server.connect(Recording, target))))

    server._loop = Interposed(server._loop, **{when: late})
    server.close()
    if when == "before":
        assert raised == [None] and is_aborted(futures[0])
    else:
        assert type(raised[0]) is RuntimeError and str(raised[0]) == "this server is closed"
        assert not futures and not server._outgoing


def test_connect_in_a_race_with_close(options, tmp_path):
    """Whatever the interleaving, each future is done."""
    for _ in range(10):
        server = fastsock.Server(Recording, LOCAL, **options)
        running, futures, raised = threading.Event(), [], []
        server.call_soon_threadsafe(running.set)

        def connects():
            try:
                for _ in range(500):
                    futures.append(server.connect(Recording, str(tmp_path / "nothing")))
            except RuntimeError as error:
                raised.append(str(error))

        serving = threading.Thread(target=server.serve_forever)
        connecting = threading.Thread(target=connects)
        serving.start()
        assert running.wait(TIMEOUT_S)
        connecting.start()
        server.close()
        connecting.join(TIMEOUT_S)
        serving.join(TIMEOUT_S)
        assert raised in ([], ["this server is closed"])
        assert not concurrent.futures.wait(futures, TIMEOUT_S).not_done
        assert not server._outgoing


@pytest.mark.parametrize("error", [None, socket.gaierror(socket.EAI_NONAME, "not known")],
                         ids=["found", "not found"])
def test_a_look_up_that_ends_after_the_server(options, look_up, error):
    server = fastsock.Server(Recording, LOCAL, **options)
    look_up.error = error
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        ended = pool.submit(server.serve_forever)
        future = server.connect(Recording, ("some.example", 80))
        assert look_up.begun.wait(TIMEOUT_S)
        server.close()
        ended.result(TIMEOUT_S)
    assert is_aborted(future)
    look_up.goes_on.set()
    look_up.thread.join(TIMEOUT_S)
    assert not look_up.thread.is_alive() and not look_up.raised


def test_connect_in_what_is_called_at_the_end(options, target):
    """connection_lost() and a future's callback that connect anew end nothing less."""
    before = open_fds()
    again = []

    class Persistent(Recording):
        def connection_lost(self, error):
            super().connection_lost(error)
            again.append(server.connect(Persistent, target))
            again[-1].add_done_callback(retry)

    def retry(future):
        if future.exception() is not None:
            again.append(server.connect(Persistent, target))

    server = fastsock.Server(Recording, LOCAL, **options)
    first = server.connect(Persistent, target)
    first.add_done_callback(lambda _: server.shutdown())
    server.serve_forever()
    first.result(0)
    assert len(again) > 1 and all(is_aborted(future) for future in again)
    assert server.connection_count == 0 and open_fds() == before


def test_keyboard_interrupt_while_the_attempts_are_ended(options, target):
    """close() again completes those that were left."""
    server = fastsock.Server(Recording, LOCAL, **options)
    futures = [server.connect(Recording, target) for _ in range(3)]

    def interrupt(_):
        raise KeyboardInterrupt

    for future in futures[:2]:
        future.add_done_callback(interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            server.close()
    server.close()
    assert all(is_aborted(future) for future in futures) and not server._outgoing


def test_cancel_when_the_loop_is_closed_already(options, target):
    server = fastsock.Server(Recording, LOCAL, **options)
    futures = []
    server._loop = Interposed(
        server._loop, before=lambda: futures.append(server.connect(Recording, target)),
        after=lambda: futures[0].cancel())
    server.close()
    assert futures[0].cancelled()
    assert not concurrent.futures.wait(futures, 0).not_done
