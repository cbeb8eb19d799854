"""What one look of a server's loop finds together: connections that end one another, a fork
in between, very many at once.

Over AF_UNIX, where what is sent has arrived: what the loop's thread does in one callback is
there when it looks next.
"""

import os
import signal
import socket
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.protocol_servers import MUCH, Recording, read_all, read_exactly
from tests.serving import answering, receive, unix_address


@pytest.fixture
def serve(serve_ours, tmp_path):
    return lambda factory, **options: serve_ours(
        factory, address=unix_address(tmp_path), **options)


def test_a_connection_that_another_one_ended_is_told_of_nothing(serve):
    class Rival(Recording):
        def data_received(self, data):
            super().data_received(data)
            for other in server.all:
                if other is not self:
                    other.transport.abort()

    server = serve(Rival)
    clients = [server.connect() for _ in range(2)]
    protocols = [server.protocol() for _ in clients]

    def both():
        for client in clients:
            client.sendall(b"x")

    server.call(both)
    server.call(lambda: None)
    assert sorted(protocol.main_calls() for protocol in protocols) == [
        [("made",), ("data",)], [("made",), ("lost", None)]]


def test_a_protocol_that_aborts_what_was_to_be_closed(serve):
    class Aborting(Recording):
        def resume_writing(self):
            super().resume_writing()
            self.transport.abort()

    server = serve(Aborting)
    client, protocol = server.accept()

    def say():
        protocol.transport.set_write_buffer_limits(1, 0)  # told to go on when all was sent
        protocol.transport.write(MUCH)
        protocol.transport.close()

    server.call(say)
    assert read_all(client) == MUCH
    protocol.wait_for("lost")
    server.call(lambda: None)
    assert protocol.calls == [("made",), ("pause",), ("resume",), ("lost", None)]
    assert server.server.connection_count == 0


def test_very_many_at_once(tmp_path, many_fds):
    """By poll(2), too, whose events have room for less at first."""
    count = 300
    if many_fds < 3 * count:
        pytest.skip(f"room for {many_fds} open files only")
    with answering(bytes.upper, unix_address(tmp_path), use_poll=True) as served:
        clients = [served.connect() for _ in range(count)]
        try:
            served.turn()
            for _ in range(2):
                with served.held():
                    for number, client in enumerate(clients):
                        client.sendall(b"a%d" % number)
                for number, client in enumerate(clients):
                    expected = b"A%d" % number
                    assert receive(client, len(expected)) == expected
        finally:
            for client in clients:
                client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork() is not there")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_in_a_callback_as_the_loop_is_woken(serve):
    """The child is told of the pipe that its parent was woken by, and has one of its own."""
    children = []

    class Forking(Recording):
        def data_received(self, data):
            children.append(os.fork())
            if children[0] == 0:
                signal.alarm(int(TIMEOUT_S))  # ends it, if it hangs
                server.server.call_later(0, os._exit, 0)
            else:
                super().data_received(data)

    server = serve(Forking)
    client, protocol = server.accept()

    def wake():
        client.sendall(b"x")
        server.call_soon_threadsafe(bytes)

    # By a timer, since epoll(7) would name the pipe first if it had been written before.
    server.call(server.server.call_later, 0, wake)
    assert protocol.wait_for_bytes(1) == b"x"
    assert os.waitpid(children[0], 0)[1] == 0
    server.call(protocol.transport.write, b"served")
    assert read_exactly(client, 6) == b"served"


@pytest.mark.parametrize("use_poll", [False, True])
def test_a_server_that_is_closed_while_it_is_full(tmp_path, use_poll):
    """serve_forever() was left: what close() ends makes room, and nobody is to be let in."""
    def leave():
        raise SystemExit

    server = fastsock.Server(Recording, unix_address(tmp_path), max_connections=1,
                             use_poll=use_poll)
    with server, socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for client in first, second:
            client.settimeout(TIMEOUT_S)
            client.connect(server.addresses[0])
        server.call_later(0, leave)
        with pytest.raises(SystemExit):
            server.serve_forever()
        assert server.connection_count == 1
        server.close()
        assert server.connection_count == 0
        for client in first, second:
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                assert client is second  # it was in the backlog


def test_a_full_server_that_is_shut_down_lets_nobody_in(serve):
    server = serve(Recording, max_connections=1)
    client, protocol = server.accept()
    second = server.connect()
    server.server.shutdown(grace=1000)
    client.close()
    protocol.wait_for("lost")
    try:
        assert second.recv(1) == b""
    except ConnectionResetError:
        pass
    assert len(server.all) == 1


def test_an_idle_timeout_that_ends_what_has_just_ended():
    """A relay's target refuses, and nothing was moved since."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()
    with fastsock.Relay(("127.0.0.1", 0), nobody, idle_timeout=1e-9) as relay:
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        try:
            for _ in range(3):
                with pytest.raises(ConnectionResetError):  # of connect() already, if it is fast
                    with socket.create_connection(relay.addresses[0], TIMEOUT_S) as client:
                        client.recv(1)
        finally:
            relay.shutdown()
            thread.join(TIMEOUT_S)
        assert relay.connection_count == 0
