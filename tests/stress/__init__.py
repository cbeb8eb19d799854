"""Signals, interrupts, closing, threads, forks and ends: what fastsock does while all this
happens to its loops.

    python -m tests.stress                      every scenario for a second, a table
    python -m tests.stress signals serve        those whose names have one of these words
    python -m tests.stress --seconds 60         each for so long

`_run.py` is what a scenario is; `_peers.py` the other side of a loop, and what is known of a
thread that sleeps; `_loops.py` every way to wait that there is. The scenarios: `_signals.py`,
`_serving.py`, `_interrupts.py`, `_closers.py`, `_threads.py`, `_forks.py`, `_ends.py`.
"""
