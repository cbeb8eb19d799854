"""Writes the table of docs/reliability.md from figures of the runs that it names.

    python tools/write_reliability.py                 write the table from docs/reliability.json
    python tools/write_reliability.py --check         exit with 1 if the page differs from it
    python tools/write_reliability.py --take FOLDER   first take the figures in FOLDER/NAME.json
    python tools/write_reliability.py --show FOLDER   print the table of a folder, write nothing

The names are those below; each command writes its figures by `--json FOLDER/NAME.json`. Runs
that are not in a folder keep the figures that they had.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import sys

ROOT = pathlib.Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- written by tools/write_reliability.py: begin -->\n"
END = "<!-- written by tools/write_reliability.py: end -->\n"

TITLES = ("| what | command | what was run | wrong |\n"
          "|---|---|---|---:|\n")


def summed(figures, end):
    return sum(value for name, value in figures.items() if name.endswith(end))


def of_stress(figures):
    return (f"{summed(figures, '_scenarios'):,} scenarios, {summed(figures, '_rounds'):,} rounds; "
            f"{figures['signals_signals']:,} signals at 1 kHz; KeyboardInterrupt after "
            f"{figures['interrupts_median_ms']} ms, at worst {figures['interrupts_worst_ms']} ms; "
            f"{figures['closing_fds'] + figures['handlers_fds']:,} descriptors reused under a "
            f"sleeping call; {figures['forks_forks']} forks, {figures['ends_rounds']} interpreters "
            "ended")


def of_soak(figures):
    return (f"{figures['seconds'] / 60:.0f} minutes, {figures['conversations']:,} conversations "
            f"beside {figures['conversations_of_bad_clients']:,} bad clients, "
            f"{figures['sent_bytes'] / 1e9:.1f} GB each way; the servers grew by "
            f"{figures['servers_malloc_kib_growth']:.0f} KiB of malloc(), "
            f"{figures['servers_python_blocks_growth']:.0f} Python blocks and "
            f"{figures['servers_fds_at_end'] - figures['servers_fds_at_start']} descriptors; "
            "all counters add up")


def of_networks(figures):
    return (f"{figures['runs']} runs, {figures['sent_bytes'] / 1e6:.0f} MB over TCP: "
            f"{figures['lost_bytes']} bytes lost, {figures['duplicated_bytes']} doubled; "
            f"{figures['errors_met']} errors as the stdlib's; {figures['datagrams_sent']:,} "
            f"datagrams, {figures['datagrams_unexplained']} unaccounted for")


def of_faults(figures):
    return (f"{figures['scenarios']} scenarios, {figures['calls']:,} calls, {figures['faults']:,} "
            f"faults: {figures['raised']:,} raised, {figures['unharmed']:,} did no harm")


def of_memory(figures):
    return (of_faults(figures) + f"; {figures['interpreters_own']} met a fault of the "
            "interpreter's own")


def of_tests(figures):
    return (f"{figures['tests_passed']:,} tests passed, {figures['tests_skipped']} skipped; "
            f"{figures['reports']} reports")


#: name: (what, command, what was run, how much was wrong), the last two by the figures.
RUNS = {
    "fuzz": (
        "random operations, on the stdlib's sockets and on ours",
        "python -m tests.fuzz --operations {operations} --seed {seed}",
        "{operations:,} operations of {kinds_of_operations} kinds on {kinds_of_sockets} kinds of "
        "sockets; {differences_that_did_not_come_again} times something differed that was the same "
        "when it was run again", "differences"),
    "coverage_fuzz": (
        "bytes from outside for each parser, guided by the coverage of native code",
        "tools/sanitize fuzz --seed {seed}",
        "{executions:,} inputs for {targets} targets, {counters_in_native_modules:,} counters",
        "failures"),
    "sanitize_address": ("the suite under AddressSanitizer and UBSan", "tools/sanitize address",
                         of_tests, lambda figures: figures["reports"] + figures["tests_failed"]),
    "sanitize_thread": ("threads under ThreadSanitizer", "tools/sanitize thread",
                        of_tests, lambda figures: figures["reports"] + figures["tests_failed"]),
    "valgrind": ("a part of the suite under valgrind", "tools/sanitize valgrind",
                 of_tests, lambda figures: figures["reports"] + figures["tests_failed"]),
    "leaks": (
        "scenarios again and again: references, blocks, descriptors",
        "PYTHON=python3.11d tools/sanitize leaks", "{scenarios} scenarios in batches of {rounds_in_a_batch} rounds",
        lambda figures: figures["leaking"] + figures["wrong"]),
    "faults": ("each system call in turn fails, is short or is interrupted",
               "python -m tests.faults --most {most}", of_faults, "wrong"),
    "faults_of_memory": ("each allocation in turn fails, the interpreter's too",
                         "python -m tests.faults --memory --most {most}", of_memory, "wrong"),
    "stress": ("signals, KeyboardInterrupt, closing, 64 threads, forks, ends",
               "python -m tests.stress", of_stress, lambda figures: summed(figures, "_wrong")),
    "networks": ("networks that drop, delay, double and reorder, go down, shrink, refuse",
                 "python -m tests.networks --seed {seed}", of_networks, "wrong"),
    "soak": ("every kind of server under mixed load",
             "python -m tests.soak --seconds {seconds:.0f} --seed {seed}", of_soak, "wrong"),
    "coverage": (
        "what the suite covers", "tools/coverage",
        "{python_lines_percent} % of Python's lines and {python_branches_percent} % of its "
        "branches, {native_lines_percent} % of the native lines and {native_branches_percent} % of "
        "their branches; {blocks_with_reason} blocks are named with a reason",
        lambda figures: figures["blocks_uncovered"] - figures["blocks_with_reason"]),
}


def said(how, figures):
    return how(figures) if callable(how) else how.format(**figures)


def table(runs, date=None):
    """Its rows; a run of another day than `date` says when it was."""
    text = TITLES
    for name, (what, command, how, wrong) in RUNS.items():
        if name not in runs:
            continue
        figures = runs[name]
        count = wrong(figures) if callable(wrong) else figures[wrong]
        when = figures.get("date", date)
        text += (f"| {what} | `{command.format(**figures)}` | {said(how, figures)}"
                 f"{'' if when == date else f' ({when})'} | {count} |\n")
    return text


def in_folder(folder):
    found = {}
    for name in RUNS:
        path = pathlib.Path(folder) / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text())
    return found


def page(data):
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    machine = "{date}, CPython {python}, {kernel}, {processors} processors".format(**data["machine"])
    return f"{before}{BEGIN}{machine}:\n\n{table(data['runs'], data['machine']['date'])}{END}{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--take", metavar="FOLDER")
    parser.add_argument("--show", metavar="FOLDER")
    options = parser.parse_args()
    if options.show:
        print(table(in_folder(options.show)), end="")
        return 0
    data = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"runs": {}}
    if options.take:
        date = str(datetime.date.today())
        taken = in_folder(options.take)
        data["runs"] |= {name: {"date": date, **figures} for name, figures in taken.items()}
        data["machine"] = {"date": date, "python": platform.python_version(),
                           "kernel": f"{platform.system()} {platform.release()}",
                           "processors": os.cpu_count()}
        FIGURES.write_text(json.dumps(data, indent=1) + "\n")
    wanted = page(data)
    differs = PAGE.read_text() != wanted
    if options.check:
        if differs:
            print("docs/reliability.md differs from docs/reliability.json: run "
                  "python tools/write_reliability.py")
        return differs
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
