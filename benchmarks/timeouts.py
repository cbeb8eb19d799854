"""Timeouts that are set: what setting one costs, and what it adds to the calls:
python -m benchmarks timeouts"""

from benchmarks.calls import send_and_receive
from benchmarks.common import IMPLEMENTATIONS, unix_pair
from benchmarks.measure import in_turn, timed, with_c


def set_again(sock):
    @timed
    def work(count):
        settimeout = sock.settimeout
        for _ in range(count):
            settimeout(5)
    return work


def rows():
    variants = {name: set_again(unix_pair(module, 5)[0])
                for name, module in IMPLEMENTATIONS.items()}
    yield in_turn("settimeout(5) again", variants, 2000)
    for timeout in (0.001, 3600):
        variants = {name: send_and_receive(unix_pair(module, timeout))
                    for name, module in IMPLEMENTATIONS.items()}
        yield in_turn(f"AF_UNIX send + recv, timeout of {timeout:g} s",
                      with_c(variants, "calls", "unix", 64), 500)
