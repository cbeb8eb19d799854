"""What busy-polling costs where it brings nothing: python -m benchmarks idle"""

import os
import time

import fastsock
from benchmarks.common import partner, tcp_pair, unix_pair
from benchmarks.measure import Figure

PERIOD_S = 0.01
PERIODS = 300


def send_now_and_then(sock):
    for _ in range(PERIODS):
        time.sleep(PERIOD_S)
        sock.sendall(b"x")


def share_of_a_core(pair):
    """CPU time of receiving a byte every 10 ms, as a share of the time that passes."""
    pair[0].set_busy_poll(200)
    sock = partner(pair, send_now_and_then)
    began_s, used_s = time.monotonic(), sum(os.times()[:2])
    while sock.recv(1):
        pass
    return 100 * (sum(os.times()[:2]) - used_s) / (time.monotonic() - began_s)


def rows():
    for title, make in (("AF_UNIX", unix_pair), ("TCP", tcp_pair)):
        yield Figure(f"{title}: CPU of waiting for a byte every 10 ms, busy poll 200 us",
                    share_of_a_core(make(fastsock)), "% of a core")
