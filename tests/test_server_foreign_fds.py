"""File descriptors of a server that somebody else closes: a mistake of the process, which costs
the connections it is made with, and no others.
"""

import contextlib
import errno
import logging
import os
import socket

import pytest

from tests.protocol_servers import Recording, read_all, read_exactly


def number_of(server, protocol):
    return server.call(lambda: protocol.transport.get_extra_info("socket").fileno())


def is_served(server, client, protocol):
    size = len(protocol.received)
    client.sendall(b"there")
    assert protocol.wait_for_bytes(size + 5)[size:] == b"there"
    server.call(protocol.transport.write, b"back")
    assert read_exactly(client, 4) == b"back"


@contextlib.contextmanager
def all_below(number):
    """No free descriptor is smaller."""
    taken = [os.dup(0)]
    while taken[-1] < number:
        taken.append(os.dup(0))
    try:
        yield
    finally:
        for fd in taken:
            os.close(fd)


def test_a_new_connection_with_the_number_of_an_old_one(serve_ours):
    server = serve_ours()
    client, protocol = server.accept()
    number = number_of(server, protocol)
    with socket.socket() as another, all_below(number):
        another.settimeout(client.gettimeout())
        os.close(number)
        another.connect(server.address)
        new = server.protocol()
        assert protocol.wait_for("lost") == ("lost", None)
        assert read_all(client) == b""
        assert number_of(server, new) == number
        is_served(server, another, new)
        assert server.server.connection_count == 1


def test_a_connection_that_was_closed_and_is_open_elsewhere(serve_ours):
    """epoll(7) goes on telling of it, as long as there is a copy, and the loop finds nobody
    again and again: other threads, such as this one, have their turn."""
    server = serve_ours()
    other, good = server.accept()
    client, protocol = server.accept()

    def take_away():
        number = protocol.transport.get_extra_info("socket").fileno()
        copy = os.dup(number)
        os.close(number)
        return copy

    copy = server.call(take_away)
    try:
        client.sendall(b"x")
        assert protocol.wait_for("lost") == ("lost", OSError)
        is_served(server, other, good)
        assert protocol.received == b"" and server.server.connection_count == 1
    finally:
        os.close(copy)
    with pytest.raises(ConnectionResetError):  # nobody read what it had sent
        client.recv(1)


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_listening_socket_that_was_shut_down(serve_ours, tmp_path, caplog, family):
    caplog.set_level(logging.ERROR, "fastsock.server")
    places = {} if family == "tcp" else {"address": str(tmp_path / "s")}
    server = serve_ours(Recording, **places)
    client, protocol = server.accept()
    server.server.sockets[0].shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError) as caught:
        server.connect()
    assert caught.value.errno == errno.ECONNREFUSED
    for _ in range(3):
        is_served(server, client, protocol)
    record, = caplog.records  # said once
    assert "shut down or closed by somebody else" in record.getMessage()


def test_the_number_of_a_listening_socket_that_was_closed(serve_ours, caplog):
    """A listener that is opened later with the same number is not the server's."""
    server = serve_ours(max_connections=1)
    client, protocol = server.accept()
    server.call(lambda: None)
    number = server.server.sockets[0].fileno()
    waiting = server.connect()  # more than one: accepting is paused
    is_served(server, client, protocol)
    with socket.socket() as other, all_below(number):
        def replace():
            server.server.sockets[0].close()
            os.dup2(other.fileno(), number)

        other.bind(("127.0.0.1", 0))
        other.listen()
        other.settimeout(client.gettimeout())
        server.call(replace)
        try:
            with socket.create_connection(other.getsockname()) as foreign:
                client.close()  # now there would be room
                protocol.wait_for("lost")
                server.call(lambda: None)
                server.call(lambda: None)
                accepted, address = other.accept()
                assert address == foreign.getsockname()
                accepted.close()
        finally:
            os.close(number)
    waiting.close()
    assert server.made.empty() and server.server.connection_count == 0


def test_a_listening_socket_that_was_closed_is_logged_once(serve_ours, caplog):
    server = serve_ours()
    clients = [server.accept() for _ in range(3)]
    server.call(lambda: server.server.sockets[0].close())
    for client, protocol in clients:
        client.close()
        protocol.wait_for("lost")
        server.call(lambda: None)
    assert caplog.text.count("shut down or closed by somebody else") == 1
