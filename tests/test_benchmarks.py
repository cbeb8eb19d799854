"""The machinery of the benchmarks: rows, targets, files of results. Nothing is timed."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

benchmarks = pytest.importorskip("benchmarks.measure", reason="no source tree beside the tests")


def row(stdlib, fastsock, c=None):
    samples = {"stdlib": [stdlib] * 5, "fastsock": [fastsock] * 5}
    return benchmarks.Row("case", samples | ({"C": [c] * 5} if c else {}))


def test_what_a_row_says():
    found = row(300, 150, 100)
    assert (found.ratio, found.of_c, found.overhead_gone) == (2, 100 / 150, 0.75)
    assert not found.is_noisy
    assert row(300, 150).of_c is None
    assert row(1, 0).ratio is None  # a count of which nothing is left
    assert benchmarks.Row("noisy", {"stdlib": [1, 1, 1], "fastsock": [1, 2, 9]}).is_noisy


def test_variants_take_turns_and_the_first_round_does_not_count():
    order = []

    def variant(name):
        def work(count):
            order.append(name)
            return 10 * count if len(order) > 2 else 10_000 * count
        return work
    found = benchmarks.in_turn("case", {"stdlib": variant("a"), "fastsock": variant("b")}, 7,
                               rounds=5)
    assert order == ["a", "b"] * 6
    assert found.samples == {"stdlib": [10] * 5, "fastsock": [10] * 5}


def test_targets_are_judged():
    from benchmarks import results, targets
    asked = {"calls": {"case": {"ratio": 1.9, "of_c": 0.8}, "memory*": {"most": 10}}}
    verdicts = list(targets.judge(asked, "calls", results.as_data(row(300, 150, 100))))
    assert [verdict.holds for verdict in verdicts] == [True, False]
    assert list(targets.judge(asked, "calls", results.as_data(row(300, 150))))[0].holds
    for value, holds in ((10, True), (11, False)):
        figure = results.as_data(benchmarks.Figure("memory of 15,000", value, "bytes"))
        verdict, = targets.judge(asked, "calls", figure)
        assert verdict.holds is holds


def test_each_target_is_of_a_subject():
    from benchmarks import targets
    from benchmarks.__main__ import ON_REQUEST, SUBJECTS
    assert set(targets.load()) <= set(SUBJECTS)
    for subject in SUBJECTS + ON_REQUEST:
        assert (ROOT / "benchmarks" / f"{subject}.py").exists()


def test_results_are_compared_and_shown(tmp_path):
    from benchmarks import report, results
    data = {"machine": {"date": "2026-01-01", "fastsock": "0", "python": "3", "kernel": "k",
                        "processor": "p", "processors": 2},
            "subjects": {"calls": [results.as_data(row(300, 150, 100))]}}
    results.write(tmp_path / "a.json", data)
    assert results.read(tmp_path / "a.json") == json.loads((tmp_path / "a.json").read_text())
    assert "| case | 300 | 150 | 100 | 2.00 | 75 % |" in report.markdown(data, {})
    changed = {**data, "subjects": {"calls": [results.as_data(row(300, 100))]}}
    (_, _, before, after, change), = report.compare(data, changed)
    assert (before, after, change) == (2, 3, 1.5)
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(ValueError, match="no file of results"):
        results.read(tmp_path / "b.json")


def test_the_pages_say_what_the_results_say():
    subprocess.run([sys.executable, ROOT / "tools" / "write_performance.py", "--check"],
                   check=True)
