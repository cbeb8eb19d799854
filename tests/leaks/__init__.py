"""Leaks: references, blocks, memory of malloc() and descriptors, after each public operation.

    python -m tests.leaks                     all scenarios, a table
    python -m tests.leaks stream misuse       those whose names have one of these words
    tools/sanitize leaks                      the same on an interpreter that counts references

`_measure` says what is in use and what grew, `_all` has the table of scenarios: those of
tests.faults without faults, sequences of tests.fuzz, what tests.coverage_fuzz keeps, and
those of `_misuse`, `_more` and `_connections`; `_touched` says which public operations they called.
"""
