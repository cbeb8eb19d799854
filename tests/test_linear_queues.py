"""Every queue takes linear time: instructions at two sizes, counted by callgrind.

With a reader that is late, and a kernel that takes little at a time. What is four times as
much takes about four times the instructions; where each partial send or receive moves or
looks at all that is there, it takes up to 16 times as many. Nothing is timed.
"""

import re
import shutil
import subprocess
import sys

import pytest

#: Between 4 and 16, with room for what doesn't grow evenly (memory that doubles).
MOST = 5
SIZES = 1, 4
MARK = "getppid"

PROGRAM = """
import itertools, os, socket as stdlib_socket, types
import fastsock
from fastsock import framing

class Late:
    '''A Stream that the kernel takes little from, and its reader.'''
    def __init__(self, wrap=lambda sock: sock, **keywords):
        ours, self.peer = stdlib_socket.socketpair()
        ours.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, 1)
        ours.setblocking(False)
        self.peer.setblocking(False)
        self.ours = fastsock.adopt(ours)
        self.stream = fastsock.Stream(wrap(self.ours), high_water=1 << 30, **keywords)
        self.room = bytearray(1 << 16)

    def flush(self):
        while True:
            try:
                return self.stream.flush()
            except BlockingIOError:
                self.peer.recv_into(self.room)

    def close(self):
        self.ours.close()
        self.peer.close()

def written(sizes):
    def scenario(count, late):
        for _ in range(count):
            for size in sizes:
                late.stream.write(DATA[size])
        late.flush()
    return scenario

def lines(count, late):
    assert late.stream.writelines(DATA[64] for _ in range(count)) is None
    late.flush()

def sent_at_once(count, late):
    for _ in range(count):
        try:
            late.stream.send_message(DATA[5000])
        except BlockingIOError as error:
            assert error.pieces_accepted == 1
    late.flush()

def received(receive):
    '''One large message; each call gets a part of it, and raises.'''
    def scenario(count, late):
        data = framing.Netstring(limit=1 << 30).encode(bytes(count))
        in_parts(lambda into: receive(late.stream, into), data, bytearray(count), late)
    return scenario

def in_parts(receive, data, into, late):
    is_received = False
    for at in range(0, len(data), 8192):
        late.peer.sendall(data[at:at + 8192])
        is_received = is_whole(receive, into)
    while not is_received:  # a timeout may have left a part in the kernel
        is_received = is_whole(receive, into)
    assert late.stream.pending() == 0

def is_whole(receive, into):
    try:
        receive(into)
    except (BlockingIOError, TimeoutError):
        return False
    return True

def with_timeout(stream, into):
    stream.sock.settimeout(1e-9)
    stream.recv_message_into(into)

def prefixed(count, late):
    '''As received(), of a framing with nothing behind the payload.'''
    data = framing.LengthPrefix(limit=1 << 30).encode(bytes(count))
    in_parts(lambda into: with_timeout(late.stream, into), data, bytearray(count), late)

def fed(count, late):
    lengths = framing.LengthPrefix(limit=1 << 30)
    data = lengths.encode(bytes(count))
    found = sum(len(lengths.feed(data[at:at + 8192])) for at in range(0, len(data), 8192))
    assert found == 1

def datagrams(count, late):
    a, b = fastsock.socketpair(type=fastsock.SOCK_DGRAM)
    a.setblocking(False)
    messages = itertools.repeat(DATA[64], count)
    sent = 0
    while left := list(itertools.islice(messages, 100)):
        while left:
            try:
                sent += a.sendmmsg(left)
                break
            except BlockingIOError as error:
                sent += error.pieces_accepted
                del left[:error.pieces_accepted]
                b.recvmmsg(64)
    assert sent == count

NETSTRINGS = {"framing": framing.Netstring(limit=1 << 30)}
DATA = {size: bytes(size) for size in (64, 3000, 5000)}
SCENARIOS = {
    "small writes": (2000, written([64]), {}),
    "large writes": (200, written([5000]), {}),
    "small and large writes": (150, written([64, 5000, 3000]), {}),
    "writelines": (2000, lines, {}),
    "small and large writes, own send": (150, written([64, 5000]), {
        "wrap": lambda sock: types.SimpleNamespace(recv=sock.recv, send=sock.send)}),
    "messages that are not sent at once": (200, sent_at_once, NETSTRINGS),
    "a large message": (1 << 20, received(lambda stream, into: stream.recv_message()), NETSTRINGS),
    "a large message, into": (
        1 << 20, received(lambda stream, into: stream.recv_message_into(into)), NETSTRINGS),
    "a large message, into, with a timeout": (1 << 20, received(with_timeout), NETSTRINGS),
    "a large message with its length in front, into, with a timeout": (
        1 << 20, prefixed, {"framing": framing.LengthPrefix(limit=1 << 30)}),
    "a large message, fed": (1 << 20, fed, {}),
    "datagrams": (1000, datagrams, {}),
}
for name, (count, scenario, keywords) in SCENARIOS.items():
    for size in (0.5, *SIZES):  # the first time does not count: what is made once
        late = Late(**keywords)
        os.getppid()
        scenario(int(count * size), late)
        os.getppid()
        late.close()
    print(name)
"""


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="not installed: valgrind")
def test_four_times_as_much_takes_four_times_as_long(tmp_path):
    shown = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={tmp_path}/counted",
         f"--dump-before={MARK}", sys.executable, "-c", f"SIZES = {SIZES}\n" + PROGRAM],
        capture_output=True, text=True, timeout=300, env={"PYTHONHASHSEED": "0"})
    assert shown.returncode == 0, shown.stderr[-3000:]
    # A dump has what ran since the one before; the last has no number.
    dumps = sorted(tmp_path.glob("counted.*"), key=lambda path: int(path.suffix[1:]))
    counts = [int(re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)[1])
              for path in dumps]
    names = shown.stdout.splitlines()
    ratios = {}
    for name in names:
        _, _, _, small, _, large, *counts = counts
        ratios[name] = large / small
    assert len(names) > 5
    assert {name: ratio for name, ratio in ratios.items() if not 1 < ratio < MOST} == {}, ratios
