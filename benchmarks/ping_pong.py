"""64 bytes to another process and back, asleep and busy-polling: python -m benchmarks ping_pong"""

from benchmarks.common import IMPLEMENTATIONS, on_processor, partner, tcp_pair, unix_pair
from benchmarks.measure import in_turn, timed

MESSAGE = b"x" * 64


def echo(sock):
    while data := sock.recv(64):
        sock.sendall(data)


def round_trips(pair, busy_poll_us=0):
    if busy_poll_us:
        for sock in pair:
            sock.set_busy_poll(busy_poll_us)
    sock = partner(pair, echo)

    @timed
    def work(count):
        for _ in range(count):
            sock.sendall(MESSAGE)
            sock.recv(64)
    return on_processor(0, work)


def rows():
    stdlib, ours = IMPLEMENTATIONS["stdlib"], IMPLEMENTATIONS["fastsock"]
    for title, make in (("AF_UNIX", unix_pair), ("TCP", tcp_pair)):
        yield in_turn(f"{title} round trip, no busy poll", {
            "stdlib": round_trips(make(stdlib)), "fastsock": round_trips(make(ours))}, 300)
        yield in_turn(f"{title} round trip, busy poll 200 us", {
            "stdlib": round_trips(make(stdlib)),
            "fastsock": round_trips(make(ours), 200)}, 300)
