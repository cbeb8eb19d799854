"""Coverage-guided fuzzing of all that parses bytes from outside, by libFuzzer (atheris).

    tools/sanitize fuzz [TARGETS] [--seconds S]      builds what is instrumented, and runs this
    python -m tests.coverage_fuzz [TARGETS]          runs it on an instrumented build

target.py: what a target is; targets.py: the table of them; framings.py, streams.py,
servers.py, control.py, addresses.py, datagrams.py: the targets; reference.py: the plain
parsers that ours are compared with; native.py: our C functions, from Python; corpus.py: the
inputs that are kept; one_target.py: a process that fuzzes one target.

tests/test_coverage_fuzz.py replays the kept inputs on any build, without libFuzzer.
"""
