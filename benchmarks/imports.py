"""What `import fastsock` costs on top of `import socket`: python -m benchmarks imports

Method: a new interpreter a sample, with compiled bytecode in place; inside it the
clock is read around the second import only."""

import os
import statistics
import subprocess
import sys

from benchmarks.measure import QUICK, Figure

SAMPLES = 10 if QUICK else 40

PROGRAM = """
import socket, time
started = time.perf_counter()
import fastsock
print(time.perf_counter() - started)
"""


def sample():
    environment = {name: value for name, value in os.environ.items()
                   if name != "PYTHONDONTWRITEBYTECODE"}
    shown = subprocess.run([sys.executable, "-P", "-c", PROGRAM], env=environment,
                           check=True, capture_output=True, text=True).stdout
    return float(shown)


def rows():
    sample()  # writes the bytecode
    yield Figure("import fastsock, after import socket",
                 statistics.median(1e3 * sample() for _ in range(SAMPLES)), "ms")
