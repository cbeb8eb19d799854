"""A process that fuzzes one target: python -m tests.coverage_fuzz.one_target TARGET ARGUMENTS.

ARGUMENTS are libFuzzer's. Ends with libFuzzer's status; a failure prints what failed, and its
input is where -artifact_prefix says.
"""

import logging
import os
import sys

import atheris


def main():
    # Before the target's module imports it: branches of Python are counted by changed bytecode.
    with atheris.instrument_imports(include=["fastsock"], enable_loader_override=False):
        from tests.coverage_fuzz.targets import TARGETS
    logging.getLogger("fastsock.server").addHandler(logging.NullHandler())
    logging.getLogger("fastsock.server").propagate = False
    target = TARGETS[sys.argv[1]]()
    target.__enter__()  # its end is the process's
    atheris.Setup([os.environ.get("COVERAGE_FUZZ_PROGRAM", sys.argv[0]), *sys.argv[2:]],
                  target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
