"""connection.send() of serve(): a message that no answer is, framed like one.

Job: its order among answers, messages to other connections, what a slow peer costs, its
errors. When on_connect and on_disconnect are called is in test_serve_callbacks.py.
"""

import array
import socket
import threading

import pytest

import fastsock
from fastsock.framing import Fixed, LengthPrefix, Lines, Netstring

from tests.conftest import TIMEOUT_S, requires_facility
from tests.servers import certificates, client_context, server_context  # noqa: F401
from tests.serving import (
    FIXED, FRAMINGS, answering, errors, receive, receive_all, unix_address,
)

LARGE = bytes(range(256)) * 400  # above what is copied among other replies


def connected(served):
    client = served.connect()
    served.turn()
    return client


@pytest.fixture
def members():
    """Connections that on_connect kept, emptied at the end: they hold the server."""
    kept = []
    yield kept
    kept.clear()


# -- in a handler -------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_it_is_framed_as_an_answer(framing):
    def handler(message):
        fastsock.current_connection().send(b"sent!")
        return message

    with answering(handler, framing=framing) as served:
        words = b"12345", b"abcde"
        assert served.ask(b"".join(map(framing.encode, words))) == b"".join(
            framing.encode(b"sent!") + framing.encode(word) for word in words)
    assert len(b"sent!") == FIXED


@pytest.mark.parametrize("size", [1, 5000, 70_000])
def test_without_a_framing_it_is_sent_as_it_is(size):
    def handler(message):
        fastsock.current_connection().send(message[:1] * size)
        return message

    with answering(handler) as served:
        assert served.ask(b"abc") == b"a" * size + b"abc"


ANSWERS = {"one": lambda line: line, "several": lambda line: [line, line],
           "large": lambda line: line * 20_000, "none": lambda line: None}


def in_order(make):
    """A handler that sends before, among and behind its answers, and what is expected."""
    def handler(line):
        connection = fastsock.current_connection()
        connection.send(b"1" + line)
        connection.send(LARGE + line)
        connection.write(b"raw\n")
        answer = make(line)
        for one in answer if isinstance(answer, list) else [answer]:
            connection.send(b"2" + line)
            yield from [one] if one is not None else ()
        connection.send(bytearray(b"3") + line)

    def expected(line):
        answer = make(line)
        answers = answer if isinstance(answer, list) else [answer]
        said = [b"1" + line, LARGE + line]
        encoded = b"".join(map(LengthPrefix().encode, said)) + b"raw\n"
        for one in answers:
            encoded += LengthPrefix().encode(b"2" + line)
            encoded += LengthPrefix().encode(one) if one is not None else b""
        return encoded + LengthPrefix().encode(b"3" + line)

    return handler, expected


@pytest.mark.parametrize("make", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("write_high_water", [1, 65_536, 1 << 24])
def test_the_order_is_that_of_the_calls(make, write_high_water):
    handler, expected = in_order(make)
    words = [b"%d" % number for number in range(5)]
    with answering(handler, framing=LengthPrefix(),
                   write_high_water=write_high_water) as served:
        asked = b"".join(map(LengthPrefix().encode, words))
        assert served.ask(asked) == b"".join(map(expected, words))


@pytest.mark.parametrize("make", [lambda data: data, lambda data: [data, data],
                                  lambda data: None], ids=["one", "several", "none"])
def test_the_order_without_a_framing(make):
    def handler(data):
        connection = fastsock.current_connection()
        connection.send(b"1")
        connection.write(b"2")
        connection.send(array.array("B", b"3"))
        return make(data)

    with answering(handler) as served:
        answer = {1: b"x", 2: b"xx", 0: b""}[len(make(b"x") or b"")]
        assert served.ask(b"x") == b"123" + answer


def test_it_arrives_together_with_the_answer(tmp_path):
    """As one send(2): test_server_syscalls.py counts them."""
    def handler(line):
        for _ in range(10):
            fastsock.current_connection().send(line)
        return line

    with answering(handler, unix_address(tmp_path), framing=Lines()) as served:
        with connected(served) as client:
            with served.held():
                client.sendall(b"a\nb\n")
            assert receive(client, 1) == b"a"
            assert client.recv(1000, socket.MSG_DONTWAIT) == b"\n" + b"a\n" * 10 + b"b\n" * 11


# -- to another connection ------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("size", [1, 5000, 20_000, 300_000])
def test_a_broadcast(batch, size, members):
    """The sender's own answers stay apart from what goes to others meanwhile."""
    def tell(line):
        for member in members:
            member.send(line * size)
        return line

    def handler(given):
        return [[b"before", tell(line)] for line in given] if batch else [b"before", tell(given)]

    with answering(handler, framing=LengthPrefix(), batch=batch,
                   on_connect=members.append) as served:
        with connected(served) as one, connected(served) as other, connected(served) as speaker:
            del members[2]  # the speaker itself
            encode = LengthPrefix().encode
            speaker.sendall(encode(b"x") + encode(b"y"))
            expected = encode(b"before") + encode(b"x") + encode(b"before") + encode(b"y")
            told = encode(b"x" * size) + encode(b"y" * size)
            assert receive(speaker, len(expected)) == expected
            for listener in one, other:
                assert receive(listener, len(told)) == told


def test_a_generator_that_sends_in_a_batch(members):
    """On its own connection and on another one, between its answers."""
    def answers(line):
        me, other = members
        yield b"1" + line
        me.send(b"2" + line)
        other.send(b"told " + line)
        yield b"3" + line

    with answering(lambda lines: [answers(line) for line in lines], framing=Lines(), batch=True,
                   on_connect=members.append) as served:
        with connected(served) as speaker, connected(served) as listener:
            speaker.sendall(b"a\nb\n")
            assert receive(speaker, 18) == b"1a\n2a\n3a\n1b\n2b\n3b\n"
            assert receive(listener, 14) == b"told a\ntold b\n"


def test_a_generator_that_sends_before_its_first_answer_of_a_batch(members):
    def answers(line):
        members[0].send(b"1" + line)
        yield b"2" + line

    with answering(lambda lines: [answers(line) for line in lines], framing=Lines(), batch=True,
                   on_connect=members.append) as served:
        assert served.ask(b"a\nb\n") == b"1a\n2a\n1b\n2b\n"


# -- outside of handlers --------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("message", [b"hello", LARGE, b""], ids=["small", "large", "empty"])
def test_a_greeting(message, batch):
    with answering(list if batch else bytes, framing=Netstring(), batch=batch,
                   on_connect=lambda connection: connection.send(message)) as served:
        encode = Netstring().encode
        assert served.ask(encode(b"x")) == encode(message) + encode(b"x")


@pytest.mark.parametrize("message", [b"tick", bytearray(LARGE), LARGE, array.array("I", [1, 2])],
                         ids=["bytes", "large bytearray", "large bytes", "array"])
@pytest.mark.parametrize("framing", [None, LengthPrefix()], ids=["plain", "framed"])
def test_a_timer(message, framing, members):
    def tick():
        members[0].send(message)
        if isinstance(message, bytearray):
            message[:] = bytes(len(message))  # it was sent or copied

    expected = bytes(message) if framing is None else framing.encode(message)
    with answering(bytes, framing=framing, on_connect=members.append) as served:
        with connected(served) as client:
            served.server.call_soon_threadsafe(served.server.call_later, 0, tick)
            assert receive(client, len(expected)) == expected


@pytest.mark.parametrize("size", [10, 100_000])
def test_tls(size, certificates, members):  # noqa: F811
    def handler(line):
        members[0].send(line * size)
        members[1].send(line * size)

    with answering(handler, framing=Lines(limit=1 << 20), on_connect=members.append,
                   ssl_context=server_context(certificates)) as served:
        context = client_context(certificates)
        with (context.wrap_socket(served.connect(), server_hostname="localhost") as one,
              context.wrap_socket(served.connect(), server_hostname="localhost") as other):
            while len(members) < 2:
                served.turn()
            other.sendall(b"x\ny\n")
            expected = b"x" * size + b"\n" + b"y" * size + b"\n"
            assert receive(one, len(expected)) == receive(other, len(expected)) == expected


def test_half_of_a_chat_leaves(members):
    """What is sent to a connection that has ended is dropped, as by write()."""
    def handler(line):
        for member in members:
            member.send(line)

    with answering(handler, framing=Lines(), on_connect=members.append) as served:
        with connected(served) as stays:
            connected(served).close()
            served.turn()
            stays.sendall(b"hello\n")
            assert receive(stays, 6) == b"hello\n"
            assert [member.is_closing() for member in members] == [False, True]


# -- a peer that does not read --------------------------------------------------------------


def test_what_a_slow_peer_does_not_read_counts(members, tmp_path):
    """As what write() is given: it waits, is counted, and holds the peer's messages."""
    handled = []

    with answering(handled.append, unix_address(tmp_path), framing=Lines(limit=1 << 20),
                   on_connect=members.append, write_high_water=100_000) as served:
        with connected(served) as client:
            sizes = []

            def fill():
                before = members[0].get_write_buffer_size()
                for _ in range(100):
                    members[0].send(b"x" * 50_000)
                sizes.append(members[0].get_write_buffer_size() - before)

            for _ in range(2):
                served.server.call_soon_threadsafe(fill)
                served.turn()
            assert sizes[1] == 100 * 50_001
            client.sendall(b"waits\n")
            served.turn()
            assert handled == []
            assert receive(client, 200 * 50_001) == (b"x" * 50_000 + b"\n") * 200
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b""
            assert handled == [b"waits"]


def test_a_handler_that_sends_without_end_is_held_back(tmp_path):
    """More than is gathered goes to the kernel at once, and the next message waits."""
    handled = []

    def handler(line):
        handled.append(line)
        for _ in range(100):
            fastsock.current_connection().send(line * 1000)

    with answering(handler, unix_address(tmp_path), framing=Lines(limit=1 << 20)) as served:
        with connected(served) as client:
            client.sendall(b"".join(b"%03d\n" % number for number in range(500)))
            served.turn()
            assert len(handled) < 50
            for number in range(500):
                expected = (b"%03d" % number * 1000 + b"\n") * 100
                assert receive(client, len(expected)) == expected
    assert len(handled) == 500


# -- errors -----------------------------------------------------------------------------------


def raised_by(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("framing", [None, Lines(limit=10)], ids=["plain", "framed"])
@pytest.mark.parametrize("message", [None, 5, "text", [b"a"], {}])
def test_what_is_no_message(message, framing, log):
    found = []
    with answering(lambda data: found.append(raised_by(
            fastsock.current_connection().send, message)) or b"ok", framing=framing) as served:
        assert served.ask(b"x\n").startswith(b"ok")
    assert found == [(TypeError, "message must be a bytes-like object, "
                                 f"not {type(message).__name__!r}")]
    assert errors(log) == []


@pytest.mark.parametrize("framing, message", [
    (Lines(), b"two\nlines"), (Lines(limit=10), bytes(11)), (Fixed(3), b"four"),
    (LengthPrefix(limit=20_000), bytes(20_001)), (Netstring(limit=5), bytearray(6))])
@pytest.mark.parametrize("apart", [False, True])
def test_what_the_framing_refuses(framing, message, apart, members):
    """Nothing of it is sent, and the connection goes on."""
    found = []

    def send():
        found.append(raised_by(members[0].send, message))
        members[0].send(b"123")

    def handler(given):
        send()
        return None

    good = framing.encode(b"123")
    with answering(handler, framing=framing, on_connect=members.append) as served:
        with connected(served) as client:
            if apart:
                served.server.call_soon_threadsafe(send)
            else:
                client.sendall(good)
            assert receive(client, len(good)) == good
    (error, _), = found
    assert error is ValueError
    with pytest.raises(ValueError) as expected:
        framing.encode(message)
    assert found == [(ValueError, str(expected.value))]


def test_after_write_eof(log):
    def handler(data):
        connection = fastsock.current_connection()
        connection.write_eof()
        found.append((raised_by(connection.send, b"x"), raised_by(connection.write, b"x")))

    found = []
    with answering(handler, framing=Lines()) as served:
        assert served.ask(b"x\n") == b""
    (of_send, of_write), = found
    assert of_send == (RuntimeError, "Cannot call send() after write_eof()")
    assert of_write == (RuntimeError, "Cannot call write() after write_eof()")


@requires_facility("splice")
def test_while_a_file_is_sent(tmp_path, log):
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    found = []

    def handler(data):
        connection = fastsock.current_connection()
        with open(path, "rb") as file:
            connection.send_file(file)
            found.append(raised_by(connection.send, b"x"))
            connection.get_write_buffer_size()
            has_begun.set()

    has_begun = threading.Event()
    with answering(handler, framing=Lines()) as served, connected(served) as client:
        client.sendall(b"x\n")
        assert has_begun.wait(TIMEOUT_S)
    assert found == [(RuntimeError, "a file is being sent: the answer would overtake it")]


def test_in_on_disconnect(log):
    """The peer is gone: nothing happens, as by write()."""
    found = []

    def on_disconnect(connection, reason):
        found.append(raised_by(connection.send, b"bye"))
        connection.write(b"bye")

    with answering(bytes, framing=Lines(), on_disconnect=on_disconnect) as served:
        assert served.ask(b"x\n") == b"x\n"
        served.turn()
    assert found == [None] and errors(log) == []
