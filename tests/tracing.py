"""strace(1) for tests: may it trace here, and the system calls of a piece of a program."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import FACILITIES

# Without accept4(2) and SOCK_CLOEXEC: FIOCLEX, and for a server FIONBIO.
_CLOEXEC = [] if FACILITIES["atomic_flags"] else ["ioctl"]
ACCEPT = ["accept4"] if FACILITIES["atomic_flags"] else ["accept", *_CLOEXEC]
ACCEPT_NON_BLOCKING = [*ACCEPT, *_CLOEXEC]
SOCKET = ["socket", *_CLOEXEC]
SOCKETPAIR = ["socketpair", *_CLOEXEC, *_CLOEXEC]
# Where nothing can be tried first, a timeout costs a poll(2) before each call, as in the stdlib.
WAIT = [] if FACILITIES["dontwait"] else ["poll"]

MARK = "/fastsock-test-mark-"


@pytest.fixture
def strace(tmp_path):
    """Where strace is; skips the test where it is not, or may not trace."""
    program = shutil.which("strace") if sys.platform == "linux" else None
    if program is None:
        pytest.skip("not installed: strace")
    probe = subprocess.run([program, "-o", tmp_path / "probe", "true"],
                           capture_output=True, text=True, timeout=60)
    if probe.returncode:
        pytest.skip(f"strace may not trace here: {probe.stderr.strip()}")
    return program


@pytest.fixture
def calls_of(strace, tmp_path):
    """Runs a program with fastsock; the system calls between mark(0) and mark(1)."""
    def calls(setup, operation):
        # A system call that fails and does nothing marks the place in the trace.
        lines = ["import os", "import fastsock as socket",
                 "def mark(name):",
                 f"    return os.access({MARK!r} + name, os.F_OK)",
                 *setup.split("\n"),
                 "mark('start')", *operation.split("\n"), "mark('end')"]
        output = tmp_path / "trace"
        subprocess.run(
            [strace, "-f", "-qq", "-o", output, sys.executable, "-P", "-c",
             "\n".join(line.strip() if not line.startswith(("    ", "def ")) else line
                       for line in lines)],
            cwd=tmp_path, check=True, capture_output=True, timeout=60)
        text = output.read_text()
        found = re.search(rf"{MARK}start.*?\n(.*?)[^\n]*{MARK}end", text, re.DOTALL)
        assert found, text[-2000:]
        names = re.findall(r"^\d+ +(\w+)\(", found[1], re.MULTILINE)
        # Memory and the interpreter's own locks are not the operation's.
        return [name for name in names if name not in {
            "brk", "mmap", "munmap", "mremap", "madvise", "futex", "rt_sigreturn"}]
    return calls
