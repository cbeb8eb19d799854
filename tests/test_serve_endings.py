"""serve(): connections that end, or a server, in the midst of messages and answers.

Over AF_UNIX, where what is sent has arrived: so a test decides what one look of the loop
finds.
"""

import socket
import threading

import pytest

import fastsock
from fastsock.framing import Lines

from tests.conftest import TIMEOUT_S
from tests.serving import answering, ends, errors, receive, receive_all, unix_address

LONG = b"x" * (1 << 20)


def shut_down_behind(served, act):
    """Have the server's thread do something and then begin its end, with no look at what is
    ready between the two."""
    def both():
        served.server.call_soon_threadsafe(act)
        served.server.shutdown(grace=1000)

    served.server.call_soon_threadsafe(both)


# -- between two answers ------------------------------------------------------------------


@pytest.mark.parametrize("framing", [None, Lines()])
def test_a_handler_that_closes_between_two_answers(tmp_path, framing, log):
    def answers(_):
        yield b"first"
        fastsock.current_connection().close()
        yield b"second"

    with answering(answers, unix_address(tmp_path), framing=framing) as served:
        assert served.ask(b"x\ny\n") == b"first" + b"\n" * (framing is not None)
    assert errors(log) == []


@pytest.mark.parametrize("batch", [False, True])
def test_many_small_answers_of_one_message(tmp_path, batch):
    # Far more than is gathered for one system call.
    lines = [b"%06d" % number * 100 for number in range(500)]
    handler = (lambda messages: [lines] * len(messages)) if batch else lambda message: lines
    with answering(handler, unix_address(tmp_path), framing=Lines(), batch=batch) as served:
        assert served.ask(b"x\n") == b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize("write_high_water", [1, 65_536])
def test_a_peer_that_has_gone_before_the_second_answer(tmp_path, write_high_water, log):
    with answering(lambda line: [b"small", bytearray(20_000), b"small"], unix_address(tmp_path),
                   framing=Lines(), write_high_water=write_high_water) as served:
        with served.connect() as client, served.held():
            client.sendall(b"x\n")
            client.close()
        assert served.ask(b"x\n") == b"small\n" + bytes(20_000) + b"\nsmall\n"
    assert errors(log) == []


# -- messages that had waited --------------------------------------------------------------


def test_what_leaves_the_loop_in_a_message_that_had_waited(tmp_path):
    def handler(line):
        if line == b"exit":
            raise SystemExit("asked to")
        return LONG if line == b"long" else line

    with answering(handler, unix_address(tmp_path), framing=Lines(limit=1 << 21)) as served:
        with served.connect() as client:
            client.sendall(b"long\nexit\nlast\n")
            served.turn()  # the peer does not read yet: two wait
            assert receive(client, len(LONG) + 1) == LONG + b"\n"
            assert receive(client, 5) == b"last\n"
    assert str(served.raised) == "asked to"


ALL, NOTHING = (1 << 24, 1 << 24), (1, 0)  # limits (high, low) of what waits to be sent


@pytest.mark.parametrize("limits", [[ALL], [ALL, NOTHING], [ALL, NOTHING, ALL]],
                         ids=["on", "on and off", "on twice"])
def test_messages_that_are_to_go_on_and_to_wait_in_one_turn(tmp_path, limits):
    """By another connection's handler, which changes what may wait: each is answered once."""
    found = []

    def handler(line):
        if line == b"long":
            found.append(fastsock.current_connection())
            return LONG
        if line == b"limits":
            for high, low in limits:
                found[0].set_write_buffer_limits(high, low)
        return line

    with answering(handler, unix_address(tmp_path), framing=Lines(limit=1 << 21)) as served:
        with served.connect() as slow, served.connect() as quick:
            slow.sendall(b"long\nwaits\n")
            served.turn()
            quick.sendall(b"limits\n")
            assert receive(quick, 7) == b"limits\n"
            slow.shutdown(socket.SHUT_WR)
            assert receive_all(slow) == LONG + b"\nwaits\n"
        found.clear()


def test_a_connection_that_is_closed_before_its_messages_went_on(tmp_path):
    found = []

    def handler(line):
        found.append(line)
        if line == b"long":
            found.append(fastsock.current_connection())
            return LONG
        return line

    with answering(handler, unix_address(tmp_path), framing=Lines(limit=1 << 21)) as served:
        with served.connect() as client:
            client.sendall(b"long\nnever\n")
            served.turn()
            served.server.call_soon_threadsafe(found[1].close)
            assert receive_all(client) == LONG + b"\n"
            assert b"never" not in found
        found.clear()


# -- the end of the server -----------------------------------------------------------------


def test_a_peer_that_goes_on_talking_does_not_hold_up_the_end(tmp_path):
    lines = []

    def handler(line):
        lines.append(line)
        client.sendall(b"again\n")  # has arrived when this returns

    with answering(handler, unix_address(tmp_path), framing=Lines()) as served:
        with served.connect() as client:
            served.turn()
            shut_down_behind(served, lambda: client.sendall(b"first\n"))
            assert ends(client)
            served.thread.join(TIMEOUT_S)
            assert not served.thread.is_alive()
    assert lines[:2] == [b"first", b"again"] and len(lines) < 100


def test_a_peer_that_has_gone_before_its_batch_is_answered(tmp_path, log):
    given = []

    def handler(lines):
        given.extend(lines)
        return lines

    with answering(handler, unix_address(tmp_path), framing=Lines(), batch=True) as served:
        with served.connect() as other, served.connect() as client:
            client.sendall(b"first\n")
            served.turn()

            def act():
                other.sendall(b"other\n")
                client.sendall(b"second\n")
                client.close()  # with an answer unread: a reset behind the message

            shut_down_behind(served, act)
            assert receive_all(other) == b"other\n"
    assert sorted(given) == [b"first", b"other", b"second"]
    assert errors(log) == []


@pytest.mark.parametrize("batch", [False, True])
def test_what_follows_what_is_no_message_is_not_looked_at(tmp_path, batch, log):
    handler = (lambda lines: lines) if batch else lambda line: line
    with answering(handler, unix_address(tmp_path), framing=Lines(limit=100),
                   batch=batch) as served:
        with served.connect() as client:
            served.turn()
            # More than one receive takes, so that the end begins between two of them.
            shut_down_behind(served, lambda: client.sendall(
                b"good\n" + bytes(70_000) + b"\nnever\n"))
            assert receive_all(client) == b"good\n"
    assert "sent what is no message" in log.text
    assert errors(log) == []


def test_a_callback_that_asks_for_itself_again_does_not_hold_up_the_end(tmp_path):
    ran = threading.Event()

    with answering(bytes.upper, unix_address(tmp_path)) as served:
        def again():
            ran.set()
            served.server.call_soon_threadsafe(again)

        served.server.call_soon_threadsafe(again)
        assert ran.wait(TIMEOUT_S)
        with served.connect() as client:
            client.sendall(b"served meanwhile")
            assert receive(client, 16) == b"SERVED MEANWHILE"
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b""
    assert not served.thread.is_alive()
