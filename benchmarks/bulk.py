"""Much over TCP, in pieces: python -m benchmarks bulk"""

import socket as stdlib_socket

from benchmarks.common import IMPLEMENTATIONS, on_processor, partner, tcp_pair
from benchmarks.measure import in_turn, timed, with_c


def bulk(module, size):
    def send_pieces(sock):
        data = bytes(size)
        while count := sock.recv(8, stdlib_socket.MSG_WAITALL):
            for _ in range(int.from_bytes(count, "little")):
                sock.sendall(data)

    sock = partner(tcp_pair(module), send_pieces)
    target = bytearray(size)

    @timed
    def work(count):
        sock.sendall(count.to_bytes(8, "little"))
        left = size * count
        while left:
            left -= sock.recv_into(target)
    return on_processor(0, work)


def rows():
    for size in (64 << 10, 1 << 20):
        variants = {name: bulk(module, size) for name, module in IMPLEMENTATIONS.items()}
        yield in_turn(f"bulk over TCP, pieces of {size >> 10} KiB",
                      with_c(variants, "calls", "bulk", size), (128 << 20) // size, rounds=21)
