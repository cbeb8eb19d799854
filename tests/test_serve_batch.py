"""serve_batches(): one call for all that a wake-up of the loop brought.

The loop is held while clients send (over AF_UNIX, where what is sent has arrived), so
that it wakes up to all of it at once.
"""

import logging

import pytest

import fastsock
from fastsock.framing import LengthPrefix, Lines

from tests.serving import (
    FRAMINGS, answering, ends, receive, receive_all, unix_address,
)


def answering_batches(tmp_path, handler, **options):
    return answering(handler, unix_address(tmp_path), **{
        "framing": Lines(), "batch": True, **options})


@pytest.fixture
def clients():
    """clients(served, count): connections that the server knows of."""
    made = []

    def connect(served, count):
        new = [served.connect() for _ in range(count)]
        made.extend(new)
        served.turn()
        assert served.server.connection_count >= count
        return new

    yield connect
    for client in made:
        client.close()


@pytest.mark.parametrize("use_poll", [False, True])
def test_one_call_for_all_connections(tmp_path, clients, use_poll):
    calls = []

    def handler(lines):
        calls.append(sorted(lines))
        return [line.upper() for line in lines]

    with answering_batches(tmp_path, handler, use_poll=use_poll) as served:
        several = clients(served, 20)
        with served.held():
            for number, client in enumerate(several):
                client.sendall(b"a%d\nb%d\nunfin" % (number, number))
        for number, client in enumerate(several):
            expected = b"A%d\nB%d\n" % (number, number)
            assert receive(client, len(expected)) == expected
        with served.held():
            for client in several[:3]:
                client.sendall(b"ished\n")
        for client in several[:3]:
            assert receive(client, 11) == b"UNFINISHED\n"
    first = [b"%c%d" % (letter, number) for letter in b"ab" for number in range(20)]
    assert calls == [sorted(first), [b"unfinished"] * 3]


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_each_gets_its_own_answers_in_order(tmp_path, clients, framing):
    with answering_batches(tmp_path, lambda words: [word[::-1] for word in words],
                           framing=framing) as served:
        several = clients(served, 10)
        words = {client: [b"%02d%03d" % (number, count) for count in range(100)]
                 for number, client in enumerate(several)}
        with served.held():
            for client in several:
                client.sendall(b"".join(map(framing.encode, words[client])))
        for client in several:
            expected = b"".join(framing.encode(word[::-1]) for word in words[client])
            assert receive(client, len(expected)) == expected


def test_without_a_framing(tmp_path, clients):
    calls = []
    with answering_batches(tmp_path, lambda pieces: calls.append(len(pieces)) or pieces,
                           framing=None) as served:
        several = clients(served, 5)
        with served.held():
            for client in several:
                client.sendall(b"one")
                client.sendall(b"two")
        for client in several:
            assert receive(client, 6) == b"onetwo"
    assert calls == [5]


ANSWERS = {
    "list": list, "tuple": tuple, "generator": lambda lines: (line for line in lines),
    "several": lambda lines: [(line, line) for line in lines],
    "nothing": lambda lines: [None] * len(lines), "memory": lambda lines: map(bytearray, lines),
    "generators": lambda lines: [(b"%c" % letter for letter in line) for line in lines],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_batch_handler_may_return(tmp_path, clients, name):
    expected = {"several": b"ab\nab\ncd\ncd\n", "nothing": b"",
                "generators": b"a\nb\nc\nd\n"}.get(name, b"ab\ncd\n")
    with answering_batches(tmp_path, ANSWERS[name]) as served:
        several = clients(served, 3)
        with served.held():
            for client in several:
                client.sendall(b"ab\ncd\n")
        for client in several:
            assert receive(client, len(expected)) == expected
            client.shutdown(1)
            assert receive_all(client) == b""


WRONG = {
    "too few": lambda lines: lines[1:], "too many": lambda lines: [*lines, b""],
    "none": lambda lines: None, "number": lambda lines: 3, "raises": lambda lines: 1 // 0,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_batch_ends_its_connections(tmp_path, clients, wrong, caplog):
    def handler(lines):
        return wrong(lines) if b"wrong" in lines else lines

    with answering_batches(tmp_path, handler) as served:
        *inside, outside = clients(served, 4)
        with served.held():
            inside[0].sendall(b"wrong\n")
            inside[1].sendall(b"right\n")
            inside[2].sendall(b"right\nunfinished")
        for client in inside:
            assert ends(client)
        outside.sendall(b"later\n")
        assert receive(outside, 6) == b"later\n"
    assert len([record for record in caplog.records if record.exc_info]) == 3


def raising(line):
    yield line
    raise LookupError


@pytest.mark.parametrize("answer", [
    lambda line: "text", lambda line: b"two\nlines", raising],
    ids=["text", "refused", "generator"])
def test_a_wrong_answer_ends_its_own_connection(tmp_path, clients, answer, caplog):
    def handler(lines):
        return [answer(line) if line == b"wrong" else line for line in lines]

    with answering_batches(tmp_path, handler) as served:
        bad, good = clients(served, 2)
        with served.held():
            good.sendall(b"a\n")
            bad.sendall(b"first\nwrong\nlast\n")
            good.sendall(b"b\n")
        assert receive(good, 4) == b"a\nb\n"
        said = b"first\nwrong\n" if answer is raising else b"first\n"
        assert receive_all(bad) == said
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_current_connection_is_of_nobody(tmp_path, clients):
    raised = []

    def nobody():
        with pytest.raises(RuntimeError, match=r"serve_batches\(\)") as error:
            fastsock.current_connection()
        raised.append(error)

    def handler(lines):
        nobody()
        return [answer(line) for line in lines]

    def answer(line):
        nobody()
        yield line

    with answering_batches(tmp_path, handler) as served:
        (client,) = clients(served, 1)
        client.sendall(b"x\n")
        assert receive(client, 2) == b"x\n"
    assert len(raised) == 2


def test_a_peer_that_has_gone_meanwhile(tmp_path, clients, caplog):
    caplog.set_level(logging.ERROR, "fastsock.server")
    with answering_batches(tmp_path, lambda lines: [bytes(60_000) for _ in lines]) as served:
        gone, stays = clients(served, 2)
        with served.held():
            gone.sendall(b"x\n" * 100)
            stays.sendall(b"x\n")
            gone.close()
        assert receive(stays, 60_001) == bytes(60_000) + b"\n"
    assert not caplog.records


def test_half_close_after_a_request(tmp_path, clients):
    large = bytes(1_000_000)
    with answering_batches(tmp_path, lambda lines: [large] * len(lines),
                           framing=LengthPrefix()) as served:
        several = clients(served, 4)
        with served.held():
            for client in several:
                client.sendall(LengthPrefix().encode(b"x") * 3)
                client.shutdown(1)
        for client in several:
            assert receive_all(client) == LengthPrefix().encode(large) * 3


def test_shutdown_answers_the_batch(tmp_path, clients):
    with answering_batches(tmp_path, lambda lines: lines) as served:
        several = clients(served, 4)
        with served.held():
            for client in several[:2]:
                client.sendall(b"whole\n")
            several[2].sendall(b"whole\nhal")
            served.server.shutdown(grace=1000)
        for client in several[:2]:
            assert receive_all(client) == b"whole\n"
        assert receive_all(several[3]) == b""
        several[2].sendall(b"f\n")
        assert receive_all(several[2]) == b"whole\nhalf\n"
