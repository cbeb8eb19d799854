"""A server in a process of its own: signals, and a process without file descriptors.

What happens is told by the process on its standard output; the test waits for that.
"""

import contextlib
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.conftest import TIMEOUT_S
from tests.protocol_servers import read_all, read_exactly

PRELUDE = """
import os, resource, signal, sys, threading
import fastsock

def say(*words):
    print(*words, flush=True)

class Echo:
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)
        if data == b"term":
            os.kill(os.getpid(), signal.SIGTERM)
    def eof_received(self):
        pass
    def connection_lost(self, error):
        say("lost", type(error).__name__)

server = fastsock.Server(Echo, ("127.0.0.1", 0), use_poll="poll" in sys.argv)
say("port", server.addresses[0][1])
"""


class Program:
    """A Python program and the lines that it says."""

    def __init__(self, folder, code, *arguments, before=()):
        self.process = subprocess.Popen(
            [*before, sys.executable, "-P", "-c", PRELUDE + code, *arguments], cwd=folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.watchdog = threading.Timer(TIMEOUT_S, self.process.kill)
        self.watchdog.start()
        self.port = int(self.hears("port"))

    def hears(self, word):
        """The rest of the next line, which begins with the word."""
        line = self.process.stdout.readline().strip()
        if not line.startswith(word):
            self.process.kill()
            pytest.fail(f"{line!r} instead of {word!r}\n{self.process.stderr.read()}")
        return line[len(word):].strip()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)

    def ends(self):
        """Wait for the end: what else it said. It must end well."""
        output, errors = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0, output + errors
        return output.split("\n")[:-1]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.watchdog.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture(params=["epoll", "poll"])
def program(request, tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda code, **keywords: stack.enter_context(
            Program(tmp_path, code, request.param, **keywords))


ON_SIGTERM = """
signal.signal(signal.SIGTERM, lambda number, frame: server.shutdown(GRACE))
say("ready")
server.serve_forever()
say("done")
"""


@pytest.mark.parametrize("sender", ["itself", "another"])
def test_sigterm(program, sender):
    running = program(ON_SIGTERM.replace("GRACE", "0"))
    running.hears("ready")
    with running.connect() as client:
        client.sendall(b"term" if sender == "itself" else b"data")
        assert read_exactly(client, 4)
        if sender == "another":
            running.process.send_signal(signal.SIGTERM)
        assert read_all(client) == b""
    assert running.ends() == ["lost NoneType", "done"]


def test_sigterm_while_it_sleeps(program):
    running = program(ON_SIGTERM.replace("GRACE", "3600"))
    running.hears("ready")
    running.process.send_signal(signal.SIGTERM)
    assert running.ends() == ["done"]


def test_sigterm_with_time_to_finish(program):
    running = program(ON_SIGTERM.replace("GRACE", "3600"))
    running.hears("ready")
    with running.connect() as client:
        client.sendall(b"term")
        assert read_exactly(client, 4) == b"term"
        client.sendall(b"more")
        assert read_exactly(client, 4) == b"more"
    assert running.ends() == ["lost NoneType", "done"]


def test_sigterm_when_the_server_is_in_another_thread(program):
    running = program("""
signal.signal(signal.SIGTERM, lambda number, frame: server.shutdown())
thread = threading.Thread(target=server.serve_forever)
thread.start()
say("ready")
thread.join()
say("done")
""")
    running.hears("ready")
    running.process.send_signal(signal.SIGTERM)
    assert running.ends() == ["done"]


INTERRUPTED = """
try:
    say("ready")
    server.serve_forever()
except KeyboardInterrupt:
    say("interrupted")
"""


@contextlib.contextmanager
def interrupted_client(running):
    """A client whose server got SIGINT after an answer."""
    running.hears("ready")
    with running.connect() as client:
        client.sendall(b"before")
        assert read_exactly(client, 6) == b"before"
        running.process.send_signal(signal.SIGINT)
        yield client


def test_keyboard_interrupt_leaves_serve_forever_and_it_goes_on(program):
    running = program(f"{INTERRUPTED}{ON_SIGTERM.replace('GRACE', '0')}")
    with interrupted_client(running) as client:
        running.hears("interrupted")
        running.hears("ready")
        client.sendall(b"after")
        assert read_exactly(client, 5) == b"after"
        running.process.send_signal(signal.SIGTERM)
        assert read_all(client) == b""
    assert running.ends() == ["lost NoneType", "done"]


def test_close_after_keyboard_interrupt(program):
    running = program(f"{INTERRUPTED}server.close()\nsay(repr(server))")
    with interrupted_client(running) as client:
        assert read_all(client) == b""
    assert running.ends() == ["interrupted", "lost NoneType", "<Server closed connections=0>"]


def test_the_wake_up_fd_is_given_back(program):
    running = program("""
server.shutdown()
server.serve_forever()
assert signal.set_wakeup_fd(-1) == -1
""")
    assert running.ends() == []


def test_the_wake_up_fd_of_another_is_left_alone(program):
    running = program("""
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
signal.signal(signal.SIGTERM, lambda number, frame: server.shutdown())
server.call_soon_threadsafe(os.kill, os.getpid(), signal.SIGTERM)
server.serve_forever()
assert signal.set_wakeup_fd(-1) == writer
assert os.read(reader, 9) == bytes([signal.SIGTERM])
""")
    assert running.ends() == []


# -- no file descriptors ---------------------------------------------------------------------

SHORT = """
import logging
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0) + 3, resource.getrlimit(
    resource.RLIMIT_NOFILE)[1]))
signal.signal(signal.SIGTERM, lambda number, frame: server.shutdown())
say("ready")
server.serve_forever()
"""


def test_a_process_without_file_descriptors_does_not_spin(program, strace, tmp_path):
    trace = tmp_path / "trace"
    before = [strace, "-f", "-qq", "-o", str(trace), "-e",
              "trace=accept,accept4,epoll_wait,epoll_ctl,poll,ppoll,execve"]
    running = program(SHORT, before=before)
    running.hears("ready")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(4)]
        for client in clients:
            client.sendall(b"x")
        served = set()
        assert "accept() failed" in running.hears("WARNING")
        while len(served) < 2:  # as many as there were descriptors for
            served.update(select.select(clients, [], [], TIMEOUT_S)[0])
        for client in served:
            assert read_exactly(client, 1) == b"x"
        # It looks again after a second, and says so again: in the meantime it slept.
        assert "accept() failed" in running.hears("WARNING")
        for client in served:
            client.close()
        for client in set(clients) - served:  # accepting goes on when a connection ended
            assert read_exactly(client, 1) == b"x"
    os.kill(child_of(running.process.pid), signal.SIGTERM)
    running.process.wait(TIMEOUT_S)
    text = trace.read_text()
    failures = text.count("EMFILE")
    waits = len(re.findall(r"\b(?:epoll_wait|p?poll)\(", text))
    assert 2 <= failures <= 20
    assert waits < 200  # a second of spinning makes ten thousands


def child_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
