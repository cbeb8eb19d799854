"""AF_UNIX paths of servers: whose a path is, which one is replaced, and when it is removed."""

import contextlib
import errno
import fcntl
import os
import re
import signal
import socket as stdlib_socket
import subprocess
import sys
import threading

import pytest

import fastsock
from fastsock import _server, _unix_paths
from fastsock._serve import HandlerServer
from tests.conftest import TIMEOUT_S, requires_facility
from tests.serving import answering, environment

LOOPBACK = ("127.0.0.1", 0)
STREAM, DGRAM = stdlib_socket.SOCK_STREAM, stdlib_socket.SOCK_DGRAM
KINDS = [STREAM, DGRAM] + ([stdlib_socket.SOCK_SEQPACKET] if sys.platform != "darwin" else [])


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "socket")


def bound(path, kind=STREAM):
    """A socket of the stdlib's at a path."""
    sock = stdlib_socket.socket(stdlib_socket.AF_UNIX, kind)
    sock.bind(path)
    return sock


def refused(address, call=HandlerServer, **options):
    """What a server at an address in use raises."""
    with pytest.raises(OSError) as caught:
        call(bytes, address, **options)
    assert caught.value.errno == errno.EADDRINUSE
    return str(caught.value)


def serve(workers):
    def call(handler, address, **options):
        fastsock.serve(handler, address, workers=workers, **options)
    return call


# -- what is replaced -------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_stale_socket_is_replaced(path, kind):
    bound(path, kind).close()
    with answering(bytes.upper, path) as served:
        assert served.ask(b"hello") == b"HELLO"
    assert not os.path.exists(path)


@pytest.mark.parametrize("call", [HandlerServer, serve(1), serve(2)], ids=["server", "1", "2"])
@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_socket_in_use_is_not(path, kind, listens, call):
    with bound(path, kind) as other:
        if listens and kind != DGRAM:
            other.listen()
        other.setblocking(False)
        before = os.lstat(path)
        text = refused(path, call)
        assert repr(path) in text and "a process has this socket open" in text
        assert os.path.samestat(before, os.lstat(path))
        if listens and kind != DGRAM:
            with pytest.raises(BlockingIOError):
                other.accept()  # it was not even bothered by a connection


def test_a_server_that_accepts_no_more_keeps_its_path(path):
    with contextlib.ExitStack() as opened:
        other = opened.enter_context(bound(path))
        other.listen(0)
        for _ in range(100):
            client = opened.enter_context(stdlib_socket.socket(stdlib_socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(path):
                break
        else:
            pytest.skip("a backlog without an end")
        refused(path)


def test_the_server_of_another_process_goes_on(path):
    with subprocess.Popen([sys.executable, "-P", "-m", "fastsock", "serve", "echo", "--listen", path],
                          stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout.readline() == f"listening on {path}\n"
            refused(path)
            with stdlib_socket.socket(stdlib_socket.AF_UNIX) as client:
                client.settimeout(TIMEOUT_S)
                client.connect(path)
                client.sendall(b"x")
                assert client.recv(1) == b"x"
            process.kill()
            process.wait(TIMEOUT_S)
            with answering(bytes.upper, path) as served:  # what it left behind
                assert served.ask(b"hello") == b"HELLO"
        finally:
            process.kill()


def test_a_kernel_that_refuses_datagrams_to_a_listener(path, monkeypatch):
    # As gVisor does: ECONNREFUSED, and not EPROTOTYPE. Then a connection decides.
    class Probe(fastsock.socket):
        def connect_ex(self, address):
            return errno.ECONNREFUSED if self.type == DGRAM else super().connect_ex(address)

    with bound(path) as other:
        other.listen()
        monkeypatch.setattr(_unix_paths, "socket", Probe)
        refused(path)


def test_a_socket_that_must_not_be_asked(path, monkeypatch):
    class Probe(fastsock.socket):
        def connect_ex(self, address):
            return errno.EACCES

    bound(path).close()
    monkeypatch.setattr(_unix_paths, "socket", Probe)
    assert os.strerror(errno.EACCES) in refused(path)
    assert os.path.exists(path)


@pytest.mark.parametrize("make", [
    lambda path: open(path, "x").close(), os.mkdir, os.mkfifo,
    lambda path: os.symlink("absent", path),
    lambda path: (bound(path + "2").close(), os.symlink(path + "2", path))],
    ids=["file", "folder", "pipe", "dangling link", "link to a socket"])
def test_what_is_no_socket_stays(path, make):
    make(path)
    before = os.lstat(path)
    assert "not a socket" in refused(path)
    assert os.path.samestat(before, os.lstat(path))


RACE = """
import os, signal, socket, sys
from fastsock._serve import HandlerServer
path, count, rounds = sys.argv[1], 4, int(sys.argv[2])
for _ in range(rounds):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    go, results, done = os.pipe(), os.pipe(), os.pipe()
    pids = []
    for _ in range(count):
        pids.append(os.fork())
        if not pids[-1]:
            os.close(go[1]), os.close(done[1])
            os.read(go[0], 1)       # all at once: it ends
            try:
                server = HandlerServer(bytes, path)
            except OSError as error:
                os.write(results[1], b"-" if error.errno == 98 or "in use" in str(error) else b"?")
            else:
                os.write(results[1], b"+")
                os.read(done[0], 1)
                server.close()
            os._exit(0)
    os.close(go[1])
    found = b""
    while len(found) < count:
        found += os.read(results[0], count)
    assert sorted(found) == sorted(b"+---"), found
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)        # the one that won has it
    os.close(done[1])
    for pid in pids:
        os.waitpid(pid, 0)
    for fd in (go[0], *results, done[0]):
        os.close(fd)
    assert not os.path.lexists(path)
"""


def test_of_servers_that_start_at_once_one_gets_a_stale_path(python, path):
    python(path, "60", code=RACE)


def test_a_folder_that_stays_locked(path, monkeypatch):
    # Any process may hold that lock: it must not keep a server from starting for ever.
    monkeypatch.setattr(_unix_paths, "LOCK_ATTEMPTS", 2)
    fd = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with HandlerServer(bytes, path):
            assert os.path.exists(path)
    finally:
        os.close(fd)


@pytest.mark.parametrize("failing", ["flock", "open"])
def test_a_folder_that_can_not_be_locked(path, monkeypatch, failing):
    def fail(*arguments):
        raise OSError(errno.ENOLCK, "no locks")

    module = {"flock": _unix_paths.fcntl, "open": _unix_paths.os}[failing]
    with monkeypatch.context() as patch:
        patch.setattr(module, failing, fail)
        server = HandlerServer(bytes, path)
    with server:
        assert os.path.exists(path)


# -- when it is removed --------------------------------------------------------------------------

@pytest.mark.parametrize("call", [HandlerServer, serve(1), serve(2)], ids=["server", "1", "2"])
def test_a_later_address_that_fails(path, call):
    with stdlib_socket.create_server(LOOPBACK) as other:
        addresses = [path, path + "2", other.getsockname()]
        assert repr(other.getsockname()) in refused(addresses, call)
    assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.parametrize("call", [HandlerServer, serve(1), serve(2)], ids=["server", "1", "2"])
def test_what_else_fails(path, call):
    with pytest.raises(OverflowError):
        call(bytes, path, max_connections=1 << 80)
    assert not os.path.exists(path)


@pytest.mark.parametrize("owner, name", [(fastsock.socket, "listen"), (_unix_paths.os, "chmod")])
def test_what_fails_behind_bind(path, monkeypatch, owner, name):
    def fail(*arguments):
        raise OSError(errno.EADDRINUSE, "no more")

    monkeypatch.setattr(owner, name, fail)
    assert refused(path) == f"[Errno {errno.EADDRINUSE}] can't listen on {path!r}: no more"
    assert not os.path.exists(path)


@pytest.mark.parametrize("name", ["listen", "chmod", "flock"])
def test_ctrl_c_while_it_is_made(path, monkeypatch, name):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    owner = {"listen": fastsock.socket, "chmod": os, "flock": _unix_paths.fcntl}[name]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            HandlerServer(bytes, path)
    assert not os.path.exists(path)


def test_what_is_gone_meanwhile(path, tmp_path, monkeypatch):
    assert _unix_paths.reason_to_keep(path) == ""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert _unix_paths.absolute("s") == "s"
    monkeypatch.chdir(tmp_path)
    assert _unix_paths.absolute("s") == str(tmp_path / "s")


def test_no_pipe_for_the_workers(path, monkeypatch):
    def pipe():
        raise OSError(errno.EMFILE, "no fds")

    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(OSError, match="no fds"):
        fastsock.serve(bytes, path, workers=2)
    assert not os.path.exists(path)


def in_a_folder(tmp_path, monkeypatch):
    """A working directory, and another with a socket of the same name."""
    for name in "before", "after":
        (tmp_path / name).mkdir()
    bound(str(tmp_path / "after" / "s")).close()
    monkeypatch.chdir(tmp_path / "before")
    return tmp_path / "before" / "s", tmp_path / "after" / "s"


@pytest.mark.parametrize("address", ["s", b"./s", "../before/s"])
def test_a_relative_path_after_chdir(tmp_path, monkeypatch, address):
    ours, other = in_a_folder(tmp_path, monkeypatch)
    with HandlerServer(bytes, address) as server:
        assert server.addresses == [os.fsdecode(address)]  # as getsockname() has it
        assert ours.is_socket()
        os.chdir("../after")
    assert not ours.exists() and other.is_socket()


def test_a_relative_path_of_workers_after_chdir(tmp_path, monkeypatch):
    ours, other = in_a_folder(tmp_path, monkeypatch)

    def ready(addresses):
        assert addresses == ["s"] and ours.is_socket()
        os.chdir("../after")
        os.kill(os.getpid(), signal.SIGTERM)

    fastsock.serve(bytes, "s", workers=2, on_ready=ready)
    assert not ours.exists() and other.is_socket()


def test_a_folder_that_is_gone(tmp_path, monkeypatch):
    ours, other = in_a_folder(tmp_path, monkeypatch)
    with HandlerServer(bytes, "s"):
        ours.unlink()
        ours.parent.rmdir()
        os.chdir(other.parent)
    assert other.is_socket()


def test_a_child_does_not_remove_its_parents_path(tmp_path, monkeypatch):
    ours, _ = in_a_folder(tmp_path, monkeypatch)
    with HandlerServer(bytes, "s") as server:
        pid = os.fork()
        if pid == 0:
            server.close()
            os._exit(0)
        os.waitpid(pid, 0)
        assert ours.is_socket()
    assert not ours.exists()


def test_the_path_of_another_one_stays(path):
    with HandlerServer(bytes, path):
        os.unlink(path)
        with bound(path) as other:
            other.listen()
            before = os.lstat(path)
    assert os.path.samestat(before, os.lstat(path))


def test_the_path_goes_before_the_socket(path, monkeypatch):
    # Or another server might replace it in between, by one with the same inode's number.
    seen = []

    def remove(paths):
        seen.append((os.path.exists(path), server.sockets[0].fileno() >= 0))
        _unix_paths.remove_paths(paths)

    monkeypatch.setattr(_server, "remove_paths", remove)
    with HandlerServer(bytes, path) as server:
        pass
    assert seen[0] == (True, True) and not os.path.exists(path)


def test_a_path_that_others_removed(path):
    with HandlerServer(bytes, path):
        os.unlink(path)


def test_the_path_of_systemds_stays(python, path):
    # Its unit has the path: RemoveOnStop= says what becomes of it.
    code = """
import fastsock, os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.detach(), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
with fastsock.Server(object) as server:
    assert server.addresses == [sys.argv[1]]
"""
    python(path, code=code)
    assert os.path.exists(path)


@requires_facility("abstract_addresses")
def test_abstract_addresses_are_in_use_too():
    name = f"\0fastsock-test-{os.getpid()}"
    with HandlerServer(bytes, name):
        assert re.search("x00fastsock-test.*in use", refused(name))


def test_many_threads_and_one_path(path):
    bound(path).close()
    servers, errors, start = [], [], threading.Barrier(4)

    def run():
        start.wait()
        try:
            servers.append(HandlerServer(bytes, path))
        except OSError as error:
            errors.append(error.errno)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert (len(servers), errors) == (1, [errno.EADDRINUSE] * 3)
    servers[0].close()


def test_a_path_that_can_not_be_removed(path, monkeypatch, caplog):
    def refuse(name):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    server = HandlerServer(bytes.upper, path)
    with monkeypatch.context() as patches:
        patches.setattr(_unix_paths.os, "unlink", refuse)  # as after setuid(2)
        server.shutdown()
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
        server.close()
    assert "can't be removed" in caplog.text
    assert all(sock.fileno() < 0 for sock in server.sockets)
