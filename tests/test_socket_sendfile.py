"""socket.sendfile(): how long it waits, where it stops, and files that sendfile(2) can't take."""

import io
import os
import threading

import pytest

from tests.conftest import FACILITIES, TIMEOUT_S
from tests.servers import pattern

MUCH = pattern(4_000_000)  # more than the kernel keeps for a pair


@pytest.fixture
def large(tmp_path):
    (tmp_path / "large").write_bytes(MUCH)
    with open(tmp_path / "large", "rb") as opened:
        yield opened


def read_all(sock, into):
    while data := sock.recv(1 << 16):
        into += data


def test_a_reader_that_does_not_read(pair, large):
    """The file's position is what went out, so that it can go on there."""
    a, b = pair
    a.settimeout(0.01)
    with pytest.raises(TimeoutError):
        a.sendfile(large)
    sent = large.tell()
    assert 0 < sent < len(MUCH)
    received = bytearray()
    reader = threading.Thread(target=read_all, args=(b, received), daemon=True)
    reader.start()
    a.settimeout(TIMEOUT_S)
    assert a.sendfile(large, sent) == len(MUCH) - sent
    a.close()
    reader.join(TIMEOUT_S)
    assert received == MUCH


@pytest.mark.skipif(not FACILITIES["splice"], reason="this build does without sendfile(2)")
def test_a_file_that_a_dup_made_nonblocking(pair, large):
    """It waits for the reader as a blocking socket does."""
    a, b = pair
    received = bytearray()
    os.set_blocking(a.fileno(), False)
    reader = threading.Thread(target=read_all, args=(b, received), daemon=True)
    reader.start()
    assert a.sendfile(large) == len(MUCH)
    a.close()
    reader.join(TIMEOUT_S)
    assert received == MUCH


def test_a_descriptor_that_is_none(pair, tmp_path):
    """Its fileno() is wrong, and what it reads is sent."""
    class Odd(io.BytesIO):
        def fileno(self):
            return 1 << 24

    a, b = pair
    assert a.sendfile(Odd(b"what it reads")) == 13
    assert b.recv(100) == b"what it reads"
