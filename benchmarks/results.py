"""Results as data: what is written to a JSON file, and read again.

A file: {"machine": {...}, "took_s": {subject: seconds}, "subjects": {name: [result, ...]}}.
A result of variants has
"case", "unit", "variants": {name: {"median", "low", "high", "samples"}}, "ratio", "of_c",
"overhead_gone", "noisy"; a single figure has "case", "unit", "value"; a sweep has "case",
"unit", "x", "xs", "curves": {name: [number, ...]}.
"""

import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

from benchmarks.measure import Figure, Row

PEERS = ("uvloop", "gevent", "trio", "aiofastnet", "redis", "requests")


def as_data(result):
    """A Row, Figure or Sweep as a dict."""
    if isinstance(result, Row):
        variants = {}
        for name in result.samples:
            low, high = result.spread(name)
            variants[name] = {"median": result.median(name), "low": low, "high": high,
                              "samples": len(result.samples[name])}
        return {"case": result.case, "unit": result.unit, "variants": variants,
                "ratio": result.ratio, "of_c": result.of_c,
                "overhead_gone": result.overhead_gone, "noisy": result.is_noisy}
    if isinstance(result, Figure):
        return {"case": result.case, "unit": result.unit, "value": result.value}
    return result.as_data()


def machine():
    """What was measured, on what, when."""
    import fastsock
    return {
        "date": datetime.date.today().isoformat(),
        "fastsock": fastsock.__version__,
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "compiler": compiler(),
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
        "peers": {name: importlib.metadata.version(name) for name in PEERS
                  if importlib.util.find_spec(name)},
    }


def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def compiler():
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        return None
    return subprocess.run([found, "--version"], capture_output=True,
                          text=True).stdout.splitlines()[0]


def write(path, data):
    pathlib.Path(path).write_text(json.dumps(rounded(data), indent=1) + "\n")


def rounded(value):
    """Numbers to six digits: more were not measured."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return value


def read(path):
    """A file of results; ValueError if it is none."""
    try:
        data = json.loads(pathlib.Path(path).read_text())
        data["machine"], data["subjects"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ValueError(f"{path} is no file of results") from None
    return data
