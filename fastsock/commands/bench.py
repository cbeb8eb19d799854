"""`python -m fastsock bench`: six comparisons with the stdlib, and with C, in a minute.

Method: the variants of a row take turns, in many short rounds; what is shown is the
median of each, and the ratio of the medians. What is claimed is measured by the
benchmarks of the source tree, which take longer.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import selectors as stdlib_selectors
import shutil
import socket as stdlib_socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import fastsock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

    _Measured = Callable[[int], float]   # nanoseconds of so many operations
    _Opened = contextlib.ExitStack       # what is closed behind a row

MESSAGE = b"x" * 64
FRAME = (64).to_bytes(4, "big") + MESSAGE
READY = 200
WIDTH = 40
FLOOR = pathlib.Path(__file__).with_name("floor.c")
EPOLL_CASE = "epoll" if sys.platform.startswith("linux") else None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fastsock bench",
        description="Compare fastsock with the stdlib, and with C where there is a compiler, "
                    "on this machine. Nothing else should run meanwhile.")
    parser.add_argument("--rounds", type=int, default=15, metavar="N",
                        help="timed rounds of each row (default: 15)")
    options = parser.parse_args(arguments)
    if options.rounds < 3:
        parser.error(f"--rounds must be at least 3, not {options.rounds}")
    with tempfile.TemporaryDirectory(prefix="fastsock-bench-") as folder:
        floor = compiled(folder)
        print(f"{'ns an operation':44}{'stdlib':>11}{'fastsock':>11}{'C':>9}{'ratio':>8}")
        ratios = []
        for title, case, count, variants in rows():
            if floor and case:
                variants = {**variants, "C": in_c(floor, case)}
            # The stdlib waits for the GIL each time there: some seconds a round.
            rounds = min(options.rounds, 3) if "computes" in title else options.rounds
            medians = in_turn(variants, count, rounds)
            ratio = medians["stdlib"] / medians["fastsock"]
            ratios.append((title, ratio))
            c = f"{medians['C']:,.0f}" if "C" in medians else ""
            print(f"{title:44}{medians['stdlib']:>11,.0f}{medians['fastsock']:>11,.0f}{c:>9}"
                  f"{ratio:>8.2f}", flush=True)
    print("\ntimes the stdlib's rate (| is the stdlib's own; each step of the scale doubles)")
    for line in bars(ratios):
        print(line)
    return 0


def bars(ratios: list[tuple[str, float]]) -> Iterator[str]:
    """A bar a row, on a logarithmic scale."""
    import math
    most = max(2.0, max(ratio for _, ratio in ratios))
    steps = math.ceil(math.log2(most))
    for title, ratio in ratios:
        length = round(WIDTH * math.log2(max(ratio, 1.0)) / steps)
        yield f"{title:44}|{'#' * length} {ratio:.1f}"


def compiled(folder: str) -> str | None:
    """The floor as a program; None without a compiler or where it does not compile."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = os.path.join(folder, "floor")
    result = subprocess.run([compiler, "-O2", "-o", program, FLOOR], capture_output=True)
    return program if result.returncode == 0 else None


def in_c(floor: str, case: str) -> _Measured:
    def measured(count: int) -> float:
        return float(subprocess.run([floor, case, str(count)], check=True,
                                    capture_output=True).stdout)
    return measured


def in_turn(variants: dict[str, _Measured], count: int, rounds: int) -> dict[str, float]:
    """Medians in nanoseconds an operation; the first round warms up."""
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for round_number in range(rounds + 1):
        for name, work in variants.items():
            elapsed_ns = work(count)
            if round_number:
                samples[name].append(elapsed_ns / count)
    return {name: statistics.median(values) for name, values in samples.items()}


def timed(work: Callable[[int], None]) -> _Measured:
    def measured(count: int) -> float:
        began_ns = time.perf_counter_ns()
        work(count)
        return time.perf_counter_ns() - began_ns
    return measured


def pair(module: ModuleType, opened: _Opened, timeout: float = 5) -> tuple[Any, Any]:
    both: tuple[Any, Any] = module.socketpair()
    for sock in both:
        opened.enter_context(sock)
        sock.settimeout(timeout)
    return both


def ping(module: ModuleType, opened: _Opened, room: int = 64) -> _Measured:
    a, b = pair(module, opened)

    @timed
    def work(count: int) -> None:
        for _ in range(count):
            a.send(MESSAGE)
            b.recv(room)
    return work


def large_room(module: ModuleType, opened: _Opened) -> _Measured:
    return ping(module, opened, 1 << 20)


def beside(module: ModuleType, opened: _Opened) -> _Measured:
    """As ping, while another thread computes."""
    inner = ping(module, opened)

    def measured(count: int) -> float:
        ended: list[bool] = []
        begun = threading.Event()

        def compute() -> None:
            begun.set()
            number = 0
            while not ended:
                number += 1
        thread = threading.Thread(target=compute, daemon=True)
        try:
            thread.start()  # Ctrl-C may interrupt this, too
            begun.wait()
            return inner(count)
        finally:
            ended.append(True)
            if thread.is_alive():
                thread.join()
    return measured


def frames(module: ModuleType, opened: _Opened) -> _Measured:
    """Frames of a length and 64 bytes, off a full buffer."""
    a, b = pair(module, opened)
    stream = None
    if module is fastsock:
        stream = fastsock.Stream(b, framing=fastsock.framing.LengthPrefix("!I"))
    header, body = bytearray(4), bytearray(64)

    def fill(target: bytearray) -> None:
        view = memoryview(target)
        while view:
            view = view[b.recv_into(view):]

    def measured(count: int) -> float:
        a.sendall(FRAME * count)
        began_ns = time.perf_counter_ns()
        taken = 0
        while taken < count:
            if stream is not None:
                taken += len(stream.recv_messages())
            else:
                fill(header)
                fill(body)
                taken += 1
        return time.perf_counter_ns() - began_ns
    return measured


def datagrams(module: ModuleType, opened: _Opened) -> _Measured:
    receiver = opened.enter_context(
        module.socket(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM))
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(5)
    sender = opened.enter_context(
        module.socket(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM))
    sender.connect(receiver.getsockname())
    batch = fastsock.DatagramBatch(64, 2048) if module is fastsock else None

    def measured(count: int) -> float:
        spent_ns = 0
        for _ in range(count // 64):
            for _ in range(64):
                sender.send(MESSAGE)
            began_ns = time.perf_counter_ns()
            taken = 0
            while taken < 64:
                if batch is not None:
                    taken += receiver.recvmmsg_into(batch)
                else:
                    receiver.recvfrom(2048)
                    taken += 1
            spent_ns += time.perf_counter_ns() - began_ns
        return spent_ns
    return measured


def ready(module: ModuleType, opened: _Opened) -> _Measured:
    """select() of a selector with 200 pipes that can be read."""
    selector = opened.enter_context(
        (fastsock.selectors if module is fastsock else stdlib_selectors).DefaultSelector())
    for _ in range(READY):
        reader, writer = os.pipe()
        opened.callback(os.close, reader)
        opened.callback(os.close, writer)
        os.write(writer, b"x")
        selector.register(reader, stdlib_selectors.EVENT_READ)

    @timed
    def work(count: int) -> None:
        for _ in range(count):
            selector.select(0)
    return work


def rows() -> Iterator[tuple[str, str | None, int, dict[str, _Measured]]]:
    """(title, case of the floor or None, operations a round, variants)"""
    both = {"stdlib": stdlib_socket, "fastsock": fastsock}
    for title, case, count, make in (
            ("send + recv of 64 B, timeout set", "unix", 2000, ping),
            ("the same by recv(1 MiB)", None, 300, large_room),
            ("the same beside a thread that computes", None, 5000, beside),
            ("frames of 4 + 64 B, off a full buffer", None, 1000, frames),
            ("datagrams of 64 B, off a full queue", "datagrams", 1024, datagrams),
            ("select() with 200 ready, a call", EPOLL_CASE, 200, ready)):
        # An unclosed socket's ResourceWarning, issued by the collector, would swallow Ctrl-C.
        with contextlib.ExitStack() as opened:
            yield title, case, count, {
                name: make(module, opened) for name, module in both.items()}
