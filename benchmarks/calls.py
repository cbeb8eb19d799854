"""One send and one receive of 64 bytes that are there, in each mode: python -m benchmarks calls"""

from benchmarks.common import IMPLEMENTATIONS, tcp_pair, unix_pair
from benchmarks.measure import in_turn, timed, with_c

MESSAGE = b"x" * 64


def send_and_receive(pair):
    a, b = pair

    @timed
    def work(count):
        send, recv = a.send, b.recv
        for _ in range(count):
            send(MESSAGE)
            recv(64)
    return work


def family(sock):
    @timed
    def work(count):
        for _ in range(count):
            sock.family
    return work


def rows():
    for title, make, timeout in (
            ("AF_UNIX send + recv, timeout set", unix_pair, 5),
            ("TCP send + recv, timeout set", tcp_pair, 5),
            ("AF_UNIX send + recv, blocking", unix_pair, None),
            ("AF_UNIX send + recv, non-blocking", unix_pair, 0),
            ("TCP send + recv, blocking", tcp_pair, None)):
        variants = {name: send_and_receive(make(module, timeout))
                    for name, module in IMPLEMENTATIONS.items()}
        floor = "unix" if make is unix_pair else "tcp"
        yield in_turn(title, with_c(variants, "calls", floor, 64), 500)
    variants = {name: family(unix_pair(module, 5)[0])
                for name, module in IMPLEMENTATIONS.items()}
    yield in_turn(".family", variants, 2000)
