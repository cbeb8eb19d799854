"""The benchmarks: python -m benchmarks [COMMAND] ...

    python -m benchmarks [SUBJECT ...]     run, and print tables
    python -m benchmarks check             run, and exit with 1 where a figure is missed
    python -m benchmarks compare OLD NEW   two files of results
    python -m benchmarks show FILE         a file of results, as tables or pictures

Needs a quiet machine: nothing else may run meanwhile."""

import argparse
import importlib
import os
import sys

SUBJECTS = ["calls", "timeouts", "receive_sizes", "convoy", "threads", "accept", "connect",
            "files_and_buffers", "streams", "datagrams", "ping_pong", "idle", "selectors",
            "echo_server", "relay", "bulk", "idle_connections", "computing", "imports",
            "real_clients", "sweeps", "instructions"]
#: Those that are run when they are named.
ON_REQUEST = ["system_calls"]


def parser_of():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="COMMAND, SUBJECT or FILE",
                        help=f"subjects: {', '.join(SUBJECTS)}; and, only where they are named, "
                             f"{', '.join(ON_REQUEST)}")
    parser.add_argument("--quick", action="store_true",
                        help="fewer rounds and shorter loads: all subjects in some minutes")
    parser.add_argument("--json", metavar="FILE", help="write the results to FILE")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--plot", metavar="DIR", help="draw pictures into DIR, SVG and PNG")
    parser.add_argument("--file", metavar="FILE", help="check this file instead of running")
    return parser


def main():
    parser = parser_of()
    options = parser.parse_args()
    if options.quick:
        os.environ["FASTSOCK_BENCH_QUICK"] = "1"  # before the subjects are imported
        os.environ.setdefault("FASTSOCK_BENCH_S", "2.5")
        os.environ.setdefault("FASTSOCK_BENCH_GIB", "1")
    command, *rest = options.what or ["run"]
    try:
        if command == "compare":
            if len(rest) != 2:
                parser.error("compare takes two files: OLD NEW")
            return compare(*rest)
        if command == "show":
            if len(rest) != 1:
                parser.error("show takes one file")
            return finish(read(rest[0]), options)
        subjects = rest if command in ("check", "run") else options.what
        for subject in subjects:
            if subject not in SUBJECTS + ON_REQUEST:
                parser.error(f"{subject!r} is neither a command nor a subject; "
                             f"there are: {', '.join(SUBJECTS + ON_REQUEST)}")
        data = read(options.file) if options.file else measure(subjects or SUBJECTS)
        return finish(data, options, is_check=command == "check")
    except (OSError, ValueError) as error:
        print(f"python -m benchmarks: {error}", file=sys.stderr)
        return 2


def read(path):
    from benchmarks import results
    return results.read(path)


def measure(subjects):
    """Run subjects: results as data."""
    import resource
    import time

    from rich.progress import (
        BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn,
    )

    from benchmarks import results
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    data = {"machine": results.machine(), "took_s": {}, "subjects": {}}
    with Progress(TextColumn("{task.description}"), BarColumn(),
                  TextColumn("{task.completed} of {task.total} subjects"),
                  TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                  disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=len(subjects))
        for subject in subjects:
            progress.update(task, description=subject)
            found = data["subjects"][subject] = []
            started = time.monotonic()
            for row in importlib.import_module(f"benchmarks.{subject}").rows():
                found.append(results.as_data(row))
                progress.update(task, description=f"{subject}: {row.case[:40]}")
            data["took_s"][subject] = round(time.monotonic() - started, 1)
            progress.advance(task)
    return data


def finish(data, options, is_check=False):
    """Print, write and draw what was asked for; the exit status."""
    import rich.console

    from benchmarks import report, results, targets
    asked = targets.load()
    if options.json:
        results.write(options.json, data)
    if options.plot:
        from benchmarks import plots
        print(f"{plots.draw(data, options.plot)} pictures in {options.plot}")
    if options.markdown:
        print(report.markdown(data, asked))
    else:
        report.show(rich.console.Console(width=None if sys.stdout.isatty() else 160), data, asked)
    missed = [verdict for subject, found in data["subjects"].items() for result in found
              for verdict in targets.judge(asked, subject, result) if not verdict.holds]
    for verdict in missed:
        print(f"missed: {verdict.subject}: {verdict.case}: {verdict.found:.3g}, "
              f"asked {verdict.asked}")
    if not missed:
        print("every figure that is asked for holds")
    return 1 if missed and is_check else 0


def compare(old, new):
    from benchmarks import report
    for subject, case, before, after, change in report.compare(read(old), read(new)):
        print(f"{subject:18} {case:66} {before:10.3f} -> {after:10.3f}  x {change:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
