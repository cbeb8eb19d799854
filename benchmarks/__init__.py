"""Benchmarks: one file a subject, each run by `python -m benchmarks.SUBJECT`."""
