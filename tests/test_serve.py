"""serve() without a framing: what handlers may answer, and what a connection lives through.

Job: HandlerServer in a thread, spoken to by the stdlib's sockets. What framings say is in
test_serve_framings.py, batches are in test_serve_batch.py, processes in
test_serve_workers.py.
"""

import signal
import socket
import threading
import types

import pytest

import fastsock
from fastsock._serve import HandlerServer
from fastsock.framing import LengthPrefix, Lines

from tests.conftest import TIMEOUT_S
from tests.serving import (
    LOOPBACK, answering, ends, errors, receive, receive_all, unix_address,
)

LARGE = bytes(range(256)) * 4096  # 1 MiB


# -- answers ------------------------------------------------------------------------


def test_a_message_is_whatever_arrived(tmp_path):
    arrived = []
    with answering(lambda data: arrived.append(data) or data, unix_address(tmp_path)) as served:
        with served.connect() as client:
            for data in b"a", b"bc\n\0", bytes(1000):
                client.sendall(data)
                assert receive(client, len(data)) == data
            with served.held():  # what is sent meanwhile arrives together
                client.sendall(b"d")
                client.sendall(b"ef")
            assert receive(client, 3) == b"def"
    assert arrived == [b"a", b"bc\n\0", bytes(1000), b"def"]
    assert {type(data) for data in arrived} == {bytes}


@pytest.mark.parametrize("batch", [False, True])
def test_messages_grow_and_shrink(tmp_path, batch):
    """What is large goes another way than what is small, and is expected to come again."""
    arrived = []
    handler = ((lambda data: arrived.append(data) or data) if not batch else
               (lambda messages: arrived.extend(messages) or messages))
    sizes = [1, 4095, 4096, 4097, 8192, 8193, 1, 16384, 40_000, 65_536, 5000, 9999, 10_001, 3]
    with answering(handler, unix_address(tmp_path), batch=batch) as served:
        with served.connect() as client:
            for size in sizes:
                data = LARGE[size:2 * size]
                with served.held():
                    client.sendall(data)
                assert receive(client, size) == data
    assert [len(data) for data in arrived] == sizes
    assert b"".join(arrived) == b"".join(LARGE[size:2 * size] for size in sizes)


def test_a_message_is_64_kib_at_most():
    sizes = []
    with answering(lambda data: sizes.append(len(data)) or data) as served:
        with served.connect() as client:
            sender = threading.Thread(target=client.sendall, args=(LARGE,))
            sender.start()
            assert receive(client, len(LARGE)) == LARGE
            sender.join()
    assert max(sizes) <= 65536 and sum(sizes) == len(LARGE)


ANSWERS = {
    "bytes": lambda: b"abc", "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abc"), "part": lambda: memoryview(b"xabcx")[1:4],
    "list": lambda: [b"a", bytearray(b"b"), memoryview(b"c")],
    "tuple": lambda: (b"ab", b"", b"c"), "generator": lambda: (b"%c" % c for c in b"abc"),
    "iterator": lambda: iter([b"a", b"bc"]), "subclass": lambda: type("B", (bytes,), {})(b"abc"),
}


@pytest.mark.parametrize("make", ANSWERS.values(), ids=ANSWERS)
def test_what_a_handler_may_return(make, log):
    with answering(lambda _: make()) as served:
        assert served.ask(b"x") == b"abc"
    assert errors(log) == []


@pytest.mark.parametrize("nothing", [None, b"", [], (), iter([])])
def test_no_answer(nothing, log):
    answers = iter([nothing, b"second"])
    with answering(lambda _: next(answers)) as served, served.connect() as client:
        client.sendall(b"x")
        served.turn()
        client.sendall(b"y")
        assert receive(client, 6) == b"second"
    assert errors(log) == []


WRONG = {"str": "abc", "int": 3, "strs": ["a"], "ints": [1, 2], "object": object(),
         "apart": memoryview(b"abcdef")[::2], "none in a list": [b"", None]}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_what_a_handler_may_not_return(answer, log):
    with answering(lambda data: answer if data == b"bad" else data) as served:
        with served.connect() as good, served.connect() as bad:
            bad.sendall(b"bad")
            assert ends(bad)
            good.sendall(b"good")
            assert receive(good, 4) == b"good"
    (error,) = errors(log)
    assert issubclass(error, (TypeError, BufferError))


def test_a_memory_that_the_handler_uses_again():
    # One small and one large enough to be sent without a copy; both change at once.
    memory = {size: bytearray(size) for size in (10, 100_000)}

    def handler(line):
        size, letter = line.split()
        memory[int(size)][:] = letter * int(size)
        return memory[int(size)]

    asked = [(size, letter) for letter in b"abcdefgh" for size in memory]
    expected = b"".join(b"%c" % letter * size + b"\n" for size, letter in asked)
    with answering(handler, framing=Lines(limit=200_000)) as served:
        assert served.ask(b"".join(b"%d %c\n" % one for one in asked)) == expected


def test_a_generator_of_many_large_answers():
    with answering(lambda _: (LARGE[number:] for number in range(20))) as served:
        assert served.ask(b"x") == b"".join(LARGE[number:] for number in range(20))


# -- handlers that raise --------------------------------------------------------------


def test_a_handler_that_raises_loses_its_own_connection(log):
    with answering(lambda data: data + b"x"[1 // (data != b"0"):]) as served:
        with served.connect() as good, served.connect() as bad:
            bad.sendall(b"0")
            assert ends(bad)
            good.sendall(b"1")
            assert receive(good, 1) == b"1"
    assert errors(log) == [ZeroDivisionError]
    assert "the connection is closed" in log.text


def test_a_generator_that_raises(log):
    def answers(_):
        yield b"first"
        raise LookupError("second")

    with answering(answers) as served:
        assert served.ask(b"x") == b"first"  # an answer of its own, made before
    assert errors(log) == [LookupError]


@pytest.mark.parametrize("together", [True, False])
def test_answers_before_one_that_raises(together, tmp_path, log):
    # Whether the messages came together makes no difference.
    with answering(lambda line: b"%d" % (6 // int(line)), unix_address(tmp_path),
                   framing=Lines()) as served, served.connect() as client:
        if together:
            client.sendall(b"1\n2\n0\n3\n")
        else:
            for line in b"1\n", b"2\n", b"0\n":
                client.sendall(line)
                served.turn()
        assert receive_all(client) == b"6\n3\n"
    assert errors(log) == [ZeroDivisionError]


def test_what_leaves_the_loop_leaves_no_answer_to_others(tmp_path):
    # serve_forever() may be called again after SystemExit or KeyboardInterrupt.
    def handler(line):
        if line == b"exit":
            raise SystemExit("asked to")
        return line

    with answering(handler, unix_address(tmp_path), framing=Lines()) as served:
        with served.connect() as first, served.connect() as second:
            first.sendall(b"1\n2\nexit\n3\n")
            assert receive(first, 4) == b"1\n2\n"
            second.sendall(b"second\n")
            assert receive(second, 7) == b"second\n"
            first.sendall(b"4\n")  # what had come behind the message was not lost
            assert receive(first, 4) == b"3\n4\n"
    assert str(served.raised) == "asked to"


# -- the end of a connection ------------------------------------------------------------


def test_half_close_after_a_request_still_gets_the_answer():
    with answering(lambda data: LARGE) as served:
        assert served.ask(b"x") == LARGE


@pytest.mark.parametrize("linger", [False, True], ids=["closes", "resets"])
def test_a_peer_that_does_not_wait_for_its_answer(linger, log):
    with answering(lambda data: LARGE) as served:
        client = served.connect()
        client.sendall(b"x")
        if linger:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))
        client.close()
        assert served.ask(b"y") == LARGE
    assert errors(log) == []  # that is what peers do


def test_idle_connections_are_ended():
    with answering(bytes.upper, idle_timeout=0.05) as served, served.connect() as client:
        assert ends(client)


# -- a peer that does not read ---------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("use_poll", [False, True])
def test_a_peer_that_does_not_read_is_held_back(tmp_path, batch, use_poll):
    made = []
    size = 1000

    def answer(line):
        made.append(line)
        return line.rjust(size - 1)

    handler = (lambda lines: list(map(answer, lines))) if batch else answer
    with answering(handler, unix_address(tmp_path), framing=Lines(), batch=batch,
                   use_poll=use_poll) as served, served.connect() as client:
        client.setblocking(False)
        asked = b"".join(b"%d\n" % number for number in range(100_000, 200_000))
        sent, before = 0, None
        while True:  # until a turn of the loop makes no room and no answer
            try:
                sent += client.send(asked[sent:])
            except BlockingIOError:
                served.turn()
                if before == (before := (sent, len(made))):
                    break
        assert sent < len(asked)
        # The kernel's buffer, what waits above it, and the answers to one receive of 64 KiB
        # (batches are answered as a whole): far from the 100 MB of all answers.
        assert len(made) * size < (16 << 20 if batch else 1 << 20)
        with served.connect() as other:  # nobody else is held back
            other.sendall(b"other\n")
            assert receive(other, size) == b"other".rjust(size - 1) + b"\n"
        client.settimeout(TIMEOUT_S)
        lines, inside = divmod(sent, 7)
        expected = [line.rjust(size - 1) + b"\n" for line in asked[:7 * lines + 7].split()]
        assert [receive(client, size) for _ in range(lines)] == expected[:lines]
        client.sendall(asked[sent:sent + 7 - inside])
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == expected[lines]


def test_messages_that_waited_are_answered_before_the_end(tmp_path):
    # The peer has half-closed while its messages waited for it to read.
    with answering(LARGE[:100_000].__add__, unix_address(tmp_path),
                   framing=LengthPrefix()) as served:
        answer = LengthPrefix().encode(LARGE[:100_000] + b"x")
        assert served.ask(LengthPrefix().encode(b"x") * 100) == answer * 100


# -- current_connection() -----------------------------------------------------------------


def test_current_connection():
    seen = []

    def handler(data):
        connection = fastsock.current_connection()
        seen.append(connection)
        return repr(connection.get_extra_info("peername")).encode()

    with answering(handler) as served:
        with served.connect() as first, served.connect() as second:
            for client in first, second, first:
                client.sendall(b"x")
                name = repr(client.getsockname()).encode()
                assert receive(client, len(name)) == name
    assert seen[0] is seen[2] and seen[0] is not seen[1]
    with pytest.raises(RuntimeError, match="while it runs"):
        fastsock.current_connection()
    seen[0].write(b"it is gone")  # as with asyncio's, nothing happens
    assert seen[0].is_closing() and seen[0].get_extra_info("sockname", "none") is None


def test_current_connection_in_a_generator_and_outside_of_handlers():
    found = []

    def outside():
        try:
            found.append(fastsock.current_connection())
        except RuntimeError:
            found.append(None)

    def answers(_):
        yield type(fastsock.current_connection()).__name__.encode()

    with answering(answers) as served:
        assert served.ask(b"x") == b"HandlerTransport"
        served.server.call_soon_threadsafe(outside)
        served.turn()
        outside()
    assert found == [None, None]


def test_current_connection_of_two_servers_at_once():
    meeting = threading.Barrier(2, timeout=TIMEOUT_S)

    def handler(data):
        before = fastsock.current_connection()
        meeting.wait()  # both are inside
        after = fastsock.current_connection()
        meeting.wait()
        return b"%d %d" % (before is after, after.get_extra_info("sockname")[1])

    with answering(handler) as first, answering(handler) as second:
        with first.connect() as one, second.connect() as two:
            one.sendall(b"x")
            two.sendall(b"x")
            for client, served in (one, first), (two, second):
                expected = b"1 %d" % served.address[1]
                assert receive(client, len(expected)) == expected


def test_what_a_handler_writes_goes_behind_earlier_answers():
    def handler(line):
        connection = fastsock.current_connection()
        if line == b"write":
            connection.write(b"written\n")
        elif line == b"bye":
            connection.write(b"bye!\n")
            connection.close()
        elif line == b"lines":
            connection.writelines([b"1\n", b"2\n"])
        elif line == b"eof":
            connection.write_eof()
        else:
            return line

    with answering(handler, framing=Lines()) as served:
        assert served.ask(b"a\nwrite\nb\nlines\nc\nbye\nd\n") == (
            b"a\nwritten\nb\n1\n2\nc\nbye!\n")
        assert served.ask(b"a\neof\n") == b"a\n"


def test_a_handler_writes_to_another_connection():
    # A chat: what one says, the others hear; answers stay with who is answered.
    members = []

    def handler(line):
        me = fastsock.current_connection()
        if line == b"join":
            members.append(me)
        for other in members:
            if other is not me:
                other.writelines([line, b"\n"])
        return b"ok"

    with answering(handler, framing=Lines()) as served:
        with served.connect() as listener, served.connect() as speaker:
            listener.sendall(b"join\n")
            assert receive(listener, 3) == b"ok\n"
            speaker.sendall(b"1\n2\n3\n")
            assert receive(speaker, 9) == b"ok\n" * 3
            assert receive(listener, 6) == b"1\n2\n3\n"
            members.clear()


# -- the end of the server ------------------------------------------------------------


def test_shutdown_with_grace(tmp_path):
    with answering(bytes.upper, unix_address(tmp_path), framing=Lines()) as served:
        with served.connect() as idle, served.connect() as inside:
            inside.sendall(b"first\nsec")
            assert receive(inside, 6) == b"FIRST\n"
            served.turn()
            served.server.shutdown(grace=1000)  # far above what the test may take
            assert ends(idle)
            with pytest.raises(OSError):  # nobody listens any more
                served.connect()
            inside.sendall(b"ond\n")
            assert receive_all(inside) == b"SECOND\n"
            served.thread.join(TIMEOUT_S)
            assert not served.thread.is_alive()


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("count", [1, 30_000])
def test_what_was_sent_before_the_shutdown_is_answered(tmp_path, batch, count):
    handler = (lambda lines: [b"abc"] * len(lines)) if batch else lambda line: b"abc"
    with answering(handler, unix_address(tmp_path), framing=Lines(), batch=batch) as served:
        with served.connect() as known:
            with served.held():
                new = served.connect()  # waits to be accepted
                for client in known, new:
                    client.sendall(b"abc\n" * count)
                served.server.shutdown(grace=1000)
            with new:
                assert receive_all(known) == receive_all(new) == b"abc\n" * count


def test_a_message_that_stays_unfinished_ends_with_the_grace(tmp_path):
    with answering(bytes.upper, unix_address(tmp_path), framing=Lines()) as served:
        with served.connect() as client:
            client.sendall(b"unfinished")
            served.turn()
            served.server.shutdown(grace=0.05)
            assert ends(client)


def test_shutdown_without_grace(tmp_path):
    with answering(bytes.upper, unix_address(tmp_path), framing=Lines()) as served:
        with served.connect() as client:
            client.sendall(b"unfinished")
            served.turn()
            served.server.shutdown()
            assert ends(client)


# -- a server's life --------------------------------------------------------------------

def test_in_another_thread():
    """It serves there as well, and leaves signals to the main thread."""
    ready = threading.Event()
    found = []

    def handler(message):
        if message == b"end":
            raise SystemExit
        return message.upper()

    def on_ready(addresses):
        found.extend(addresses)
        ready.set()

    before = signal.getsignal(signal.SIGTERM)
    def run():
        with pytest.raises(SystemExit):
            fastsock.serve(handler, LOOPBACK, on_ready=on_ready)
        found.append("ended")

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(TIMEOUT_S)
    with socket.create_connection(found[0], timeout=TIMEOUT_S) as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"HELLO"
        assert signal.getsignal(signal.SIGTERM) is before
        client.sendall(b"end")
        assert ends(client)
    thread.join(TIMEOUT_S)
    assert found[1:] == ["ended"]


def test_a_server_that_is_never_run(tmp_path):
    with HandlerServer(bytes.upper, unix_address(tmp_path)) as server:
        assert server.connection_count == 0
    assert not (tmp_path / "s").exists()
    server.close()
    with pytest.raises(RuntimeError):
        server.serve_forever()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_server_that_is_forgotten_leaves_nothing_open():
    HandlerServer(bytes.upper, LOOPBACK)


def test_serve_is_what_is_exported():
    assert isinstance(fastsock.serve, types.FunctionType)
    assert {"serve", "current_connection"} <= set(fastsock.__all__)
