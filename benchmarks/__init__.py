"""Benchmarks: one file a subject. All: python -m benchmarks; one: python -m benchmarks SUBJECT."""
