"""Run one of the interpreter's test modules on one variant of `socket`.

    python -P worker.py VARIANT MODULE RESULT_FILE

Job: a process of its own for each run, since a variant can't be taken back from
modules that imported it. Writes {test id: [outcome, text]} as JSON.

VARIANT: stdlib, module (fastsock stands for socket, and its select and selectors for
the stdlib's), install (fastsock.install()).
"""

import importlib.util
import json
import os
import pathlib
import signal
import sys
import time
import unittest

OK, FAILED, ERROR, SKIPPED = "ok", "failed", "error", "skipped"


class Outcomes(unittest.TestResult):
    """Collects one outcome a test; the worst, if a test has several (subtests)."""

    ORDER = [OK, SKIPPED, FAILED, ERROR]

    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        self.outcomes = {}

    def note(self, test, outcome, text=""):
        # A skipped class or module is reported as one holder, not as a test.
        known = self.outcomes.get(test.id(), (OK, ""))
        if self.ORDER.index(outcome) >= self.ORDER.index(known[0]):
            self.outcomes[test.id()] = (outcome, text)

    def startTest(self, test):
        super().startTest(test)
        if os.environ.get("CPYTHON_TESTS_VERBOSE"):
            print(time.strftime("%X"), test.id(), file=sys.stderr, flush=True)

    def addSuccess(self, test):
        self.note(test, OK)

    def addExpectedFailure(self, test, err):
        self.note(test, OK)

    def addUnexpectedSuccess(self, test):
        self.note(test, FAILED, "unexpected success")

    def addSkip(self, test, reason):
        self.note(test, SKIPPED, reason)

    def addFailure(self, test, err):
        self.note(test, FAILED, self._exc_info_to_string(err, test))

    def addError(self, test, err):
        if isinstance(test, unittest.TestCase):
            text = self._exc_info_to_string(err, test)
        else:
            text = repr(err[1])
        self.note(test, ERROR, text)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self.note(test, FAILED if failed else ERROR, self._exc_info_to_string(err, test))


def choose(variant):
    """Put the variant in place, before anything else is imported."""
    if variant == "stdlib":
        return
    import fastsock
    if variant == "module":
        sys.modules["socket"] = fastsock
        from fastsock import select, selectors
        sys.modules["select"] = select
        sys.modules["selectors"] = selectors
    else:
        fastsock.install()


def tests_of(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_of(item)
        else:
            yield item


def main(variant, module, result_file):
    # A shell's background job ignores SIGINT, and tests that send it would wait for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    exclusions = load_exclusions()
    choose(variant)
    from test import support
    # As `python -m test` without -u, so without the network; but for two modules
    # that ask for it and stay on this machine.
    support.use_resources = ["network"] if module in exclusions.LOCAL_NETWORK else []
    outcomes = Outcomes()
    try:
        loaded = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
    except unittest.SkipTest as reason:  # the whole module, such as the Windows ones
        loaded = []
        outcomes.outcomes[f"test.{module}"] = (SKIPPED, str(reason))
    left_out = tuple(exclusions.LEFT_OUT)
    if variant != "stdlib":
        from fastsock._platform_facts import facts
        left_out += tuple(exclusions.not_applicable(facts()))
    wanted = unittest.TestSuite(
        test for test in tests_of(loaded) if not test.id().startswith(left_out))
    wanted.run(outcomes)
    pathlib.Path(result_file).write_text(json.dumps(outcomes.outcomes))


def load_exclusions():
    spec = importlib.util.spec_from_file_location(
        "exclusions", pathlib.Path(__file__).with_name("exclusions.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(*sys.argv[1:])
    # Threads of a failed test must not hold the process.
    sys.stdout.flush()
    os._exit(0)
