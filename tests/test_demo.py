"""`python -m fastsock demo`: runs, compares what came back, prints both rates."""

import re

import pytest

from fastsock.commands import demo

QUICK = ["--rounds", "2", "--messages", "50", "--mib", "1"]


def test_demo_prints_both_rates(python):
    shown = python("-m", "fastsock", "demo", *QUICK).stdout
    rows = re.findall(r"^(.+?)\s+([\d,]+)\s+([\d,]+)\s+(\d+\.\d\d)$", shown, re.MULTILINE)
    assert [title for title, *_ in rows] == ["64-byte messages, round trips/s", "bulk, MiB/s"]
    assert all(int(rate.replace(",", "")) > 0 for _, *rates, _ in rows for rate in rates)
    moved = 2 * (50 * 64 + (1 << 20))
    assert f"both moved the same {moved:,} bytes" in shown


def test_a_wrong_number_is_refused(python):
    result = python("-m", "fastsock", "demo", "--rounds", "0", check=False)
    assert result.returncode == 2
    assert "--rounds must be at least 1, not 0" in result.stderr


def test_request_response_notices_a_wrong_reply(pair):
    client, server = pair
    server.sendall(demo.MESSAGE + b"x" * 64)
    assert demo.request_response(client, 1) is False


def test_request_response_notices_the_end(pair):
    client, server = pair
    server.sendall(demo.MESSAGE[:10])
    server.shutdown(1)
    assert demo.request_response(client, 1) is False


@pytest.mark.parametrize("missing", [0, 1])
def test_bulk_notices_what_is_missing(pair, missing):
    client, server = pair
    data = bytes(range(100))
    target = bytearray(len(data))
    server.sendall(data[missing:])
    server.shutdown(1)
    assert demo.bulk(client, data, target) is (missing == 0)
    assert (bytes(target) == data) is (missing == 0)
