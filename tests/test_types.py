"""The types: of the package itself, of the stubs against the run-time, and in programs.

mypy is run as a program, on a copy of the package's Python files and stubs, so that it
makes no difference where the package is installed.
"""

import importlib
import importlib.util
import os
import pathlib
import re
import select
import selectors
import shutil
import socket
import types

import pytest

import fastsock
from tests.conftest import FACILITIES, Python

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mypy") is None,
                                reason="not installed: mypy")

PACKAGE = pathlib.Path(fastsock.__file__).parent
ALLOWLIST = pathlib.Path(__file__).with_name("stubtest_allowlist.txt")
#: Names that are absent on systems or builds without what they are for.
ABSENT = ALLOWLIST.with_name("stubtest_absent.txt")
ERROR = re.compile(r"\w+\.py:(\d+): error: .* \[([\w-]+)\]")

# What mypy calls a wrong argument, depending on its version and on where the argument is.
ARGUMENT = {"arg-type", "call-overload", "list-item"}


class Mypy:
    """Runs mypy --strict in a folder with a copy of the package."""

    def __init__(self, folder):
        self.folder = folder
        self.python = Python(folder)
        shutil.copytree(PACKAGE, folder / "fastsock",
                        ignore=shutil.ignore_patterns("*.so", "__pycache__"))

    def __call__(self, *arguments):
        # Without a configuration file: what counts is the same wherever this is run.
        return self.python("-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache",
                           "--no-color-output", *arguments, check=False,
                           env={"MYPYPATH": str(self.folder)})

    def errors_in(self, lines):
        """The errors in a program: {number of the line, from 0: code}."""
        (self.folder / "program.py").write_text("\n".join(lines) + "\n")
        result = self("program.py")
        assert result.returncode in (0, 1), result.stdout + result.stderr
        found = {int(line) - 1: "arg-type" if code in ARGUMENT else code
                 for line, code in ERROR.findall(result.stdout)}
        assert bool(found) == bool(result.returncode), result.stdout
        return found


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    return Mypy(tmp_path_factory.mktemp("types"))


def test_the_package_is_clean(mypy):
    result = mypy("-p", "fastsock")
    assert result.returncode == 0, result.stdout + result.stderr
    checked = re.search(r"no issues found in (\d+) source files", result.stdout)
    assert int(checked[1]) > 60


def test_an_error_in_the_package_would_be_found(mypy):
    file = mypy.folder / "fastsock" / "_exceptions.py"
    before = file.read_text()
    file.write_text(before + "\n\ndef untyped(message):\n    return message\n")
    try:
        result = mypy("-p", "fastsock")
    finally:
        file.write_text(before)
    assert result.returncode == 1 and "[no-untyped-def]" in result.stdout


def stubtest(python, allowlist):
    """stubtest on the package that is tested, which it imports."""
    env = {} if "site-packages" in PACKAGE.parts else {
        "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])}
    # Interpreters differ in what they need of the list.
    absent = [] if FACILITIES["segmentation"] else ["--allowlist", ABSENT]
    return python("-m", "mypy.stubtest", "fastsock", "--allowlist", allowlist, *absent,
                  "--ignore-unused-allowlist", env=env, check=False)


def test_the_stubs_are_those_of_the_run_time(python):
    result = stubtest(python, ALLOWLIST)
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_is_allowed_is_little(python):
    """The exceptions are Cython's, and a few that the list names with their reason."""
    patterns = [line for line in ALLOWLIST.read_text().splitlines()
                if line and not line.startswith("#")]
    assert len(patterns) <= 10
    assert not any(re.fullmatch(pattern, name) for pattern in patterns for name in (
        "fastsock.socket", "fastsock._methods.SocketMethods.recv", "fastsock.Stream",
        "fastsock._stream.Stream.__init__", "fastsock.framing.__all__"))


# -- names -----------------------------------------------------------------------------

def public_names(module):
    """`__all__`, or what stands for it in a module that has none."""
    return getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)]


@pytest.mark.parametrize("name, stdlib", [
    ("fastsock", socket), ("fastsock.framing", None), ("fastsock.select", select),
    ("fastsock.selectors", selectors)])
def test_the_stubs_cover_all_names(mypy, name, stdlib):
    names = [*public_names(importlib.import_module(name)), "no_such_name"]
    assert len(names) > 8
    errors = mypy.errors_in([f"import {name}", *[f"{name}.{one}" for one in names]])
    missing = {names[line - 1] for line, code in errors.items() if code == "attr-defined"}
    assert set(errors.values()) == {"attr-defined"}
    if stdlib is not None:  # what mypy does not know of the stdlib's, we can't pass on
        theirs = [one for one in names if hasattr(stdlib, one)]
        unknown = mypy.errors_in([f"import {stdlib.__name__}",
                                  *[f"{stdlib.__name__}.{one}" for one in theirs]])
        missing -= {theirs[line - 1] for line in unknown}
    assert missing == {"no_such_name"}


# -- programs --------------------------------------------------------------------------

HEAD = """\
import asyncio
import http.client
import selectors
import socket
import socketserver
import ssl
from collections.abc import Iterator
from typing import Any, assert_type

import fastsock
from fastsock import framing

def takes_a_socket(sock: socket.socket) -> None: ...

class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...

class OnlyLooksLikeOne:
    def connection_made(self, transport: Any) -> None: ...
    def connection_lost(self, error: Exception | None) -> None: ...

def answer(message: bytes) -> bytes | None: ...
def answers(message: bytes) -> Iterator[bytes]:
    yield message

def answer_batch(messages: list[bytes]) -> list[bytes | None]:
    return [*messages]

sock = fastsock.socket()
tls = ssl.create_default_context()
stream = fastsock.Stream(sock)
batch = fastsock.DatagramBatch(64)
Ancillary = list[tuple[int, int, bytes]]
Events = list[tuple[selectors.SelectorKey, int]]
several = [("localhost", 0), ("localhost", 1)]
"""

RIGHT = """\
assert_type(sock, fastsock.socket)
takes_a_socket(sock)
takes_a_socket(fastsock.create_connection(("localhost", 80)))
assert_type(tls.wrap_socket(sock), ssl.SSLSocket)
asyncio.run(asyncio.open_connection(sock=sock))
asyncio.run(asyncio.start_server(lambda reader, writer: None, sock=sock))
http.client.HTTPConnection("localhost").sock = sock
socketserver.TCPServer(("localhost", 0), socketserver.BaseRequestHandler).socket = sock
selectors.DefaultSelector().register(sock, selectors.EVENT_READ)
socket.socket.recv(sock, 10)
listeners: list[socket.socket] = [sock]
assert_type(fastsock.create_connection(("localhost", 80), 1.0), fastsock.socket)
fastsock.create_connection(("localhost", 80), happy_eyeballs_delay=0.25, total_timeout=2)
assert_type(fastsock.create_server(("localhost", 0)), fastsock.socket)
assert_type(fastsock.fromfd(0, fastsock.AF_INET, fastsock.SOCK_STREAM), fastsock.socket)
assert_type(fastsock.socketpair(), tuple[fastsock.socket, fastsock.socket])
assert_type(fastsock.adopt(socket.socket()), fastsock.socket)
assert_type(fastsock.systemd_sockets(), list[fastsock.socket])
assert_type(sock.accept()[0], fastsock.socket)
assert_type(sock.accept_many()[0][0], fastsock.socket)
assert_type(sock.dup(), fastsock.socket)
assert_type(sock.family, socket.AddressFamily)
assert_type(sock.recv_exactly(10), bytes)
assert_type(sock.recv_exactly_into(bytearray(10)), int)
assert_type(sock.sendmsg_all([b"a", bytearray(b"b")]), None)
assert_type(sock.recvmmsg(64), list[tuple[bytes, Any]])
assert_type(sock.recvmmsg(64, ancillary=True), list[tuple[bytes, Ancillary, int, Any]])
assert_type(sock.recvmmsg_into(batch), int)
assert_type(sock.sendmmsg([b"a", (b"b", ("localhost", 53)), [b"c", b"d"]]), int)
assert_type(sock.sendmmsg_from(batch), int)
assert_type(sock.send_segmented(b"abc", 1, ("localhost", 53)), int)
sock.join_group("224.0.0.1", "eth0", source="10.0.0.1")
sock.set_multicast(interface="eth0", ttl=1, loopback=False)
assert_type(batch[0], memoryview)
assert_type([one for one in batch], list[memoryview])
assert_type(batch.full_size(0), int)
batch[0] = b"answer"
assert_type(fastsock.PacketInfo.from_ancillary(batch.ancillary(0)), fastsock.PacketInfo)
assert_type(fastsock.PacketInfo(local="10.0.0.1").ttl, int | None)
fastsock.Stream(sock, framing=framing.LengthPrefix("!I"), limit=1 << 20)
fastsock.Stream(tls.wrap_socket(sock))
assert_type(stream.recv_message(), bytes)
assert_type(stream.recv_messages(max=10), list[bytes])
assert_type([one for one in stream.messages()], list[bytes])
assert_type([one for one in stream], list[bytes])
assert_type(stream.readuntil((b";", b",")), bytes)
assert_type(stream.write(b""), int)
assert_type(framing.Lines().feed(b""), list[bytes])
assert_type(framing.Lines().encode(b""), bytes)
assert_type(fastsock.relay(sock, socket.socket(), idle_timeout=1.0), tuple[int, int])
fastsock.serve(answer, ("localhost", 0), framing=framing.Lines(), idle_timeout=None)
fastsock.serve(bytes.upper, "/run/echo", ssl_context=tls, workers=2, busy_poll_us=50)
fastsock.serve(answers, [("localhost", 0), "/run/echo"], on_ready=print)
fastsock.serve_batches(answer_batch, ("localhost", 0), workers=2)
fastsock.serve(answer, several)
fastsock.serve(answer, several, on_connect=lambda connection: connection.send(b"hello"),
               on_disconnect=lambda connection, reason: print(connection, reason))
fastsock.serve(answer, sock=sock)
assert_type(fastsock.Server(Echo, ("localhost", 0), max_connections=10).connection_count, int)
fastsock.Server(lambda: OnlyLooksLikeOne(), sock=[sock, socket.socket()]).shutdown(grace=1.0)
assert_type(fastsock.Relay(("", 80), ("localhost", 81)).bytes_relayed, tuple[int, int])
assert_type(fastsock.current_connection().is_closing(), bool)
assert_type(fastsock.stats()["calls"], int)
assert_type(fastsock.stats()["system_calls"]["recv"], int)
assert_type(fastsock.install(), bool)
assert_type(fastsock.selectors.DefaultSelector().select(1.0), Events)
chosen: selectors.BaseSelector = fastsock.selectors.SelectSelector()
assert_type(fastsock.select.select([sock], [], [])[0], list[fastsock.socket])
fastsock.select.poll().register(sock, fastsock.select.POLLIN)
assert_type(fastsock.UDP_SEGMENT, int)
assert_type(fastsock.gethostname(), str)
raise fastsock.timeout
"""

WRONG = [
    ('fastsock.Stream("x")', "arg-type"),
    ("fastsock.Stream(sock, framing=b'x')", "arg-type"),
    ("stream.closed = True", "misc"),
    ("stream.send_message('text')", "arg-type"),
    ('sock.recv_exactly("1")', "arg-type"),
    ("sock.recv_exactly_into(b'not writable', 1)", "call-arg"),
    ("sock.recvmmsg_into(bytearray(10))", "arg-type"),
    ("sock.recvmmsg(1, ancillary=1)", "arg-type"),
    ("sock.sendmmsg([1])", "arg-type"),
    ("sock.no_such_method()", "attr-defined"),
    ("batch[0] = 'text'", "assignment"),
    ("fastsock.DatagramBatch('64')", "arg-type"),
    ("fastsock.create_connection('localhost:80')", "arg-type"),
    ("fastsock.create_connection(('localhost', 80), total_timeout='soon')", "arg-type"),
    ("number: int = fastsock.create_connection(('localhost', 80))", "assignment"),
    ("fastsock.adopt('x')", "arg-type"),
    ("fastsock.relay(sock, 3)", "arg-type"),
    ("fastsock.serve(lambda: b'', ('localhost', 0))", "arg-type"),
    ("fastsock.serve(answer, 8000)", "arg-type"),
    ("fastsock.serve(answer, [8000])", "arg-type"),
    ("fastsock.serve(answer, (('localhost', 0), ('localhost', 1)))", "arg-type"),
    ("fastsock.serve_batches(answer, ('localhost', 0))", "arg-type"),
    ("fastsock.serve(answer_batch, ('localhost', 0))", "arg-type"),
    ("fastsock.serve(answer, ('localhost', 0), batch=True)", "call-arg"),
    ("fastsock.serve(str.upper, ('localhost', 0))", "arg-type"),
    ("fastsock.serve(answer, ('localhost', 0), on_connect=b'hello')", "arg-type"),
    ("fastsock.serve(answer, ('localhost', 0), on_disconnect=lambda one: None)", "arg-type"),
    ("fastsock.current_connection().send('text')", "arg-type"),
    ("fastsock.Server(object, ('localhost', 0))", "arg-type"),
    ("fastsock.Server(Echo, ('localhost', 0), no_such_option=1)", "call-arg"),
    ("fastsock.Relay(('', 80), ('localhost', 81), ssl_context=tls)", "call-arg"),
    ("fastsock.stats()['no such counter']", "typeddict-item"),
    ("framing.LengthPrefix(4)", "arg-type"),
    ("framing.Fixed()", "call-arg"),
    ("plain: fastsock.socket = socket.socket()", "assignment"),
]


def test_programs_that_are_right(mypy):
    lines = (HEAD + RIGHT).splitlines()
    assert {lines[line]: code for line, code in mypy.errors_in(lines).items()} == {}


def test_programs_that_are_wrong(mypy):
    head = HEAD.splitlines()
    errors = mypy.errors_in([*head, *[statement for statement, _ in WRONG]])
    refused = [(statement, errors.pop(number, None))
               for number, (statement, _) in enumerate(WRONG, start=len(head))]
    assert refused == WRONG
    assert errors == {}
