"""serve() with each framing: messages cut anywhere, pipelined, large; garbage and limits.

Expectations are bytes written out by encode(), which tests/test_framing.py compares with
a reference of its own.
"""

import contextlib
import logging
import random
import socket
import ssl

import pytest

import fastsock
from fastsock.framing import Fixed, LengthPrefix, Lines, Netstring, Varint

from tests.servers import client_context, server_context
from tests.serving import (
    FRAMINGS, LOOPBACK, answering, environment, exchange, receive, receive_all, unix_address,
)

__all__ = ["calls_of"]  # a fixture, which pytest finds by this name

each_framing = pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
WORDS = [b"hello", b"a\0b\0c", b"quick", b"brown", b" fox "]  # of 5 bytes, for Fixed(5)


def encoded(framing, messages):
    return b"".join(map(framing.encode, messages))


@each_framing
def test_messages_cut_at_every_byte(framing, tmp_path):
    seen = []
    sent, expected = encoded(framing, WORDS), encoded(framing, map(bytes.upper, WORDS))
    with answering(lambda word: seen.append(word) or word.upper(), unix_address(tmp_path),
                   framing=framing) as served:
        for place in range(1, len(sent)):
            with served.connect() as client:
                client.sendall(sent[:place])
                served.turn()  # it has arrived by itself
                client.sendall(sent[place:])
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == expected
        with served.connect() as client:
            for place in range(len(sent)):
                client.sendall(sent[place:place + 1])
                served.turn()
            assert receive(client, len(expected)) == expected
    assert seen == WORDS * len(sent)


@each_framing
@pytest.mark.parametrize("how", ["poll", "tls", "small marks"])
def test_random_pieces(framing, how, request):
    options, wrap = {}, None
    if how == "poll":
        options = {"use_poll": True}
    elif how == "small marks":
        options = {"write_high_water": 7}
    else:
        certificates = request.getfixturevalue("certificates")
        options = {"ssl_context": server_context(certificates)}
        wrap = client_context(certificates).wrap_socket
    chance = random.Random(7)
    words = [b"%05d" % number for number in range(20_000)]
    sent = encoded(framing, words)

    def pieces():
        place = 0
        while place < len(sent):
            size = chance.choice([1, 7, 100, 5000, 70_000])
            yield sent[place:place + size]
            place += size

    with answering(bytes.swapcase, framing=framing, **options) as served:
        client = served.connect()
        if wrap is not None:
            client = wrap(client, server_hostname="localhost")
        with client:
            assert exchange(client, pieces(), len(sent)) == sent


@each_framing
def test_many_messages_at_once_are_answered_in_order(framing):
    words = [b"%05d" % number for number in range(50_000)]
    with answering(lambda word: word[::-1], framing=framing) as served:
        with served.connect() as client:
            sent = encoded(framing, words)
            expected = encoded(framing, (word[::-1] for word in words))
            assert exchange(client, [sent], len(sent)) == expected


@each_framing
def test_the_answers_to_one_send_are_one_system_call(framing, tmp_path, calls_of, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    setup = f"""import threading, socket as stdlib
from fastsock._serve import HandlerServer
from fastsock.framing import *
framing = {source(framing)}
server = HandlerServer(lambda word: (word, word), {unix_address(tmp_path)!r}, framing=framing)
thread = threading.Thread(target=server.serve_forever)
thread.start()
client = stdlib.socket(stdlib.AF_UNIX)
client.connect(server.addresses[0])
asked = framing.encode(b"01234")
client.send(asked)
assert client.recv(9000) == 2 * asked"""
    calls = calls_of(setup, """client.send(300 * asked)
answered = client.recv(65536)
mark('end')
assert len(answered) == 600 * len(asked)
server.shutdown()
thread.join()
client.close()""")
    # The client's and the server's, each once.
    assert (calls.count("sendto"), calls.count("recvfrom"), calls.count("sendmsg")) == (2, 2, 0)


def source(framing):
    """What makes such a framing."""
    name = {Lines: "delimiter", Fixed: "size"}.get(type(framing))
    return f"{type(framing).__name__}({repr(getattr(framing, name)) if name else ''})"


ROOMY = {"Lines": Lines(limit=1 << 22), "LengthPrefix": LengthPrefix("<Q"), "Varint": Varint(),
         "Netstring": Netstring(), "Fixed": Fixed(1_234_567)}


@pytest.mark.parametrize("framing", ROOMY.values(), ids=ROOMY)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_messages_larger_than_a_receive(framing, secure, request):
    # Of 1.2 MB both ways, several at once, with small ones between where that is possible.
    large = random.Random(3).randbytes(1_234_567).replace(b"\n", b"-")
    words = [large] * 3 if isinstance(framing, Fixed) else [b"a", large, b"", large, large, b"z"]
    sent = encoded(framing, words)
    options = {}
    if secure:
        certificates = request.getfixturevalue("certificates")
        options["ssl_context"] = server_context(certificates)
    with answering(lambda word: word, framing=framing, **options) as served:
        client = served.connect()
        if secure:
            client = client_context(certificates).wrap_socket(
                client, server_hostname="localhost")
        with client:
            assert exchange(client, [sent], len(sent)) == sent


@pytest.mark.parametrize("framing", ROOMY.values(), ids=ROOMY)
def test_generators_of_large_answers(framing):
    large = bytes(1_234_567)
    with answering(lambda word: (large for _ in range(8)), framing=framing) as served:
        assert served.ask(framing.encode(large)) == framing.encode(large) * 8


# -- answers that a framing refuses ----------------------------------------------------

REFUSED = {
    "line": (Lines(), b"a\nb"), "CRLF": (Lines(b"\r\n"), b"a\r\n"),
    "long line": (Lines(limit=5), b"123456"), "prefix": (LengthPrefix("!B"), bytes(256)),
    "limit": (LengthPrefix(limit=5), b"123456"), "varint": (Varint(limit=5), b"123456"),
    "netstring": (Netstring(limit=5), b"123456"), "short": (Fixed(5), b"1234"),
    "long": (Fixed(5), b"123456"), "large": (Netstring(limit=20_000), bytes(20_001)),
}


@pytest.mark.parametrize("framing, answer", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("batch", [False, True])
def test_an_answer_that_the_framing_refuses(framing, answer, batch, caplog):
    def handler(word):
        return [b"first", answer] if word == b"wrong" else word

    with answering((lambda words: list(map(handler, words))) if batch else handler,
                   framing=framing, batch=batch) as served:
        with served.connect() as good:
            # An answer of its own, and one before it, are not lost with it.
            assert served.ask(encoded(framing, [b"right", b"wrong", b"right"])) == encoded(
                framing, [b"right", b"first"])
            good.sendall(framing.encode(b"still"))
            assert receive(good, len(framing.encode(b"still"))) == framing.encode(b"still")
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info[0] is ValueError and "raised" in record.getMessage()


# -- what is no message ------------------------------------------------------------------

GARBAGE = {
    "long line": (Lines(limit=9), b"0123456789\n"),
    "endless line": (Lines(limit=9), b"0" * 11),
    "long CRLF line": (Lines(b"\r\n", limit=9), b"0123456789\r\n"),
    "negative": (LengthPrefix("!i"), b"\xff\xff\xff\xff"),
    "above the limit": (LengthPrefix(limit=9), b"\0\0\0\x0a0123456789"),
    "huge": (LengthPrefix("<Q"), b"\xff" * 8),
    "shorter than itself": (LengthPrefix("!H", includes_header=True), b"\0\1"),
    "varint above the limit": (Varint(limit=9), b"\x0a0123456789"),
    "endless varint": (Varint(), b"\xff" * 11),
    "varint of 65 bits": (Varint(), b"\xff" * 9 + b"\2"),
    "no digits": (Netstring(), b"GET / HTTP/1.1\r\n\r\n"), "no length": (Netstring(), b":,"),
    "zero in front": (Netstring(), b"01:a,"), "no comma": (Netstring(), b"1:a;"),
    "netstring above the limit": (Netstring(limit=9), b"10:"),
    "endless netstring": (Netstring(), b"9" * 30),
}

each_garbage = pytest.mark.parametrize("framing, garbage", GARBAGE.values(), ids=GARBAGE)


@each_garbage
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("together", [True, False])
def test_garbage_ends_the_connection(framing, garbage, batch, together, tmp_path, caplog):
    caplog.set_level(logging.INFO, "fastsock.server")
    seen = []

    def handler(word):
        seen.append(word)
        return word

    with answering((lambda words: list(map(handler, words))) if batch else handler,
                   unix_address(tmp_path), framing=framing, batch=batch) as served:
        with served.connect() as client, served.connect() as other:
            before = encoded(framing, [b"one", b"two"])
            if together:
                client.sendall(before + garbage)
            else:
                for byte in before + garbage[:-1]:
                    client.sendall(bytes([byte]))
                    served.turn()
                    if "is no message" in caplog.text:  # it was clear before the last byte
                        break
                else:
                    client.sendall(garbage[-1:])
            assert receive_all(client) == before
            other.sendall(before)
            assert receive(other, len(before)) == before
    assert seen == [b"one", b"two"] * 2
    assert caplog.text.count("sent what is no message") == 1


@each_garbage
def test_what_follows_garbage_is_no_message(framing, garbage, tmp_path):
    # It may look like one; a peer that is out of step is not to be guessed at.
    with answering(lambda word: word, unix_address(tmp_path), framing=framing) as served:
        with served.connect() as client:
            with served.held():
                client.sendall(garbage + framing.encode(b"x") * 1000)
            assert receive_all(client) == b""


@each_framing
@pytest.mark.parametrize("seed", range(3))
def test_random_garbage(framing, seed):
    # Whatever comes, each connection ends when its peer does, and the server goes on.
    chance = random.Random(seed)
    with answering(lambda word: None, framing=framing) as served:
        for _ in range(30):
            data = chance.randbytes(chance.choice([1, 3, 10, 1000, 100_000]))
            with served.connect() as client:
                with contextlib.suppress(OSError):  # what is no message may end it meanwhile
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b""
        assert served.server.connection_count <= 1  # the last one's end may be on its way


@each_framing
@pytest.mark.parametrize("batch", [False, True])
def test_the_end_inside_a_message(framing, batch, tmp_path, caplog):
    caplog.set_level(logging.INFO, "fastsock.server")
    reasons = []
    with answering((lambda words: words) if batch else (lambda word: word),
                   unix_address(tmp_path), framing=framing, batch=batch,
                   on_disconnect=lambda connection, reason: reasons.append(reason)) as served:
        whole = framing.encode(b"whole")
        assert served.ask(whole * 2 + whole[:-1]) == whole * 2
        assert served.ask(whole) == whole
    assert caplog.text.count("inside a message") == 1
    early, orderly = reasons
    assert orderly is None and type(early) is fastsock.IncompleteReadError
    framing.feed(whole[:-1])
    with pytest.raises(fastsock.IncompleteReadError) as as_stream:
        framing.feed_eof()
    assert (early.partial, early.expected) == (whole[:-1], as_stream.value.expected)


def test_the_end_behind_messages_that_had_waited_is_orderly(tmp_path, caplog):
    # The peer half-closes while its answers wait for it: what is held is whole messages.
    caplog.set_level(logging.INFO, "fastsock.server")
    reasons = []
    with answering(lambda word: word * 100_000, unix_address(tmp_path), framing=Lines(limit=1 << 20),
                   write_high_water=1,
                   on_disconnect=lambda connection, reason: reasons.append(reason)) as served:
        assert served.ask(b"word\n" * 50) == (b"word" * 100_000 + b"\n") * 50
    assert reasons == [None]
    assert "inside a message" not in caplog.text


# -- TLS -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
def test_tls_a_message_and_the_end_in_one_send(certificates, tmp_path, batch):
    # The request and close_notify come together: the answer is sent nevertheless.
    with answering((lambda words: words) if batch else (lambda word: word),
                   unix_address(tmp_path), framing=Lines(), batch=batch,
                   ssl_context=server_context(certificates)) as served:
        with served.connect() as client:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            secure = client_context(certificates).wrap_bio(
                incoming, outgoing, server_hostname="localhost")
            while True:
                try:
                    secure.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.sendall(outgoing.read())
                    incoming.write(client.recv(65536))
            secure.write(b"one\ntwo\n")
            with pytest.raises(ssl.SSLWantReadError):
                secure.unwrap()
            client.sendall(outgoing.read())
            answer = receive_all(client)
            assert len(answer) > 100  # tickets, the answer, and close_notify
    assert decrypted(secure, incoming, answer) == b"one\ntwo\n"


def decrypted(secure, incoming, data):
    """What a TLS peer says, to one that has said goodbye itself."""
    incoming.write(data)
    text = b""
    try:
        while piece := secure.read():
            text += piece
    except (ssl.SSLZeroReturnError, ssl.SSLWantReadError):
        pass
    return text


def test_tls_a_client_that_speaks_plainly(certificates, caplog):
    caplog.set_level(logging.INFO, "fastsock.server")
    with answering(bytes.upper, framing=Lines(),
                   ssl_context=server_context(certificates)) as served:
        with served.connect() as plain:
            plain.sendall(b"hello\nhello\n" * 100)
            assert b"HELLO" not in receive_all(plain)
        with client_context(certificates).wrap_socket(
                served.connect(), server_hostname="localhost") as client:
            client.sendall(b"hello\n")
            assert receive(client, 6) == b"HELLO\n"
    assert "is lost" in caplog.text


def test_tls_the_peer_of_a_connection(certificates):
    def handler(line):
        connection = fastsock.current_connection()
        return repr((connection.get_extra_info("cipher"),
                     connection.get_extra_info("peername"))).encode()

    with answering(handler, LOOPBACK, framing=Lines(),
                   ssl_context=server_context(certificates)) as served:
        with client_context(certificates).wrap_socket(
                served.connect(), server_hostname="localhost") as client:
            client.sendall(b"x\n")
            expected = repr((client.cipher(), client.getsockname())).encode() + b"\n"
            assert receive(client, len(expected)) == expected


def test_tls_without_a_framing(certificates):
    """What arrives is a message: it is answered by TLS, and not as it is."""
    with answering(bytes.upper, ssl_context=server_context(certificates)) as served:
        with client_context(certificates).wrap_socket(
                served.connect(), server_hostname="localhost") as client:
            for text in b"hello", b"again", b"x" * 100_000:
                client.sendall(text)
                assert receive(client, len(text)) == text.upper()
