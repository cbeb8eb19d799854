"""Writes docs/performance.md and the tables of the READMEs from a file of results.

    python tools/write_performance.py            write both
    python tools/write_performance.py --check    exit with 1 if they differ from the file

The file is benchmarks/results.json: python -m benchmarks --json benchmarks/results.json
"""

import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import report, results, targets  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
READMES = {ROOT / "README.md": 0, ROOT / "README.zh-CN.md": 1}  # and their language
BEGIN = "<!-- written by tools/write_performance.py: begin -->\n"
END = "<!-- written by tools/write_performance.py: end -->\n"

#: What the READMEs show: (subject, case, how it is called there in each language).
SHOWN = [
    ("calls", "AF_UNIX send + recv, timeout set",
     ("send and receive 64 B, with a timeout", "收发 64 字节，设有超时")),
    ("receive_sizes", "recv(1 MiB), 64 B there",
     ("`recv(1 MiB)` of 64 B", "`recv(1 MiB)`，到达 64 字节")),
    ("streams", "frames of 4 + 64 B, recv_messages vs recv_into loop",
     ("framed messages, `Stream` against a `recv_into` loop",
      "带长度的消息：`Stream` 对 `recv_into` 循环")),
    ("datagrams", "64 B off a full queue, DatagramBatch vs recvfrom",
     ("datagrams, `DatagramBatch` against `recvfrom`", "数据报：`DatagramBatch` 对 `recvfrom`")),
    ("selectors", "select() with 400 ready, a call",
     ("`selectors`, 400 ready", "`selectors`，400 个就绪")),
    ("accept", "accept, listener with a timeout",
     ("`accept`, with a timeout", "`accept`，设有超时")),
    ("connect", "create_connection(('127.0.0.1', port))",
     ("`create_connection`", "`create_connection`")),
]
#: The line above the table, and its titles.
ABOVE = ("Nanoseconds an operation, {date}, CPython {python}, {kernel}:",
         "每次操作的纳秒数，{date}，CPython {python}，{kernel}：")
TITLES = ("| what | stdlib | fastsock | C | ratio |", "| 操作 | 标准库 | fastsock | C | 倍数 |")

HEAD = """# Performance

Written by `python tools/write_performance.py` from `benchmarks/results.json`; measure
your own machine by `python -m fastsock bench` (seconds) or, in a checkout, by
`python -m benchmarks` (`--quick`: minutes).

How to read it: variants take turns within one process, so compare them with each other
and not with figures of another machine. "C" makes the same system calls and nothing
else; "avoidable overhead gone" is (stdlib - fastsock) / (stdlib - C). A row that is
marked noisy had samples that differ by more than a factor of two: take its ratio for
an indication.

"""


def slower(data):
    """The cases that are slower than the stdlib's: (subject, case, ratio)."""
    return [(subject, result["case"], result["ratio"])
            for subject, found in data["subjects"].items() for result in found
            if result.get("ratio") and result["ratio"] < 1]


def reasons():
    """Why a case is slower, by the beginning of its name: benchmarks/slower.txt."""
    found = {}
    for line in (ROOT / "benchmarks" / "slower.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(" | ")
            found[name] = reason
    return found


def page(data):
    why = reasons()
    text = HEAD + "## Where it is slower than the stdlib\n\n"
    rows = slower(data)
    if not rows:
        text += "Nowhere in this run.\n"
    for subject, case, ratio in rows:
        reason = next((reason for name, reason in why.items() if case.startswith(name)),
                      "not explained yet")
        text += f"- {subject}: {case}: {ratio:.2f} of the stdlib's rate. {reason}\n"
    missed = [verdict for subject, found in data["subjects"].items() for result in found
              for verdict in targets.judge(targets.load(), subject, result)
              if not verdict.holds]
    text += "\n## Figures that are asked for and were missed\n\n"
    text += "".join(f"- {verdict.subject}: {verdict.case}: {verdict.found:.3g}, asked "
                    f"{verdict.asked}\n" for verdict in missed) or "None in this run.\n"
    return text + "\n## All figures\n\n" + report.markdown(data, targets.load()).rstrip() + "\n"


def readme(data, text, language):
    """A README with its table renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [ABOVE[language].format(**data["machine"]), "", TITLES[language],
             "|---|---:|---:|---:|---:|"]
    for subject, case, names in SHOWN:
        for result in data["subjects"].get(subject, ()):
            if result["case"] == case:
                _, stdlib, ours, c, *_ = report.cells(result, [])
                lines.append(f"| {names[language]} | {stdlib} | {ours} | {c} | {result['ratio']:.1f} |")
    return before + BEGIN + "\n".join(lines) + "\n" + END + after


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    data = results.read(RESULTS)
    wanted = {PAGE: page(data), **{path: readme(data, path.read_text(), language)
                                   for path, language in READMES.items()}}
    differing = [path for path, text in wanted.items()
                 if not path.exists() or path.read_text() != text]
    if options.check:
        for path in differing:
            print(f"{path.relative_to(ROOT)} differs from {RESULTS.relative_to(ROOT)}: run "
                  "python tools/write_performance.py")
        return 1 if differing else 0
    for path in differing:
        path.write_text(wanted[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
