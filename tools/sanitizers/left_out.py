"""A plugin of pytest: the tests that can't run under a sanitizer, each skipped by its name
with the reason. Whatever is not here runs."""

import os

import pytest

KIND = os.environ.get("FASTSOCK_SANITIZED", "")

#: {how a test's id begins: why}, for each kind
LEFT_OUT = {
    "address": {
        "tests/test_faults.py::test_memory_may_lack":
            "lets malloc() fail, which is the sanitizer's here",
        "tests/test_faults.py::test_what_is_known_of_a_descriptor_needs_memory":
            "lets malloc() fail, which is the sanitizer's here",
        "tests/test_coverage_tool.py::test_lines_and_branches_of_a_compiled_file":
            "compiles with gcc's counters in its place",
        "tests/test_framing.py::test_a_framing_that_was_never_initialised":
            "limits the address space, of which AddressSanitizer takes terabytes",
        "tests/test_server_syscalls.py::test_an_echo[epoll-data_received-16384]":
            "counts mmap(2), which is the sanitizer's malloc() for blocks of this size",
        "tests/test_server_syscalls.py::test_an_echo[poll-data_received-16384]":
            "counts mmap(2), which is the sanitizer's malloc() for blocks of this size",
        "tests/test_soak.py::test_soak":
            "judges the growth of memory, of which the sanitizer keeps what was freed, to find "
            "late uses",
    },
    "thread": {},
    "valgrind": {},
}


def pytest_collection_modifyitems(items):
    reasons = LEFT_OUT.get(KIND, {})
    for item in items:
        for begin, reason in reasons.items():
            if item.nodeid.startswith(begin):
                item.add_marker(pytest.mark.skip(reason=f"under {KIND}: {reason}"))
