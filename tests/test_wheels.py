"""`tools/wheels.py check` finds each fault, and setup.py says what it does not support.

The wheels here are made by hand, with one small extension module: what the release's wheels
are like is checked when they are built.
"""

import importlib.util
import pathlib
import platform
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
TOOL = ROOT / "tools" / "wheels.py"
MACHINE = platform.machine()
TAG = f"cp311-cp311-manylinux2014_{MACHINE}.manylinux_2_17_{MACHINE}"
FILES = ["__init__.py", "__init__.pyi", "__init__.pxd", "capi.pxd", "py.typed",
         "commands/floor.c"]
MODULE = f"_small.cpython-311-{MACHINE}-linux-gnu.so"
FLAGS = ["-shared", "-fPIC", "-O2", "-fvisibility=hidden", "-fstack-protector-strong",
         "-Wl,-s", "-Wl,-z,relro", "-Wl,-z,now"]
CODE = """
#include <stdio.h>
__attribute__((visibility("default"))) int PyInit__small(const char *text) {
    char copy[64];
    return snprintf(copy, sizeof(copy), "%s", text) + copy[3];
}
"""
# Needs a glibc that manylinux2014 has not.
RANDOM = "#include <sys/random.h>\n" + CODE.replace(
    "return ", "return (int)getrandom(copy, 8, 0) + ")

needs_tools = pytest.mark.skipif(
    not TOOL.exists() or sys.platform != "linux" or MACHINE not in ("x86_64", "aarch64")
    or not shutil.which("gcc") or not shutil.which("readelf")
    or platform.libc_ver()[0] != "glibc" or importlib.util.find_spec("auditwheel") is None,
    reason="needs gcc, readelf and auditwheel on Linux with glibc, and tools/wheels.py")


@pytest.fixture
def wheel(tmp_path):
    """Make a wheel, good but for what is told."""

    def make(code=CODE, flags=(), tag=TAG, module=MODULE, without=(), **more):
        library = tmp_path / "library.so"
        (tmp_path / "library.c").write_text(code)
        subprocess.run(["gcc", *FLAGS, tmp_path / "library.c", "-o", library, *flags], check=True)
        path = tmp_path / f"fastsock-0.1.0-{tag}.whl"
        interpreter, abi, platforms = tag.split("-")
        with zipfile.ZipFile(path, "w") as archive:
            for name in FILES:
                if name not in without:
                    archive.writestr(f"fastsock/{name}", "")
            if module:
                archive.write(library, f"fastsock/{module}")
            for name, content in more.get("files", {}).items():
                archive.writestr(name, content)
            info = "fastsock-0.1.0.dist-info"
            archive.writestr(f"{info}/METADATA",
                             "Metadata-Version: 2.1\nName: fastsock\nVersion: 0.1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"
                             + "".join(f"Tag: {interpreter}-{abi}-{name}\n"
                                       for name in platforms.split(".")))
            archive.writestr(f"{info}/RECORD",
                             "".join(f"{name},,\n" for name in archive.namelist()))
        return path

    return make


def check(wheel, *options):
    """What the command says after the name and the size: (exit status, text)."""
    result = subprocess.run([sys.executable, TOOL, "check", wheel, *options],
                            capture_output=True, text=True)
    assert result.stderr == ""
    return result.returncode, result.stdout.split(" bytes: ", 1)[1].strip()


@needs_tools
def test_a_good_wheel(wheel):
    assert check(wheel()) == (0, "good")


@needs_tools
@pytest.mark.parametrize("said, changed", [
    ("fastsock/py.typed is missing", {"without": ["py.typed"]}),
    ("fastsock/__init__.pyi is missing", {"without": ["__init__.pyi"]}),
    ("fastsock/_methods.pyx is not wanted", {"files": {"fastsock/_methods.pyx": ""}}),
    ("fastsock/_methods.c is not wanted", {"files": {"fastsock/_methods.c": ""}}),
    ("fastsock/_wait.pxd is not wanted", {"files": {"fastsock/_wait.pxd": ""}}),
    ("tests/__init__.py is not wanted", {"files": {"tests/__init__.py": ""}}),
    (" bytes, more than 1,500,000", {"files": {"fastsock/large": "x" * 1_500_000}}),
    ("it has no extension module", {"module": None}),
    (f"it is for linux_{MACHINE} alone", {"tag": f"cp311-cp311-linux_{MACHINE}"}),
    ("it needs manylinux_2_39", {"tag": f"cp311-cp311-manylinux_2_39_{MACHINE}"}),
    (f"{MODULE} is not for cp314", {"tag": TAG.replace("311", "314")}),
    (f"{MODULE} is for ", {"tag": TAG.replace(MACHINE, "riscv64")}),
    (f"{MODULE} has a RUNPATH", {"flags": ["-Wl,--enable-new-dtags,-rpath,/opt/lib"]}),
    (f"{MODULE} has a RPATH", {"flags": ["-Wl,--disable-new-dtags,-rpath,/opt/lib"]}),
    (f"{MODULE} has no RELRO", {"flags": ["-Wl,-z,norelro"]}),
    (f"{MODULE} has RELRO in part", {"flags": ["-Wl,-z,lazy"]}),
    (f"{MODULE} has an executable stack", {"flags": ["-Wl,-z,execstack"]}),
    ("no module was compiled with the stack protector", {"flags": ["-fno-stack-protector"]}),
    (f"{MODULE} exports helper", {
        "code": CODE + '__attribute__((visibility("default"))) int helper(void) { return 1; }'}),
    (f"{MODULE} names /tmp/, a path of the machine that built it", {
        "code": CODE.replace("%s", "/tmp/build/%s")}),
    (f"{MODULE} needs getrandom of glibc 2.25", {"code": RANDOM}),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_fault_is_found(wheel, monkeypatch, said, changed):
    monkeypatch.syspath_prepend(TOOL.parent)
    from wheel_faults import complaints

    found = []
    for line in complaints(wheel(**changed)):
        found.append(line)
        if said in line:  # it looks no further, and so does not start auditwheel each time
            return
    raise AssertionError(f"{said!r} is not in {found}")


@needs_tools
def test_auditwheel_is_asked(wheel):
    """What the name promises is compared with what the module needs."""
    status, found = check(wheel(code=RANDOM))
    assert status == 1
    # Of 2.25 no manylinux is defined: it finds the next.
    assert f"auditwheel says 'manylinux_2_26_{MACHINE}', its name says manylinux2014" in found


@needs_tools
def test_another_glibc_can_be_promised(wheel):
    path = wheel(tag=f"cp311-cp311-manylinux_2_36_{MACHINE}")
    assert check(path, "--newest", "2.36") == (0, "good")
    assert check(path, "--newest", "2.35") == (1, "it needs manylinux_2_36")


# -- setup.py ----------------------------------------------------------------------

SETUP = """
import runpy, sys
sys.argv = ["setup.py", "build_ext"]
FAKED
runpy.run_path("setup.py", run_name="__main__")
"""


@pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="no setup.py beside the tests")
@pytest.mark.parametrize("faked, sentence", [
    ("sys.platform = 'win32'", "fastsock needs a POSIX system: Windows is not supported."),
    ("sys.implementation.name = 'pypy'",
     "fastsock reads CPython's socket objects: pypy is not supported."),
], ids=["Windows", "PyPy"])
def test_setup_refuses_in_one_sentence(faked, sentence):
    result = subprocess.run([sys.executable, "-c", SETUP.replace("FAKED", faked)], cwd=ROOT,
                            capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", sentence + "\n")
