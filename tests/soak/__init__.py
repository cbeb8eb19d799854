"""A soak: every kind of server among clients of every kind, for seconds or hours.

    python -m tests.soak --seconds 1800 [--seed SEED] [--json FILE]

The load comes in rounds; between them all clients are gone, and what is left of them is
measured: descriptors, memory, and what the servers counted beside what the clients did.
tests/test_soak.py runs it for FASTSOCK_SOAK_S seconds.
"""
