"""Random sequences of operations on the stdlib's sockets and on fastsock's: both must say
the same. `python -m tests.fuzz` runs many; `tests/test_fuzz.py` runs a few.

values.py: what arguments are drawn from; operations.py: the operations and what each draws;
world.py: the sockets of one implementation, and what became of them; comparing.py: of two
worlds; search.py: hypothesis.
"""
