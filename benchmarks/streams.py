"""Messages, lines and frames: python -m benchmarks streams

The column "stdlib" is what a program does without fastsock: named behind "vs"."""

import asyncio
import shutil
import socket as stdlib_socket
import struct
import subprocess
import tempfile
import time

import fastsock
from benchmarks.common import on_processor, partner, tcp_pair, unix_pair
from benchmarks.files_and_buffers import usual_loop
from benchmarks.measure import in_turn, timed
from fastsock import framing

BODY = b"x" * 64
FRAME = struct.pack("!I", 64) + BODY
LINE = b"x" * 63 + b"\n"
MEBIBYTE = 1 << 20


def off_a_full_buffer(module, data, make):
    """`make(sock)` gives the function that takes `count` pieces of what is there."""
    a, b = unix_pair(module)
    a.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, 4 * MEBIBYTE)
    take = make(b)

    def measured(count):
        a.sendall(data * count)
        started = time.perf_counter_ns()
        take(count)
        return time.perf_counter_ns() - started
    return measured


def by_loop(sock):
    def take(count):
        for _ in range(count):
            size, = struct.unpack("!I", usual_loop(sock, 4))
            usual_loop(sock, size)
    return take


def by_makefile(sock):
    file = sock.makefile("rb")

    def take(count):
        for _ in range(count):
            size, = struct.unpack("!I", file.read(4))
            file.read(size)
    return take


def lines_by_makefile(sock):
    file = sock.makefile("rb")

    def take(count):
        for _ in range(count):
            file.readline()
    return take


def lines_by_split(sock):
    def take(count):
        rest = b""
        while count:
            *lines, rest = (rest + sock.recv(65536)).split(b"\n")
            count -= len(lines)
    return take


def by_asyncio(sock):
    loop = asyncio.new_event_loop()
    sock.setblocking(False)
    reader, writer = loop.run_until_complete(
        asyncio.open_connection(sock=sock, limit=4 * MEBIBYTE))

    async def read(count):
        for _ in range(count):
            size, = struct.unpack("!I", await reader.readexactly(4))
            await reader.readexactly(size)
        return writer  # without it the connection would end
    return lambda count: loop.run_until_complete(read(count))


def by_messages(how):
    def make(sock):
        stream = fastsock.Stream(sock, framing=how)

        def take(count):
            while count:
                count -= len(stream.recv_messages())
        return take
    return make


def by_message(how):
    def make(sock):
        stream = fastsock.Stream(sock, framing=how)

        def take(count):
            for _ in range(count):
                stream.recv_message()
        return take
    return make


def request_and_response(client, server):
    """Each is (send a line, receive a line)."""
    @timed
    def work(count):
        for _ in range(count):
            client[0]()
            server[1]()
            server[0]()
            client[1]()
    return work


def over_files():
    def end(sock):
        file = sock.makefile("rwb")

        def send():
            file.write(LINE)
            file.flush()
        return send, file.readline
    return request_and_response(*map(end, unix_pair(stdlib_socket, 5)))


def over_streams():
    def end(sock):
        stream = fastsock.Stream(sock, framing=framing.Lines())
        return (lambda: stream.send_message(LINE[:-1])), stream.recv_message
    return request_and_response(*map(end, unix_pair(fastsock, 5)))


def sending(module, make):
    """Frames to a reader on the other processor."""
    def drain(sock):
        target = bytearray(MEBIBYTE)
        while sock.recv_into(target):
            pass

    send = make(partner(unix_pair(module), drain))
    return on_processor(0, timed(lambda count: send([BODY] * count)))


def send_by_loop(sock):
    def send(bodies):
        for body in bodies:
            sock.sendall(struct.pack("!I", len(body)) + body)
    return send


def send_by_stream(sock):
    return fastsock.Stream(sock, framing=framing.LengthPrefix("!I")).send_messages


def large_frames(module, make):
    def send_frames(sock):
        data = struct.pack("!I", MEBIBYTE) + bytes(MEBIBYTE)
        while count := sock.recv(8, stdlib_socket.MSG_WAITALL):
            for _ in range(int.from_bytes(count, "little")):
                sock.sendall(data)

    sock = partner(tcp_pair(module), send_frames)
    take = make(sock)

    @timed
    def work(count):
        sock.sendall(count.to_bytes(8, "little"))
        take(count)
    return on_processor(0, work)


def plain_receives(sock):
    target = bytearray(MEBIBYTE + 4)
    view = memoryview(target)

    def take(count):
        for _ in range(count):
            filled = 0
            while filled < len(target):
                filled += sock.recv_into(view[filled:])
    return take


def into_one_buffer(sock):
    stream = fastsock.Stream(sock, framing=framing.LengthPrefix("!I"))
    target = bytearray(MEBIBYTE)

    def take(count):
        for _ in range(count):
            stream.recv_message_into(target)
    return take


def redis_rows():
    """Pipelined SETs by the client of examples/, against redis-py."""
    try:
        import redis
        from examples.redis_client import Redis
    except ImportError as error:
        print(f"left out: redis ({error})")
        return
    if shutil.which("redis-server") is None:
        print("left out: redis (no redis-server)")
        return
    try:
        import hiredis  # noqa: F401
        peer = "redis-py with hiredis"
    except ImportError:
        peer = "redis-py"
    with stdlib_socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL)
        try:
            theirs = redis.Redis(port=port)
            while True:
                try:
                    theirs.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
            ours = Redis(("127.0.0.1", port))

            @timed
            def by_redis_py(count):
                with theirs.pipeline(transaction=False) as pipeline:
                    for number in range(count):
                        pipeline.set(b"key:%d" % number, b"%d" % number)
                    pipeline.execute()

            @timed
            def by_example(count):
                replies = ours.pipeline([(b"SET", b"key:%d" % number, b"%d" % number)
                                         for number in range(count)])
                assert replies.count(b"OK") == count

            yield in_turn(f"10,000 SETs by examples/redis_client.py vs {peer}",
                          {"stdlib": by_redis_py, "fastsock": by_example}, 10_000, rounds=11)
            ours.close()
        finally:
            server.terminate()
            server.wait()


def rows():
    prefix, lines = framing.LengthPrefix("!I"), framing.Lines()
    for title, base, data, ours in (
            ("frames of 4 + 64 B, recv_messages vs recv_into loop",
             by_loop, FRAME, by_messages(prefix)),
            ("frames of 4 + 64 B, recv_message vs recv_into loop",
             by_loop, FRAME, by_message(prefix)),
            ("frames of 4 + 64 B, recv_messages vs makefile",
             by_makefile, FRAME, by_messages(prefix)),
            ("lines of 64 B, recv_messages vs makefile", lines_by_makefile, LINE,
             by_messages(lines)),
            ("lines of 64 B, recv_messages vs recv and split", lines_by_split, LINE,
             by_messages(lines)),
            ("frames of 4 + 64 B, recv_message vs asyncio streams", by_asyncio, FRAME,
             by_message(prefix))):
        yield in_turn(title, {
            "stdlib": off_a_full_buffer(stdlib_socket, data, base),
            "fastsock": off_a_full_buffer(fastsock, data, ours)}, 2000)
    yield in_turn("request, response lines, timeout set, vs makefile", {
        "stdlib": over_files(), "fastsock": over_streams()}, 500)
    yield in_turn("send_messages of 1,000 x 64 B vs sendall loop", {
        "stdlib": sending(stdlib_socket, send_by_loop),
        "fastsock": sending(fastsock, send_by_stream)}, 1000)
    base = large_frames(stdlib_socket, plain_receives)
    yield in_turn("frames of 1 MiB, recv_message vs recv_into", {
        "stdlib": base, "fastsock": large_frames(fastsock, by_message(prefix))}, 64, rounds=15)
    yield in_turn("frames of 1 MiB, recv_message_into vs recv_into", {
        "stdlib": base, "fastsock": large_frames(fastsock, into_one_buffer)}, 64, rounds=15)
    yield from redis_rows()
