"""Injected faults: what fastsock does when system calls and memory fail.

    python -m tests.faults                      all scenarios, a table
    python -m tests.faults relay stream         those whose names have one of these words
    python -m tests.faults --memory             malloc(), Python's calls of it too, instead
                                                of system calls; see _run.Run.lacked_memory

`inject.c` makes the calls fail, `_injector` tells it to, `_faults` says which faults there
are, `_run` what is right after one, and the scenarios say what is done.
"""
