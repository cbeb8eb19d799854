"""What `import fastsock` costs on top of `import socket`: python -m benchmarks.imports

Method: a new interpreter a sample, with compiled bytecode in place; inside it the
clock is read around the second import only. Median and spread of the samples.
"""

import argparse
import statistics
import subprocess
import sys

PROGRAM = """
import socket, time
started = time.perf_counter()
import fastsock
print(time.perf_counter() - started)
"""


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--samples", type=int, default=40)
    options = parser.parse_args()
    times_ms = sorted(1e3 * sample() for _ in range(options.samples + 1))[:-1]
    print(f"import fastsock, after import socket: median {statistics.median(times_ms):.2f} ms, "
          f"{times_ms[0]:.2f} to {times_ms[-1]:.2f} ms in {options.samples} samples")


def sample():
    shown = subprocess.run([sys.executable, "-P", "-c", PROGRAM],
                           check=True, capture_output=True, text=True).stdout
    return float(shown)


if __name__ == "__main__":
    main()
