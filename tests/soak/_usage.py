"""What a process holds, and whether that grows.

Rules: measured when nothing is going on, so that what is seen is what was left behind. A
growth is the median slope between any two measurements (Theil and Sen), times the time: one
measurement, or a few, that differ do not make it; a leak does.
"""

import ctypes
import gc
import os
import pathlib
import statistics
import sys


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]


# Looked up once: ctypes keeps memory for each time.
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
_mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _mallinfo2 is not None:
    _mallinfo2.restype = _Mallinfo2


def malloc_bytes():
    """Bytes that malloc() gave out and were not given back; None where the C library has no
    mallinfo2(3)."""
    if _mallinfo2 is None:
        return None
    found = _mallinfo2()
    return found.uordblks + found.hblkhd


def usage():
    """{name: number} of this process."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)  # or what malloc() keeps of what it got back would be seen in the RSS
    found = {"fds": len(os.listdir("/proc/self/fd")), "rss_kib": rss_kib(os.getpid()),
             "python_blocks": sys.getallocatedblocks()}
    in_use = malloc_bytes()
    if in_use is not None:
        found["malloc_kib"] = in_use // 1024
    return found


def rss_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def growth(times_s, values):
    """By how much values that were measured then have grown from the first to the last."""
    slopes = [(values[j] - values[i]) / (times_s[j] - times_s[i])
              for i in range(len(values)) for j in range(i + 1, len(values))]
    return statistics.median(slopes) * (times_s[-1] - times_s[0]) if slopes else 0.0
