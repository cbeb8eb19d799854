"""Datagrams over loopback, in batches and one by one: python -m benchmarks datagrams"""

import os
import socket as stdlib_socket
import time

import fastsock
from benchmarks.common import on_processor, pin
from benchmarks.measure import in_turn, with_c
from examples.dns_responder import answer, zone_of

QUEUE_BYTES = 8 << 20
SO_RCVBUFFORCE = 33


def udp_pair(module):
    """(connected sender, receiver with a long queue)."""
    receiver = module.socket(module.AF_INET, module.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    try:
        receiver.setsockopt(stdlib_socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES)
    except OSError:  # not root: what net.core.rmem_max allows
        receiver.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, QUEUE_BYTES)
    receiver.settimeout(5)
    sender = module.socket(module.AF_INET, module.SOCK_DGRAM)
    sender.connect(receiver.getsockname())
    return sender, receiver


def timed_receiving(module, fill, make):
    """Fill the queue, then time taking `count` datagrams."""
    sender, receiver = udp_pair(module)
    take = make(receiver)

    def measured(count):
        fill(sender, count)
        started = time.perf_counter_ns()
        take(count)
        return time.perf_counter_ns() - started
    return measured


def fill_with(size):
    data = b"x" * size

    def fill(sender, count):
        for _ in range(count):
            sender.send(data)
    return fill


def fill_segmented(size):
    def fill(sender, count):
        data = bytes(size * (60000 // size))
        for _ in range(count // (60000 // size)):
            sender.send_segmented(data, size)
    return fill


def by_recvfrom(receiver):
    def take(count):
        for _ in range(count):
            receiver.recvfrom(2048)
    return take


def by_list(receiver):
    def take(count):
        while count > 0:
            count -= len(receiver.recvmmsg(64))
    return take


def by_list_glued(receiver):
    receiver.enable_gro()
    return by_list(receiver)


def by_batch(receiver):
    batch = fastsock.DatagramBatch(64, 2048)

    def take(count):
        while count > 0:
            count -= receiver.recvmmsg_into(batch)
    return take


def by_batch_glued(receiver):
    receiver.enable_gro()
    return by_batch(receiver)


def timed_sending(module, send, glued=False):
    """`send(sender, count)`, to a receiver whose queue is emptied between."""
    sender, receiver = udp_pair(module)
    receiver.setblocking(False)
    if glued:
        receiver.enable_gro()

    def measured(count):
        started = time.perf_counter_ns()
        send(sender, count)
        elapsed_ns = time.perf_counter_ns() - started
        try:
            while True:
                receiver.recv(65536)
        except BlockingIOError:
            return elapsed_ns
    return measured


def sendto_one_by_one(size):
    data = b"x" * size

    def send(sender, count):
        address = sender.getpeername()
        for _ in range(count):
            sender.sendto(data, address)
    return send


def send_batches(size):
    data = b"x" * size

    def send(sender, count):
        batch = [data] * 64
        for _ in range(count // 64):
            sender.sendmmsg(batch)
    return send


def send_segments(size):
    def send(sender, count):
        data = bytes(size * 50)
        for _ in range(count // 50):
            sender.send_segmented(data, size)
    return send


def echo_one_by_one(sock):
    while True:
        data, address = sock.recvfrom(2048)
        if not data:
            return
        sock.sendto(data, address)


def echo_batches(sock):
    batch = fastsock.DatagramBatch(64, 2048)
    while True:
        sock.recvmmsg_into(batch)
        if len(batch[len(batch) - 1]) == 0:
            return
        sock.sendmmsg_from(batch)


QUESTION = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\4host\7example\0\0\1\0\1"


def dns_one_by_one(sock):
    zone = zone_of(["host.example=192.0.2.7"])
    while True:
        query, address = sock.recvfrom(2048)
        if not query:
            return
        sock.sendto(answer(query, zone), address)


def dns_batches(sock):
    zone = zone_of(["host.example=192.0.2.7"])
    batch = fastsock.DatagramBatch(64, 2048)
    while True:
        count = sock.recvmmsg_into(batch)
        for index in range(count):
            query = bytes(batch[index])
            if not query:
                return
            batch[index] = answer(query, zone)
        sock.sendmmsg_from(batch)


def server_time(module, serve, message=b"x" * 64):
    """CPU time of the server's process a datagram, as the kernel counts it."""
    server = module.socket(module.AF_INET, module.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    address = server.getsockname()

    def measured(count):
        report, answer = os.pipe()
        if os.fork() == 0:
            pin(1)
            before = time.process_time_ns()
            serve(server)
            os.write(answer, str(time.process_time_ns() - before).encode())
            os._exit(0)
        os.close(answer)
        with stdlib_socket.socket(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM) as client:
            client.connect(address)
            client.settimeout(1)
            for _ in range(count // 128):
                for _ in range(128):
                    client.send(message)
                for _ in range(128):
                    client.recv(2048)
            client.send(b"")
        used_ns = int(os.read(report, 64))
        os.close(report)
        os.wait()
        return used_ns
    return on_processor(0, measured)


def rows():
    recvfrom64 = timed_receiving(stdlib_socket, fill_with(64), by_recvfrom)
    yield in_turn("64 B off a full queue, recvmmsg(64) vs recvfrom", {
        "stdlib": recvfrom64,
        "fastsock": timed_receiving(fastsock, fill_with(64), by_list)}, 1024)
    yield in_turn("64 B off a full queue, DatagramBatch vs recvfrom", with_c({
        "stdlib": recvfrom64,
        "fastsock": timed_receiving(fastsock, fill_with(64), by_batch)},
        "datagrams", "recvmmsg", 64), 1024)
    recvfrom1200 = timed_receiving(stdlib_socket, fill_with(1200), by_recvfrom)
    yield in_turn("1,200 B with GRO, recvmmsg(64) vs recvfrom", with_c({
        "stdlib": recvfrom1200,
        "fastsock": timed_receiving(fastsock, fill_segmented(1200), by_list_glued)},
        "datagrams", "recvmmsg_gro", 1200), 1000)
    yield in_turn("1,200 B with GRO, DatagramBatch vs recvfrom", with_c({
        "stdlib": recvfrom1200,
        "fastsock": timed_receiving(fastsock, fill_segmented(1200), by_batch_glued)},
        "datagrams", "recvmmsg_gro", 1200), 1000)
    yield in_turn("64 B, sendmmsg of 64 vs sendto", with_c({
        "stdlib": timed_sending(stdlib_socket, sendto_one_by_one(64)),
        "fastsock": timed_sending(fastsock, send_batches(64))},
        "datagrams", "sendmmsg", 64), 1024)
    one_by_one = timed_sending(stdlib_socket, sendto_one_by_one(1200))
    for title, glued in (("without", False), ("with", True)):
        yield in_turn(f"send_segmented of 1,200 B, to a receiver {title} GRO, vs sendto", {
            "stdlib": one_by_one, "fastsock": timed_sending(fastsock, send_segments(1200), glued)}, 1000)
    yield in_turn("echo server, its CPU a datagram", {
        "stdlib": server_time(stdlib_socket, echo_one_by_one),
        "fastsock": server_time(fastsock, echo_batches)}, 12_800, rounds=9)
    yield in_turn("examples/dns_responder.py, its CPU a question", {
        "stdlib": server_time(stdlib_socket, dns_one_by_one, QUESTION),
        "fastsock": server_time(fastsock, dns_batches, QUESTION)}, 12_800, rounds=9)
