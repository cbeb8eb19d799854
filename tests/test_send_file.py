"""send_file() of a server's connection: which part of a file goes out, behind what was
written; what it refuses; and what happens to a file that shrinks meanwhile."""

import contextlib
import os
import socket
import ssl
import threading

import pytest

import fastsock
from tests.conftest import FACILITIES, TIMEOUT_S, open_fds
from tests.protocol_servers import MUCH, Ours, Recording, read_all, read_exactly, reset
from tests.serving import answering
from tests.servers import pattern
from tests.workers import exit_status_of

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


@pytest.mark.parametrize("offset, count, wrong", [
    (-1, None, "offset"), (-1, 5, "offset"), (0, -1, "count"), (len(DATA) + 1, None, "offset"),
    (0, len(DATA) + 1, "count"), (len(DATA), 1, "count")])
def test_what_the_file_has_not(serve_ours, file, offset, count, wrong):
    server = serve_ours()
    client, protocol = server.accept()
    most = len(DATA) if wrong == "offset" else len(DATA) - offset
    value = offset if wrong == "offset" else count
    with pytest.raises(ValueError, match=f"{wrong} must be 0 to {most}, .* not {value}$"):
        server.call(protocol.transport.send_file, file, offset, count)
    server.call(protocol.transport.write, b"goes on")
    assert read_exactly(client, 7) == b"goes on"


@pytest.mark.parametrize("arguments, text", [
    (("name",), "file must be a binary file with a fileno(), not 'name'"),
    ((None,), "file must be a binary file with a fileno(), not None"),
    (("3",), "offset must be an int, not '3'"), ((1.5,), "offset must be an int, not 1.5"),
    ((0, "3"), "count must be an int or None, not '3'")])
def test_arguments_of_the_wrong_type(serve_ours, file, arguments, text):
    server = serve_ours()
    client, protocol = server.accept()
    if not text.startswith("file"):
        arguments = (file, *arguments)
    with pytest.raises(TypeError) as caught:
        server.call(protocol.transport.send_file, *arguments)
    assert str(caught.value) == text


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


# -- the file belongs to its caller ----------------------------------------------------------

@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_the_file_may_be_closed_at_once(serve_ours, large, tmp_path, inside):
    """As `with open(...) as file: transport.send_file(file)`: another file that is opened
    later gets the same number, and must not be sent."""
    (tmp_path / "secret").write_bytes(b"\xff" * len(MUCH))
    opened = []

    def send(transport):
        with open(large.name, "rb") as file:
            number = file.fileno()
            transport.send_file(file)
        opened.append(open(tmp_path / "secret", "rb"))
        assert opened[0].fileno() == number

    class Sending(Recording):
        def data_received(self, data):
            send(self.transport)

    server = serve_ours(Sending)
    client, protocol = server.accept()
    if inside:
        client.sendall(b"x")
    else:
        server.call(send, protocol.transport)
    try:
        assert read_exactly(client, len(MUCH)) == MUCH
        protocol.wait_for("resume")
    finally:
        opened[0].close()


def test_the_position_of_the_file_is_left_alone(serve_ours, file):
    server = serve_ours()
    client, protocol = server.accept()
    file.seek(7)
    os.lseek(file.fileno(), 9, os.SEEK_SET)
    server.call(protocol.transport.send_file, file, 5, 100)
    assert read_exactly(client, 100) == DATA[5:105]
    assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 9


def copies_of(file):
    """Descriptors of this process's that are the file, but for its own."""
    return [fd for fd, what in open_fds().items()
            if what == file.name and (file.closed or fd != file.fileno())]


@pytest.mark.parametrize("end", ["sent", "close", "abort", "reset", "shrinks", "server"])
def test_the_duplicate_is_closed_in_every_end(large, end):
    with Ours(Recording) as server:
        client, protocol = server.accept()
        server.call(protocol.transport.send_file, large)
        copy, = copies_of(large)
        assert not os.get_inheritable(copy)
        if end == "sent":
            assert read_exactly(client, len(MUCH)) == MUCH
            protocol.wait_for("resume")
        elif end == "shrinks":
            os.truncate(large.name, 0)
            read_all(client)
        elif end == "reset":
            reset(client)
        elif end == "close":
            server.call(protocol.transport.close)
            assert read_all(client) == MUCH
        elif end == "abort":
            server.call(protocol.transport.abort)
        if end not in ("sent", "server"):
            protocol.wait_for("lost")
        if end != "server":
            server.call(lambda: None)
            assert copies_of(large) == []
    assert copies_of(large) == []


def test_the_duplicate_of_a_connection_that_is_never_ended(large):
    """A loop that KeyboardInterrupt left, and a server that is deallocated."""
    server = fastsock.Server(Recording, ("127.0.0.1", 0))
    with socket.create_connection(server.addresses[0], TIMEOUT_S):
        class Interrupting(Recording):
            def connection_made(self, transport):
                transport.send_file(large)
                assert len(copies_of(large)) == 1
                raise KeyboardInterrupt

        server = fastsock.Server(Interrupting, sock=server.sockets)
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        assert len(copies_of(large)) == 1
        server.close()
    assert copies_of(large) == []


@pytest.mark.parametrize("arguments, error", [
    ((-1,), ValueError), ((0, len(DATA) + 1), ValueError), ((0, 0), None), (("x",), TypeError),
    ((0, 1 << 70), ValueError)])
def test_no_duplicate_is_left_of_what_is_refused(serve_ours, file, arguments, error):
    server = serve_ours()
    _, protocol = server.accept()
    with contextlib.nullcontext() if error is None else pytest.raises(error):
        server.call(protocol.transport.send_file, file, *arguments)
    assert copies_of(file) == []


def test_a_file_that_is_closed_or_is_none(serve_ours, file):
    server = serve_ours()
    client, protocol = server.accept()
    file.close()
    with pytest.raises(ValueError, match="closed file"):
        server.call(protocol.transport.send_file, file)

    class Odd:
        def __init__(self, number):
            self.fileno = lambda: number
    with pytest.raises(OSError, match="Bad file descriptor"):
        server.call(protocol.transport.send_file, Odd(-1))
    for wrong in ("3", None, 1.5):
        with pytest.raises(TypeError):
            server.call(protocol.transport.send_file, Odd(wrong))
    with pytest.raises(TypeError):
        server.call(protocol.transport.send_file, 3)
    server.call(protocol.transport.write, b"goes on")
    assert read_exactly(client, 7) == b"goes on"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork() is not there")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_closes_its_server_takes_nothing_from_the_parents_file(serve_ours, large):
    server = serve_ours()
    client, protocol = server.accept()

    server.call(protocol.transport.send_file, large)
    protocol.wait_for("pause")
    server.call(int)  # its thread is no longer in sendfile(2): a fork would keep its frame

    def ends():
        assert len(copies_of(large)) == 1
        server.server.close()
        assert copies_of(large) == []

    assert exit_status_of(ends) == 0
    assert read_exactly(client, len(MUCH)) == MUCH


def test_others_have_their_turn_beside_a_fast_reader(serve_ours, tmp_path):
    size = 256 << 20
    turns = []
    server = serve_ours()
    client, protocol = server.accept()
    with open(tmp_path / "sparse", "wb+") as file:
        file.truncate(size)

        def count():
            turns.append(None)
            if not protocol.transport.is_closing():
                server.server.call_later(0, count)

        def send():
            protocol.transport.send_file(file)
            count()

        server.call(send)
        room, received = bytearray(1 << 20), 0
        while received < size:
            received += client.recv_into(room)
    assert len(turns) >= size // (8 << 20)  # what one turn sends at most


def test_ctrl_c_in_pause_writing(tmp_path, file):
    class Interrupted(Recording):
        def connection_made(self, transport):
            super().connection_made(transport)
            server.call_later(0, transport.send_file, file)

        def pause_writing(self):
            raise KeyboardInterrupt

        def resume_writing(self):
            self.transport.close()

    with fastsock.Server(Interrupted, ("127.0.0.1", 0)) as server:
        with socket.create_connection(server.addresses[0], TIMEOUT_S) as client:
            with pytest.raises(KeyboardInterrupt):
                server.serve_forever()
            server.call_later(TIMEOUT_S, server.shutdown)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            received = read_all(client)
            server.shutdown()
            thread.join()
    assert received == DATA
