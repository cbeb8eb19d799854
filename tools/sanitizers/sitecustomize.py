"""In each process of Python that tools/sanitize starts: whoever it starts is Python again,
with the sanitizer, or another program without it.

A sanitizer's library must be loaded before all others, by LD_PRELOAD, which child processes
inherit; curl and PostgreSQL hang with it. So it leaves the environment here, and
sys.executable is the script that puts it there again.
"""

import os
import sys

if "FASTSOCK_SANITIZED_PYTHON" in os.environ:
    sys.executable = os.environ["FASTSOCK_SANITIZED_PYTHON"]
    own = os.environ.get("FASTSOCK_SANITIZED_PRELOAD", "")
    found = os.environ.get("LD_PRELOAD", "")
    if own and found.startswith(own):
        # What somebody else had preloaded stays.
        left = found[len(own):].lstrip(":")
        del os.environ["LD_PRELOAD"]
        if left:
            os.environ["LD_PRELOAD"] = left
