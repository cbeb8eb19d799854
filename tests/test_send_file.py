"""send_file() of a server's connection: which part of a file goes out, behind what was
written; what it refuses; and what happens to a file that shrinks meanwhile."""

import os
import ssl

import pytest

import fastsock
from tests.conftest import FACILITIES
from tests.protocol_servers import MUCH, Recording, read_all, read_exactly, reset
from tests.serving import answering
from tests.servers import pattern

pytestmark = pytest.mark.skipif(not FACILITIES["splice"],
                                reason="this build does without sendfile(2)")

DATA = pattern(100_000)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    with open(tmp_path / "file", "rb") as opened:
        yield opened


@pytest.fixture
def large(tmp_path):
    """More than the kernel takes while the peer reads nothing."""
    (tmp_path / "large").write_bytes(MUCH)
    with open(tmp_path / "large", "rb") as opened:
        yield opened


@pytest.mark.parametrize("offset, count", [
    (0, None), (0, 10), (5, None), (1000, 50_000), (len(DATA), None), (7, 0)])
def test_a_part_of_a_file(serve_ours, file, offset, count):
    server = serve_ours()
    client, protocol = server.accept()

    def send():
        protocol.transport.write(b"before ")
        protocol.transport.send_file(file, offset, count)
        protocol.transport.close()
    server.call(send)
    end = None if count is None else offset + count
    assert read_all(client) == b"before " + DATA[offset:end]


@pytest.mark.parametrize("offset, count", [
    (-1, None), (-1, 5), (0, -1), (len(DATA) + 1, None), (0, len(DATA) + 1), (len(DATA), 1)])
def test_what_the_file_has_not(serve_ours, file, offset, count):
    server = serve_ours()
    client, protocol = server.accept()
    with pytest.raises(ValueError, match=f"the file has {len(DATA)} bytes"):
        server.call(protocol.transport.send_file, file, offset, count)
    server.call(protocol.transport.write, b"goes on")
    assert read_exactly(client, 7) == b"goes on"


def test_one_file_at_a_time_and_nothing_behind_it(serve_ours, large):
    server = serve_ours()
    client, protocol = server.accept()
    transport = protocol.transport

    def send():
        transport.send_file(large)
        with pytest.raises(RuntimeError, match="while a file is being sent"):
            transport.send_file(large)
        with pytest.raises(RuntimeError, match="a file is being sent: wait for resume_writing"):
            transport.write(b"behind it")
    server.call(send)
    protocol.wait_for("pause")
    assert read_exactly(client, len(MUCH)) == MUCH
    protocol.wait_for("resume")
    server.call(transport.write, b"behind it")
    assert read_exactly(client, 9) == b"behind it"


def test_a_file_behind_what_waits(serve_ours, large):
    server = serve_ours()
    client, protocol = server.accept()
    transport = protocol.transport

    def send():
        transport.write(MUCH)  # more than the kernel takes: the protocol is told to pause
        transport.send_file(large, 1)
    server.call(send)
    expected = MUCH + MUCH[1:]
    assert read_exactly(client, len(expected)) == expected
    protocol.wait_for("resume")
    assert protocol.calls == [("made",), ("pause",), ("resume",)]


@pytest.mark.parametrize("waits", [False, True])
def test_a_peer_that_resets_while_a_file_is_sent(serve_ours, large, waits):
    server = serve_ours()
    client, protocol = server.accept()

    def send():
        if waits:
            protocol.transport.write(MUCH)
        protocol.transport.send_file(large)
    server.call(send)
    protocol.wait_for("pause")
    assert read_exactly(client, 1 << 20) == MUCH[:1 << 20]
    reset(client)
    assert protocol.wait_for("lost")[1] in (ConnectionResetError, BrokenPipeError)


def test_no_file_after_the_end_of_writing(serve_ours, file):
    server = serve_ours()
    client, protocol = server.accept()

    def send():
        protocol.transport.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            protocol.transport.send_file(file)
    server.call(send)
    assert read_all(client) == b""


def test_a_connection_that_ends_sends_no_file(serve_ours, large, file):
    server = serve_ours()
    client, protocol = server.accept()

    def send():
        protocol.transport.write(b"all")
        protocol.transport.close()
        protocol.transport.send_file(file)
    server.call(send)
    assert read_all(client) == b"all"
    assert protocol.wait_for("lost") == ("lost", None)


def test_a_file_that_shrinks_ends_the_connection(serve_ours, large):
    server = serve_ours()
    client, protocol = server.accept()
    server.call(protocol.transport.send_file, large)
    protocol.wait_for("pause")
    os.truncate(large.name, 0)
    received = read_all(client)
    assert MUCH.startswith(received) and len(received) < len(MUCH)
    assert protocol.wait_for("lost") == ("lost", EOFError)


def test_no_file_under_tls(serve_ours, file):
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    server = serve_ours(ssl_context=context)
    with trusting.wrap_socket(server.connect(), server_hostname="localhost") as client:
        protocol = server.protocol()
        with pytest.raises(NotImplementedError, match="under TLS"):
            server.call(protocol.transport.send_file, file)
        server.call(protocol.transport.write, b"goes on")
        assert read_exactly(client, 7) == b"goes on"


def test_an_answer_does_not_overtake_the_handlers_file(large, caplog):
    def handler(message):
        fastsock.current_connection().send_file(large)
        return b"an answer"

    with answering(handler) as served:
        assert b"an answer" not in served.ask(b"x")
    assert "the answer would overtake it" in caplog.text


def test_what_is_written_in_a_callback_is_sent_before_it_is_counted(serve_ours):
    class Counting(Recording):
        def data_received(self, data):
            self.transport.write(data)
            self.note("counted", self.transport.get_write_buffer_size())

    server = serve_ours(Counting)
    client, protocol = server.accept()
    client.sendall(b"few")
    assert protocol.wait_for("counted") == ("counted", 0)
    assert read_exactly(client, 3) == b"few"


def test_a_connection_says_how_it_stands(serve_ours):
    server = serve_ours()
    client, protocol = server.accept()
    transport = protocol.transport

    def close():
        before = repr(transport)
        transport.write(MUCH)
        transport.close()
        return before, repr(transport)
    is_open, closing = server.call(close)
    assert "open" in is_open and "closing" in closing
    assert read_all(client) == MUCH
    protocol.wait_for("lost")
    server.call(lambda: None)
    assert "ended" in repr(transport)
