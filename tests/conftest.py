"""What every test shares: the two implementations, and a guard for file descriptors.

Rules: a test that takes `socket` runs twice, on the stdlib's module and on
fastsock, and asserts the same of both. No test waits by sleeping; what must
happen first is waited for by a call that returns when it has happened.
"""

import contextlib
import gc
import logging
import os
import pathlib
import resource
import shutil
import signal
import socket as stdlib_socket
import subprocess
import sys
import threading

import pytest

import fastsock
from fastsock._platform_facts import facts

from tests.network import has_ipv6

# Their fixtures.
pytest_plugins = ["tests.servers", "tests.streams", "tests.polling", "tests.protocol_servers",
                  "tests.tracing"]

IMPLEMENTATIONS = {"stdlib": stdlib_socket, "fastsock": fastsock}

#: What this build uses of the kernel's additions: a portable build has none of them.
FACILITIES = facts()

#: Every socket operation of a test ends by itself after this long.
TIMEOUT_S = 20.0


def hides_an_iterables_error():
    """Late releases of 3.13, and those since: the stdlib has a TypeError in its place."""
    class Broken:
        def __iter__(self):
            raise LookupError

    with stdlib_socket.socket() as sock:
        try:
            sock.sendmsg(Broken())
        except (LookupError, TypeError) as error:
            return isinstance(error, TypeError)


#: On the page "Differences".
HIDES_AN_ITERABLES_ERROR = hides_an_iterables_error()


def pytest_report_header():
    return f"fastsock {fastsock.__version__} from {pathlib.Path(fastsock.__file__).parent}"


def pytest_configure(config):
    # A shell's background job ignores SIGINT, and so would all that the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    expected = os.environ.get("FASTSOCK_TEST_INSTALLED")
    found = str(pathlib.Path(fastsock.__file__).resolve())
    if expected and not found.startswith(str(pathlib.Path(expected).resolve()) + os.sep):
        raise pytest.UsageError(f"fastsock was to be tested from {expected}, and is {found}")


def pytest_collection_finish(session):
    # The guard below collects garbage after each test: not all that was imported, too.
    gc.collect()
    gc.freeze()


@pytest.fixture(params=list(IMPLEMENTATIONS))
def socket(request):
    """The module under test: the stdlib's `socket`, then `fastsock`."""
    return IMPLEMENTATIONS[request.param]


def open_fds():
    """The open descriptors of this process and what they are."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found = {}
    for name in os.listdir(folder):
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")
        except OSError:
            pass  # the descriptor of the listing itself
    return found


@pytest.fixture(autouse=True)
def no_fd_leak():
    """A test leaves no descriptor and no thread behind."""
    before = open_fds()
    threads = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in left:
        thread.join(TIMEOUT_S)

    def left_open():
        return {fd: what for fd, what in open_fds().items()
                if before.get(fd) != what and "memfd" not in what
                and "/reports/address." not in what}  # where AddressSanitizer writes
    leaked = left_open()
    if leaked:  # an object in a circle may hold it: collecting takes longer than most tests
        gc.collect()
        leaked = left_open()
    assert not leaked, f"left open: {leaked}"
    assert not any(thread.is_alive() for thread in left), f"still running: {left}"


@contextlib.contextmanager
def no_fd_free():
    """Meanwhile this process can open nothing: EMFILE."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The lowest number that is free is the first that does not fit any more.
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def default_timeout():
    """Set a default timeout for the test, and the old one back after it."""
    before = stdlib_socket.getdefaulttimeout()
    yield stdlib_socket.setdefaulttimeout
    stdlib_socket.setdefaulttimeout(before)


@pytest.fixture
def pair(socket):
    """Two connected AF_UNIX stream sockets, blocking."""
    a, b = socket.socketpair()
    with a, b:
        yield a, b


@pytest.fixture
def listener(socket):
    """A TCP listener on 127.0.0.1, with a timeout."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT_S)
        yield server


@pytest.fixture
def tcp_pair(socket, listener):
    """Two connected TCP sockets, (client, server), with timeouts."""
    with socket.create_connection(listener.getsockname(), timeout=TIMEOUT_S) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(TIMEOUT_S)
            yield client, server


class Python:
    """Runs Python programs in processes of their own, elsewhere than in the checkout."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *arguments, code=None, env=None, check=True, **keywords):
        """Run `python -P ARGUMENTS` or `python -P -c CODE`; a CompletedProcess with texts."""
        arguments = [*arguments] if code is None else ["-c", code, *arguments]
        result = subprocess.run(
            [sys.executable, "-P", *map(str, arguments)],
            cwd=self.folder, env={**os.environ, **(env or {})}, text=True,
            capture_output=True, timeout=60, **keywords)
        if check and result.returncode:
            raise AssertionError(f"exit status {result.returncode}\n{result.stdout}"
                                 f"\n{result.stderr}")
        return result


@pytest.fixture
def python(tmp_path):
    return Python(tmp_path)


requires_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="::1 can't be bound: no IPv6")


def requires_facility(name):
    """Skip where this build has not one of the kernel's additions, by its name in FACILITIES."""
    return pytest.mark.skipif(not FACILITIES[name], reason=f"this build does without {name}")


def requires_program(*names):
    """Skip where a program is missing; the reason names it."""
    missing = [name for name in names if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def log(caplog):
    """What servers say."""
    caplog.set_level(logging.INFO, "fastsock.server")
    return caplog
