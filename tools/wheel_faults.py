"""What is wrong with a wheel: lines, none if it is as promised.

Reads the archive and each extension module in it, by `readelf` and `auditwheel show`;
builds nothing. `tools/wheels.py check` is its command.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: The newest that a wheel may need: manylinux2014, and musl 1.2.
NEWEST = {"many": (2, 17), "musl": (1, 2)}
LARGEST = 1_500_000
#: What a wheel must and must not have in it.
WANTED = ["fastsock/__init__.py", "fastsock/__init__.pyi", "fastsock/py.typed",
          "fastsock/__init__.pxd", "fastsock/capi.pxd"]
UNWANTED = re.compile(r"\.(pyx|o|cpp|h)$|^fastsock/_\w+\.pxd$(?<!__init__\.pxd)"
                      r"|^(tests|benchmarks|tools|docs)/")
ALLOWED_C = {"fastsock/commands/floor.c"}
#: What readelf calls the architectures of tags.
MACHINES = {"x86_64": "Advanced Micro Devices X86-64", "aarch64": "AArch64"}


def complaints(wheel, newest=None):
    """What is wrong with a wheel; `newest` is another {"many": version, "musl": version}."""
    newest = {**NEWEST, **(newest or {})}
    size = wheel.stat().st_size
    if size > LARGEST:
        yield f"{size:,} bytes, more than {LARGEST:,}"
    tag = wheel.stem.split("-")[-1]
    if not re.search(r"manylinux|musllinux|macosx", tag):
        yield f"it is for {tag} alone"
    for kind, major, minor in re.findall(r"(many|musl)linux_(\d+)_(\d+)", tag):
        if (int(major), int(minor)) > newest[kind]:
            yield f"it needs {kind}linux_{major}_{minor}"
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = archive.namelist()
        yield from (f"{name} is missing" for name in WANTED if name not in names)
        for name in names:
            if UNWANTED.search(name) or name.endswith(".c") and name not in ALLOWED_C:
                yield f"{name} is not wanted"
        archive.extractall(folder)
        yield from of_libraries(sorted(pathlib.Path(folder).rglob("*.so")), wheel, newest)
    if "linux" in tag:
        yield from of_tag(wheel, tag)


def of_tag(wheel, tag):
    """Does auditwheel find what the name says?"""
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


def of_libraries(libraries, wheel, newest):
    """What is wrong with the extension modules."""
    _, abi, tag = wheel.stem.split("-")[-3:]
    if not libraries:
        yield "it has no extension module"
    elves = []
    for library in libraries:
        # cp314t is cpython-314t in the names of modules, on Linux and macOS.
        if f".{abi.replace('cp', 'cpython-')}-" not in library.name:
            yield f"{library.name} is not for {abi}"
        content = library.read_bytes()
        for path in (str(ROOT), str(pathlib.Path.home()), "/tmp/"):
            if path.encode() in content:
                yield f"{library.name} names {path}, a path of the machine that built it"
        if "linux" in tag:
            elves.append(Elf(library))
    for elf in elves:
        yield from (f"{elf.name} {fault}" for fault in elf.faults(tag, newest))
    # Not in each: the smallest modules have no function with an array on its stack.
    if elves and not any("__stack_chk_fail" in elf.imported for elf in elves):
        yield "no module was compiled with the stack protector"


class Elf:
    """An extension module of Linux, as `readelf` tells of it."""

    def __init__(self, path):
        self.name = path.name
        self.shown = subprocess.run(["readelf", "-W", "-h", "-l", "-d", "--dyn-syms", path],
                                    capture_output=True, text=True, check=True).stdout
        #: {name: version of the library, or ""} and names.
        self.imported, self.exported = {}, set()
        symbol = re.compile(r"^ *\d+: +\S+ +\S+ +\w+ +(GLOBAL|WEAK) +\w+ +(\w+) +(\S+)", re.M)
        for _, section, name in symbol.findall(self.shown):
            name, _, version = name.partition("@")
            if section == "UND":
                self.imported[name] = version
            else:
                self.exported.add(name)

    def faults(self, tag, newest):
        """Endings of sentences that start with its name."""
        for word in ("RPATH", "RUNPATH", "TEXTREL"):
            if f"({word})" in self.shown:
                yield f"has a {word}"
        if "GNU_RELRO" not in self.shown:
            yield "has no RELRO"
        # "Flags: NOW" beside, or in place of, the older entry.
        elif not re.search(r"\((BIND_NOW)\)|\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*NOW", self.shown):
            yield "has RELRO in part: it does not bind at once"
        if re.search(r"GNU_STACK.* RWE ", self.shown):
            yield "has an executable stack"
        machine = re.search(r"Machine: +(.*)", self.shown)[1].strip()
        if not any(tag.endswith(name) and machine == MACHINES[name] for name in MACHINES):
            yield f"is for {machine}"
        others = self.exported - {f"PyInit_{self.name.split('.')[0]}"}
        if others:
            yield f"exports {', '.join(sorted(others))}"
        for name, version in sorted(self.imported.items()):
            needed = re.match(r"GLIBC_(\d+)\.(\d+)", version)
            if needed and (int(needed[1]), int(needed[2])) > newest["many"]:
                yield f"needs {name} of glibc {needed[1]}.{needed[2]}"
