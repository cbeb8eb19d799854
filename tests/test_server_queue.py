"""What a protocol has written and its peer has not read: every byte in order, in linear time,
and no memory for what was sent.

Time is counted in instructions, by callgrind; memory by tracemalloc.
"""

import random
import re
import shutil
import socket
import subprocess
import sys
import tracemalloc

import pytest

import fastsock
from tests.protocol_servers import Recording, read_exactly, slow_reader
from tests.servers import pattern

SIZES = {
    "small": lambda random: random.randrange(1, 40),
    "around the limit of what is joined": lambda random: random.randrange(4090, 4102),
    "large": lambda random: random.randrange(10_000, 200_000),
    "one large among small": lambda random: random.choice([*range(1, 50), 70_000]),
    "all": lambda random: int(10 ** random.uniform(0, 5)),
}


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("name", SIZES)
def test_pieces_of_every_size(serve, name, inside):
    chosen = random.Random(name)
    data = pattern(2 << 20)
    pieces, position = [], 0
    while position < len(data):
        size = SIZES[name](chosen)
        pieces.append(data[position:position + size])
        position += size

    class Saying(Recording):
        def data_received(self, received):
            super().data_received(received)
            self.say()

        def say(self):
            for piece in pieces:
                self.transport.write(piece)

    server = serve(Saying)
    with socket.socket() as client:
        slow_reader(client)
        client.settimeout(20)
        client.connect(server.address)
        protocol = server.protocol()
        if inside:
            client.sendall(b"x")
            protocol.wait_for_bytes(1)
        else:
            server.call(protocol.say)
        received = bytearray()
        while len(received) < len(data):
            received += client.recv(chosen.randrange(1, 100_000))
        assert received == data
        server.call(protocol.transport.write, b"nothing waits before this")
        assert read_exactly(client, 25) == b"nothing waits before this"
        assert server.call(protocol.transport.get_write_buffer_size) == 0


def test_small_pieces_that_are_written_while_others_are_sent(serve):
    # The queue grows at one end and shrinks at the other: neither overtakes.
    server = serve()
    with socket.socket() as client:
        slow_reader(client)
        client.settimeout(20)
        client.connect(server.address)
        protocol = server.protocol()
        expected = 0
        for number in range(100):
            first = 1000 * number
            server.call(lambda: [protocol.transport.write(b"%07d\n" % line)
                                 for line in range(first, first + 1000)])
            for line in read_exactly(client, 8 * (500 if number < 99 else 50_500)).split():
                assert int(line) == expected
                expected += 1
    assert expected == 100_000


def test_what_resume_writing_writes_comes_behind(serve):
    class Saying(Recording):
        def data_received(self, data):
            self.transport.write(b"first ")
            self.transport.set_write_buffer_limits(3, 1)  # pauses; the next call may resume
            self.transport.write(bytearray(b"second "))
            self.transport.write(b"third ")
            self.transport.set_write_buffer_limits()

        def resume_writing(self):
            super().resume_writing()
            self.transport.write(b"last")

    server = serve(Saying)
    client, _ = server.accept()
    client.sendall(b"x")
    said = read_exactly(client, len(b"first second third "))
    assert said == b"first second third "


def test_what_was_sent_takes_no_memory(tmp_path):
    count, line = 100_000, b"%060d\n"
    made = []
    with (fastsock.Server(lambda: made[0](), str(tmp_path / "path")) as server,
          socket.socket(socket.AF_UNIX) as client):
        client.connect(server.addresses[0])
        client.setblocking(False)
        waiting, protocols = [count * 61], []
        sizes = {}

        def write():
            protocol = protocols[0]
            for number in range(count):
                protocol.transport.write(line % number)
            sizes["all"] = tracemalloc.get_traced_memory()[0]
            server.call_soon_threadsafe(read)

        def read():
            try:
                waiting[0] -= len(client.recv(65536))
            except BlockingIOError:
                pass
            if waiting[0] < count * 61 // 10 and "tenth" not in sizes:
                sizes["tenth"] = tracemalloc.get_traced_memory()[0]
            if waiting[0]:
                server.call_soon_threadsafe(read)
            else:
                server.shutdown()

        class Writing(Recording):
            def connection_made(self, transport):
                super().connection_made(transport)
                protocols.append(self)
                server.call_soon_threadsafe(write)

        made.append(Writing)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            server.serve_forever()
        finally:
            tracemalloc.stop()
    assert sizes["tenth"] - before < (sizes["all"] - before) / 4


PROGRAM = """
import socket, sys
import fastsock

class Protocol:
    def connection_made(self, transport):
        self.transport = transport
        server.call_soon_threadsafe(self.write)

    def connection_lost(self, error):
        pass

    def pause_writing(self):
        pass

    def resume_writing(self):
        pass

    def data_received(self, data):
        pass

    def write(self):
        for _ in range(count):
            self.transport.write(b"a short line of an answer\\n")
        self.left = 26 * count
        self.read()

    def read(self):
        try:
            self.left -= len(client.recv(65536))
        except BlockingIOError:
            pass
        if self.left and not self.transport.is_closing():
            server.call_soon_threadsafe(self.read)
        else:
            server.shutdown()

count = int(sys.argv[1])
# Of AF_UNIX: what the kernel has taken can be read at once, so that every turn finds some.
with fastsock.Server(Protocol, sys.argv[2]) as server, socket.socket(socket.AF_UNIX) as client:
    client.connect(server.addresses[0])
    client.setblocking(False)
    server.serve_forever()
"""


def instructions(count, path):
    shown = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-c",
         PROGRAM, str(count), path], capture_output=True, text=True, timeout=100, check=True)
    return int(re.search(r"Collected : (\d+)", shown.stderr)[1])


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="not installed: valgrind")
def test_many_small_pieces_take_linear_time(tmp_path):
    few, some, many = (instructions(count, str(tmp_path / "path"))
                       for count in (1_000, 100_000, 400_000))
    of_some = (some - few) / 99_000
    of_many = (many - some) / 300_000
    assert of_many < 1.25 * of_some
