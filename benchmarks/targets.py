"""The figures that are asked for (targets.toml), and which of them hold."""

import dataclasses
import pathlib
import tomllib

FILE = pathlib.Path(__file__).with_name("targets.toml")


@dataclasses.dataclass
class Verdict:
    """What was asked of one case, what was found, and does it hold?"""

    subject: str
    case: str
    asked: str
    found: float
    holds: bool


def load():
    """{subject: {case: {"ratio" or "of_c" or "most": number}}}"""
    return tomllib.loads(FILE.read_text())


def asked_of(targets, subject, case):
    """What is asked of a case: its own entry, else one with a * that it begins with."""
    entries = targets.get(subject, {})
    if case in entries:
        return entries[case]
    for name, entry in entries.items():
        if name.endswith("*") and case.startswith(name[:-1]):
            return entry
    return {}


def judge(targets, subject, result):
    """Verdicts on one result (as results.py stores it)."""
    case = result["case"]
    for kind, asked in asked_of(targets, subject, case).items():
        found = result.get("value" if kind == "most" else kind)
        if found is None:
            continue  # no compiler, so no C
        holds = found <= asked if kind == "most" else found >= asked
        sign = "at most" if kind == "most" else "at least"
        of = " of C" if kind == "of_c" else ""
        yield Verdict(subject, case, f"{sign} {asked:g}{of}", found, holds)
