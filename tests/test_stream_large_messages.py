"""Large messages of a stream, received straight into memory of one's own."""

import pytest

from tests.conftest import TIMEOUT_S
from tests.streams import LONG, WAITING

from fastsock import framing


@pytest.mark.parametrize("arrived", [9, 50_000])
@pytest.mark.parametrize("moves_on", [False, True])
def test_a_wait_that_times_out_loses_nothing(connect, arrived, moves_on):
    """What had come goes back to the front of what is read next, header and all."""
    lengths = framing.LengthPrefix(limit=1 << 20)
    first, large = lengths.encode(b"first " * 30), lengths.encode(LONG)
    room = bytearray(len(LONG))
    with connect(framing=lengths) as (stream, peer):
        peer.send(first + large[:arrived])
        assert stream.recv_message() == b"first " * 30
        stream.sock.settimeout(0.01)
        for _ in range(3):
            with pytest.raises(WAITING):
                stream.recv_message_into(room)
            if moves_on:
                peer.send(large[arrived:arrived + 1000])
                arrived += 1000
        stream.sock.settimeout(TIMEOUT_S)
        peer.send(large[arrived:] + first)
        assert stream.recv_message_into(room) == len(LONG) and room == LONG
        assert stream.recv_message() == b"first " * 30
