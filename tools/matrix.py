"""The whole suite and the interpreter's own tests on every interpreter of this machine.

    python tools/matrix.py                       those on PATH, and of pyenv
    python tools/matrix.py --from FOLDER         also what tools/interpreters put there
    python tools/matrix.py --only 3.14 --no-cpython
    python tools/matrix.py --portable --only 3.11    a build without Linux's additions

Prints a table: an interpreter a row, "absent" for one that is not there. Exits with 1 if
something failed. Each gets a virtual environment and a wheel of its own; the tests run on
the installed wheel, away from the checkout. It takes some ten minutes an interpreter; what
of the peers has no wheel for it is left out, and named.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15", "3.13t", "3.14t", "3.15t"]
#: What the suite can't do without; the other peers it skips where they are missing.
NEEDED = ["pytest>=8", "pytest-xdist", "hypothesis"]
TELL_VERSION = ("import sys, sysconfig; print('%d.%d' % sys.version_info[:2] + "
                "('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''))")


def candidates(folder):
    """Paths of interpreters that may be there, the better ones first."""
    if folder is not None:
        yield from sorted(folder.glob("*-root/usr/bin/python3.[0-9][0-9]"))
        yield from sorted(folder.glob("3.*t/bin/python3.[0-9][0-9]"))
    yield from sorted(pathlib.Path.home().glob(".pyenv/versions/*/bin/python3"), reverse=True)
    for version in VERSIONS:
        found = shutil.which(f"python{version}")
        if found:
            yield pathlib.Path(found)


def found_interpreters(folder):
    """{version: path}, of each version the first one."""
    found = {}
    for path in candidates(folder):
        shown = subprocess.run([path, "-c", TELL_VERSION], capture_output=True, text=True)
        found.setdefault(shown.stdout.strip(), path)
    return found


def environment_of(path):
    """For building: headers of an unpacked system come behind this one's."""
    root = path.parent.parent.parent
    if (root / "usr" / "bin").is_dir() and root != pathlib.Path("/"):
        return {**os.environ, "CFLAGS": f"-idirafter {root}/usr/include"}
    return dict(os.environ)


def run(log, command, **options):
    """Run a command into a log file: did it succeed?"""
    with log.open("a") as output:
        return subprocess.run([*map(str, command)], stdout=output, stderr=subprocess.STDOUT,
                              **options).returncode == 0


def prepare(path, work, log, portable):
    """A virtual environment with the wheel and its peers: (python, what is missing)."""
    environment = {**environment_of(path), "FASTSOCK_PORTABLE": "1" if portable else ""}
    venv = work / "venv"
    python = venv / "bin" / "python"
    # Another pip installs: that of an unpacked Debian is taken out of its venv module.
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    if not run(log, [path, "-m", "venv", "--without-pip", venv]):
        return None, "no virtual environment"
    if not run(log, [*pip, ROOT], env=environment):
        return None, "fastsock was not built"
    # No peer is built: some need compilers of other languages, and fail after minutes.
    pip.append("--only-binary=:all:")
    if not run(log, [*pip, *NEEDED]):
        return None, f"no {', '.join(NEEDED)}"
    others = peers()
    if run(log, [*pip, *others]):
        return python, ""
    missing = [name for name in others if not run(log, [*pip, name])]
    return python, f"without {', '.join(missing)}"


def peers():
    """The packages of the extra "test"."""
    import tomllib
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"]["test"]
    return [name.split(";")[0].strip() for name in extras if name not in NEEDED]


def last_line(log):
    """What pytest, or the runner of the interpreter's own tests, says at its end."""
    lines = [line.strip(" =\n") for line in log.read_text().splitlines() if line.strip(" =\n")]
    return re.sub(r" in [\d.]+s.*", "", lines[-1]) if lines else "nothing was said"


def test(version, path, options):
    """One row: (version, build, suite, own tests, did all succeed?)."""
    if options.portable:
        version += " portable"
    work = pathlib.Path(tempfile.mkdtemp(prefix=f"fastsock-{version.replace(' ', '-')}-"))
    log = work / "log"
    print(f"{version}: {path}; log: {log}", flush=True)
    python, note = prepare(path, work, log, options.portable)
    if python is None:
        return version, f"FAILED: {note}", "", "", False
    elsewhere = work / "elsewhere"
    elsewhere.mkdir()
    for name in ("tests", "examples", "docs", "tools"):
        shutil.copytree(ROOT / name, elsewhere / name)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, elsewhere)
    site = subprocess.run(
        [python, "-P", "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"],
        check=True, capture_output=True, text=True).stdout.strip()
    gil = subprocess.run(
        [python, "-P", "-c", "import fastsock, sys; "
         "print('' if getattr(sys, '_is_gil_enabled', lambda: True)() else 'GIL off')"],
        capture_output=True, text=True).stdout.strip()
    results = []
    good = True
    for name, command, wanted in (
            ("suite", [python, "-m", "pytest", "-n", "auto", *options.pytest], True),
            ("cpython", [python, "-m", "tests.cpython"], not options.no_cpython)):
        if not wanted:
            results.append("not run")
            continue
        started = time.monotonic()
        log = work / name
        passed = run(log, command, cwd=elsewhere,
                     env={**environment_of(path), "FASTSOCK_TEST_INSTALLED": site})
        good = good and passed
        results.append(f"{'' if passed else 'FAILED: '}{last_line(log)}, "
                       f"{time.monotonic() - started:.0f} s")
    return version, ", ".join(filter(None, ["built", gil, note])), *results, good


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=pathlib.Path, metavar="FOLDER",
                        help="what tools/interpreters got")
    parser.add_argument("--only", nargs="+", metavar="VERSION", default=VERSIONS,
                        help=f"some of {', '.join(VERSIONS)}")
    parser.add_argument("--no-cpython", action="store_true",
                        help="without the interpreter's own tests")
    parser.add_argument("--portable", action="store_true",
                        help="build by FASTSOCK_PORTABLE=1")
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[],
                        help="arguments for pytest; last")
    options = parser.parse_args()
    found = found_interpreters(options.folder)
    rows = [test(version, found[version], options) if version in found
            else (version, "absent", "", "", True) for version in options.only]
    titles = ("interpreter", "build", "suite on the wheel", "the interpreter's own tests")
    widths = [max(len(str(row[column])) for row in (titles, *rows)) for column in range(4)]
    for row in (titles, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return 0 if all(row[4] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
