"""A server's life: serving, shutting down with and without time, closing, callbacks and
timers, and how many connections it takes. Signals are in test_server_processes.py.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.protocol_servers import MUCH, Recording, read_all, read_exactly

LOCAL = ("127.0.0.1", 0)


class Echo(Recording):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


@contextlib.contextmanager
def in_thread(server):
    """serve_forever() in a thread: a list for the exception that leaves it."""
    errors = []

    def run():
        try:
            server.serve_forever()
        except BaseException as error:
            errors.append(error)

    running = threading.Event()
    server.call_soon_threadsafe(running.set)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert running.wait(TIMEOUT_S)
        yield errors
    finally:
        server.shutdown()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


def is_refused(address):
    try:
        with fastsock.create_connection(address, timeout=TIMEOUT_S):
            return False
    except ConnectionRefusedError:
        return True


@pytest.fixture(params=[False, True], ids=["epoll", "poll"])
def options(request):
    """What each server here is made with."""
    return {"use_poll": request.param}


# -- serving and the end of it -----------------------------------------------------------

def test_serve_forever_twice(options):
    with fastsock.Server(Echo, LOCAL, **options) as server, in_thread(server) as errors:
        with pytest.raises(RuntimeError, match="runs already"):
            server.serve_forever()
        server.call_soon_threadsafe(server.serve_forever)  # logged
        ran = threading.Event()
        server.call_soon_threadsafe(ran.set)
        assert ran.wait(TIMEOUT_S) and "running" in repr(server)
    assert errors == []


def test_close_waits_though_another_was_refused(serve_ours):
    server = serve_ours()
    _, protocol = server.accept()
    with pytest.raises(RuntimeError, match="runs already"):
        server.server.serve_forever()
    server.server.close()
    assert protocol.calls == [("made",), ("lost", None)]
    assert is_refused(server.address)


def test_a_closed_server(options):
    server = fastsock.Server(Echo, LOCAL, **options)
    address = server.addresses[0]
    assert repr(server) == "<Server ready connections=0>"
    server.close()
    server.close()
    assert repr(server) == "<Server closed connections=0>" and is_refused(address)
    with pytest.raises(RuntimeError, match="this server is closed"):
        server.serve_forever()
    server.shutdown()
    for call in (lambda: server.call_soon_threadsafe(print), lambda: server.call_later(1, print)):
        with pytest.raises(RuntimeError, match="this server is closed"):
            call()
    server.close()


def test_the_context_manager_closes(options):
    with pytest.raises(ZeroDivisionError), fastsock.Server(Echo, LOCAL, **options) as server:
        address = server.addresses[0]
        assert server.connection_count == 0
        1 / 0
    assert is_refused(address)


def test_shutdown_before_serving(options):
    server = fastsock.Server(Echo, LOCAL, **options)
    server.shutdown()
    server.serve_forever()
    with pytest.raises(RuntimeError, match="closed"):
        server.serve_forever()


@pytest.mark.parametrize("method", ["shutdown", "close"])
@pytest.mark.parametrize("callback", ["connection_made", "data_received", "connection_lost"])
def test_the_end_from_a_callback(options, method, callback):
    def ending(self, *arguments):
        getattr(Recording, callback)(self, *arguments)
        getattr(server, method)()

    made = []

    def factory():
        made.append(type("Ending", (Recording,), {callback: ending})())
        return made[-1]

    server = fastsock.Server(factory, LOCAL, **options)
    with fastsock.create_connection(server.addresses[0]) as client:
        client.sendall(b"x")
        client.shutdown(fastsock.SHUT_WR)
        server.serve_forever()
        assert made[0].calls[-1] == ("lost", None)
        with contextlib.suppress(ConnectionResetError):  # where its byte was not read
            assert read_all(client) == b""


@pytest.mark.parametrize("method", ["shutdown", "close"])
def test_the_end_from_another_thread(serve_ours, method):
    server = serve_ours(Echo)
    client, protocol = server.accept()
    idle = server.accept()[1]
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    assert server.server.connection_count == 2
    getattr(server.server, method)()
    assert read_all(client) == b""
    assert protocol.wait_for("lost") == idle.wait_for("lost") == ("lost", None)
    server.server.close()  # waits for serve_forever()
    assert server.server.connection_count == 0 and is_refused(server.address)


def test_the_end_sends_what_the_kernel_takes(options):
    class Last(Recording):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"goodbye")
            server.shutdown()

    server = fastsock.Server(Last, LOCAL, **options)
    with fastsock.create_connection(server.addresses[0]) as client:
        server.serve_forever()
        assert read_all(client) == b"goodbye"


# -- with time to finish ------------------------------------------------------------------

def test_shutdown_lets_a_connection_finish(serve_ours):
    server = serve_ours(Echo)
    client, protocol = server.accept()
    server.server.shutdown(grace=3600.0)
    server.call(lambda: None)
    assert is_refused(server.address)
    client.sendall(b"still served")
    assert read_exactly(client, 12) == b"still served"
    client.close()
    server.thread.join(TIMEOUT_S)
    assert not server.thread.is_alive()
    assert protocol.calls == [("made",), ("data",), ("eof",), ("lost", None)]


def test_shutdown_ends_a_connection_when_the_time_is_over(serve_ours):
    server = serve_ours()
    client, protocol = server.accept()
    server.server.shutdown(0.05)
    assert read_all(client) == b""
    assert protocol.wait_for("lost") == ("lost", None)


def test_shutdown_with_time_and_nobody_there(serve_ours):
    server = serve_ours()
    server.server.shutdown(3600)
    server.thread.join(TIMEOUT_S)
    assert not server.thread.is_alive()


@pytest.mark.parametrize("method", ["shutdown", "close"])
def test_whoever_gave_time_may_want_no_more_of_it(serve_ours, method):
    server = serve_ours()
    client, protocol = server.accept()
    server.server.shutdown(3600)
    server.call(lambda: None)
    getattr(server.server, method)()
    assert read_all(client) == b""
    assert protocol.wait_for("lost") == ("lost", None)


def test_time_that_is_given_twice_is_no_end(serve_ours):
    server = serve_ours(Echo)
    client, protocol = server.accept()
    for _ in range(2):
        server.server.shutdown(3600)
        server.call(lambda: None)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_who_waits_to_be_accepted_is_served(options, count):
    server = fastsock.Server(Echo, LOCAL, **options)
    clients = [fastsock.create_connection(server.addresses[0]) for _ in range(count)]
    for client in clients:
        client.settimeout(TIMEOUT_S)
        client.sendall(b"x")
        client.shutdown(fastsock.SHUT_WR)
    server.shutdown(grace=3600)
    server.serve_forever()
    for client in clients:
        with client:
            assert read_all(client) == b"x"


@pytest.mark.parametrize(("grace", "error"), [
    ("much", TypeError), (None, TypeError), (float("nan"), ValueError), (-1, ValueError)], ids=str)
def test_times_that_are_refused(options, grace, error):
    with fastsock.Server(Echo, LOCAL, **options) as server:
        with pytest.raises(error, match=f"grace must be 0 or more seconds, not {grace!r}"):
            server.shutdown(grace)


# -- callbacks and timers ---------------------------------------------------------------------

def test_callbacks_of_many_threads(serve_ours):
    server, found = serve_ours(), []

    def call(name):
        for number in range(200):
            server.call_soon_threadsafe(found.append, (name, number))

    threads = [threading.Thread(target=call, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.call(lambda: None)
    assert len(found) == 1200
    for name in "abcdef":  # each thread's in its order
        assert [number for who, number in found if who == name] == list(range(200))


def test_callbacks_run_in_the_servers_thread_and_in_order(serve_ours):
    server, found = serve_ours(), []

    def first():
        server.call_soon_threadsafe(found.append, "later")
        found.append(threading.get_ident())

    server.call(first)
    server.call(found.append, "last")
    assert found == [server.thread.ident, "later", "last"]


def test_timers_in_order(serve_ours):
    server, found, at_once, done = serve_ours(), [], [], threading.Event()

    def start():
        for delay in (0.03, 0.01, 0.02, 0.01, 0, -5):
            server.server.call_later(delay, found.append, delay)
        server.server.call_later(0.03, done.set)
        at_once.extend(found)

    server.call(start)
    assert at_once == []
    assert done.wait(TIMEOUT_S)
    assert found == [0, -5, 0.01, 0.01, 0.02, 0.03] or found == [-5, 0, 0.01, 0.01, 0.02, 0.03]


def test_a_timer_is_not_early(options):
    found = []
    with fastsock.Server(Echo, LOCAL, **options) as server:
        start = time.monotonic()
        handle = server.call_later(0.02, lambda: (found.append(time.monotonic()),
                                                  server.shutdown()))
        assert handle.when() >= start + 0.02 and not handle.cancelled()
        server.serve_forever()
    assert found[0] >= handle.when() and handle.cancelled()


def test_timers_that_are_cancelled(serve_ours):
    server, found, done = serve_ours(), [], threading.Event()

    def start():
        handles = [server.server.call_later(0.001 * number, found.append, number)
                   for number in range(6)]
        for number in (0, 3, 5):
            handles[number].cancel()
            handles[number].cancel()
            assert handles[number].cancelled()
        server.server.call_later(0.01, lambda: (handles[1].cancel(), done.set()))
        # One that is cancelled by the one before it, when both are due.
        victim = []
        server.server.call_later(0, lambda: victim[0].cancel())
        victim.append(server.server.call_later(0, found.append, "victim"))

    server.call(start)
    assert done.wait(TIMEOUT_S)
    assert found == [1, 2, 4]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_callbacks_that_raise(serve_ours, caplog, error):
    server, done = serve_ours(), threading.Event()

    def failing():
        raise error("of a callback")

    server.call_soon_threadsafe(failing)
    server.call_soon_threadsafe(server.server.call_later, 0, failing)
    server.call_soon_threadsafe(server.server.call_later, 0.001, done.set)
    assert done.wait(TIMEOUT_S)
    records = [record for record in caplog.records if record.name == "fastsock.server"]
    assert [record.levelno for record in records] == [logging.ERROR] * 2
    assert all(record.exc_info[0] is error for record in records)
    server.accept()


@pytest.mark.parametrize("delay, error", [
    (float("nan"), ValueError), ("soon", TypeError), (None, TypeError)], ids=str)
def test_delays_that_are_refused(options, delay, error):
    with fastsock.Server(Echo, LOCAL, **options) as server:
        with pytest.raises(error):
            server.call_later(delay, print)
        server.call_later(float("inf"), print)
        server.call_later(1e300, print)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["callback", "timer", "protocol", "lost"])
def test_what_leaves_serve_forever(options, error, where):
    made = []

    class Raising(Recording):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"answer")
            if where == "protocol" and data == b"x":
                raise error

        def connection_lost(self, reason):
            super().connection_lost(reason)
            if where == "lost":
                raise error

    def factory():
        made.append(Raising())
        return made[-1]

    def fail():
        raise error

    with fastsock.Server(factory, LOCAL, **options) as server:
        with fastsock.create_connection(server.addresses[0], timeout=TIMEOUT_S) as client:
            client.sendall(b"x")
            if where == "callback":
                server.call_soon_threadsafe(fail)
            elif where == "timer":
                server.call_later(0, fail)
            elif where == "lost":
                client.shutdown(fastsock.SHUT_WR)
            with pytest.raises(error):
                server.serve_forever()
            assert "ready" in repr(server)
            with in_thread(server):  # it goes on with its connections
                assert read_exactly(client, 6) == b"answer"
                if where != "lost":
                    client.sendall(b"y")
                    assert read_exactly(client, 6) == b"answer"
    assert made[0].calls[-1] == ("lost", None)


def test_close_after_serve_forever_was_left_in_another_thread(options):
    left, server = [], fastsock.Server(Recording, LOCAL, **options)

    def leave():
        raise SystemExit

    with in_thread(server) as left:
        address = server.addresses[0]
        with fastsock.create_connection(address, timeout=TIMEOUT_S):
            server.call_soon_threadsafe(leave)
            server.close()
            assert is_refused(address)
            assert "closed" in repr(server)
    assert len(left) <= 1


# -- how many connections --------------------------------------------------------------------

@pytest.mark.parametrize("most", [1, 3])
def test_max_connections(serve_ours, most):
    server = serve_ours(Echo, max_connections=most)
    first = [server.accept() for _ in range(most)]
    waiting = [server.connect() for _ in range(2)]  # in the backlog
    for client in waiting:
        client.sendall(b"waiting")
    for client, _ in first:
        client.sendall(b"served")
        assert read_exactly(client, 6) == b"served"
    server.call(lambda: None)
    assert server.server.connection_count == most and server.made.empty()
    for (gone, protocol), client in zip(first, waiting):
        gone.close()
        protocol.wait_for("lost")
        assert read_exactly(client, 7) == b"waiting"
        first.append((client, server.protocol()))
    if most > 1:
        assert server.server.connection_count == most


def test_max_connections_and_several_addresses(serve_ours, tmp_path):
    server = serve_ours(Echo, address=[LOCAL, str(tmp_path / "socket")], max_connections=1)
    client, protocol = server.accept()
    others = [server.connect(address) for address in server.server.addresses]
    client.close()
    protocol.wait_for("lost")
    for _ in others:
        protocol = server.protocol()
        server.call(protocol.transport.close)
    for other in others:
        assert read_all(other) == b""


# -- nothing happens -----------------------------------------------------------------------------

def test_idle_connections_end_and_active_ones_do_not(serve_ours):
    server = serve_ours(Echo, idle_timeout=0.3)
    idle, idle_protocol = server.accept()
    active, active_protocol = server.accept()
    deadline = time.monotonic() + TIMEOUT_S
    while ("lost", TimeoutError) not in idle_protocol.calls:
        assert time.monotonic() < deadline
        active.sendall(b"x")
        assert read_exactly(active, 1) == b"x"
    assert idle_protocol.calls == [("made",), ("lost", TimeoutError)]
    assert read_all(idle) == b""
    assert active_protocol.calls == [("made",), ("data",)]


def test_a_peer_that_never_reads(serve_ours):
    server = serve_ours(idle_timeout=0.2)
    client, protocol = server.accept()
    server.call(protocol.transport.write, MUCH)
    assert protocol.wait_for("lost") == ("lost", TimeoutError)
    assert protocol.calls == [("made",), ("pause",), ("lost", TimeoutError)]
    assert len(read_all(client)) < len(MUCH)


def test_a_peer_that_never_reads_after_close(serve_ours):
    server = serve_ours(idle_timeout=0.2)
    client, protocol = server.accept()
    server.call(protocol.transport.write, MUCH)
    server.call(protocol.transport.close)
    assert protocol.wait_for("lost") == ("lost", TimeoutError)


def test_no_idle_timeout(serve_ours):
    server = serve_ours(Echo, idle_timeout=None)
    client, protocol = server.accept()
    done = threading.Event()
    server.call(server.server.call_later, 0.05, done.set)
    assert done.wait(TIMEOUT_S) and protocol.calls == [("made",)]


@pytest.mark.parametrize("busy_poll_us", [1, 200, 20_000])
def test_busy_polling(serve_ours, busy_poll_us):
    server = serve_ours(Echo, busy_poll_us=busy_poll_us)
    client, protocol = server.accept()
    for _ in range(20):
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
    server.call(protocol.transport.write, b"of another thread")
    assert read_exactly(client, 17) == b"of another thread"


class Interrupting(Recording):
    """Leaves serve_forever() with its connections open."""

    def data_received(self, data):
        raise KeyboardInterrupt


def interrupted(factory, count=3):
    """A server that KeyboardInterrupt stopped, and clients that are still connected to it."""
    server = fastsock.Server(factory, ("127.0.0.1", 0))
    clients = [socket.create_connection(server.addresses[0], TIMEOUT_S) for _ in range(count)]
    for client in clients:
        client.sendall(b"x")
    with pytest.raises(KeyboardInterrupt):
        server.serve_forever()
    return server, clients


def test_close_in_a_callback_of_close(caplog):
    class Closing(Interrupting):
        def connection_lost(self, error):
            lost.append(error)
            server.close()

    lost = []
    server, clients = interrupted(Closing)
    server.close()
    server.close()
    assert lost == [None] * server_side(clients)
    assert not caplog.records
    assert "closed" in repr(server)


def test_close_from_several_threads(caplog):
    class Slow(Interrupting):
        def connection_lost(self, error):
            lost.append(threading.get_ident())
            time.sleep(0.05)

    def close():
        server.close()
        after.append(len(lost))

    lost, after = [], []
    server, clients = interrupted(Slow)
    threads = [threading.Thread(target=close) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    count = server_side(clients)
    assert len(lost) == count and len(set(lost)) == 1
    assert after == [count] * 3  # each has waited for the end
    assert not caplog.records


def server_side(clients):
    """Close the clients: how many of them the server had accepted."""
    accepted = 0
    for client in clients:
        with client, contextlib.suppress(ConnectionResetError):
            while client.recv(100):
                pass
        accepted += 1
    return accepted
