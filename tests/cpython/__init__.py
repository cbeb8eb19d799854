"""The interpreter's own tests, run three times: `python -m tests.cpython`."""
