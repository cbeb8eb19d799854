"""Who may connect to a path, and who has: `unix_mode=` of servers, peer_credentials()."""

import errno
import os
import socket as stdlib_socket
import stat
import sys
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.protocol_servers import Recording

LINUX = sys.platform == "linux"
OWN = (os.getpid() if LINUX or sys.platform == "darwin" else -1, os.geteuid(), os.getegid())


# -- unix_mode= ---------------------------------------------------------------------------------

def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture(params=[0o022, 0, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("make", [
    lambda path, **options: fastsock.Server(Recording, path, **options),
    lambda path, **options: fastsock.Relay(path, ("127.0.0.1", 9), **options)],
    ids=["Server", "Relay"])
@pytest.mark.parametrize("mode", [None, 0o600, 0o660, 0o666, 0o700, 0o777, 0])
def test_a_path_has_the_mode_that_was_asked_for(tmp_path, umask, make, mode):
    path = str(tmp_path / "socket")
    with make(path, **({} if mode is None else {"unix_mode": mode})):
        assert mode_of(path) == (0o600 if mode is None else mode)


@pytest.mark.parametrize("workers", [1, 2])
def test_so_has_that_of_serve(python, tmp_path, workers):
    path = str(tmp_path / "socket")
    assert python("-c", f"""
import os, signal, stat
import fastsock
os.umask(0)
def ready(addresses):
    print(oct(stat.S_IMODE(os.stat({path!r}).st_mode)), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
fastsock.serve(bytes.upper, {path!r}, workers={workers}, unix_mode=0o620, on_ready=ready)
""").stdout.strip() == "0o620"


@pytest.mark.skipif(not LINUX, reason="other systems make it as the umask says")
def test_it_is_never_open_to_others_in_between(calls_of, tmp_path):
    """chmod() comes after bind(): the file must be safe already by then."""
    path = str(tmp_path / "socket")
    names = calls_of("os.umask(0)", f"socket.Server(object, {path!r}).close()")
    assert names.index("fchmod") < names.index("bind") < names.index("chmod") \
        < names.index("listen")


@pytest.mark.parametrize("mode, error", [
    (-1, ValueError), (0o1000, ValueError), ("600", TypeError), (None, TypeError)])
def test_modes_that_are_refused(tmp_path, mode, error):
    with pytest.raises(error):
        fastsock.Server(Recording, str(tmp_path / "socket"), unix_mode=mode)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_user_is_kept_out(python, tmp_path):
    path = str(tmp_path / "socket")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    program = f"""
import os, socket
os.setgid(65534), os.setuid(65534)
sock = socket.socket(socket.AF_UNIX)
print(sock.connect_ex({path!r}))
"""
    for mode, expected in ((0o600, errno.EACCES), (0o666, 0)):
        with fastsock.Server(Recording, path, unix_mode=mode):
            assert python("-c", program).stdout == f"{expected}\n"


# -- peer_credentials() --------------------------------------------------------------------

def test_of_a_pair():
    a, b = fastsock.socketpair()
    with a, b:
        found = a.peer_credentials()
        assert found == OWN and (found.pid, found.uid, found.gid) == OWN
        assert type(found).__name__ == "PeerCredentials"


def test_of_both_ends_of_a_connection(tmp_path, python):
    path = str(tmp_path / "socket")
    with fastsock.socket(fastsock.AF_UNIX) as listener:
        listener.settimeout(TIMEOUT_S)
        listener.bind(path)
        listener.listen()
        printed = []
        client = threading.Thread(target=lambda: printed.append(python("-c", f"""
import os, fastsock
with fastsock.socket(fastsock.AF_UNIX) as client:
    client.connect({path!r})
    print(os.getpid(), *client.peer_credentials(), flush=True)
    client.recv(1)
""").stdout.split()))
        client.start()
        connection, _ = listener.accept()
        with connection:
            theirs = connection.peer_credentials()
        client.join()
    pid, *of_server = map(int, printed[0])
    assert theirs == (pid if OWN[0] != -1 else -1, *OWN[1:])
    assert tuple(of_server) == OWN


def test_without_a_peer(tmp_path):
    with fastsock.socket(fastsock.AF_UNIX) as sock:
        with pytest.raises(OSError) as caught:
            sock.peer_credentials()
        assert caught.value.errno == errno.ENOTCONN
    with pytest.raises(OSError) as caught:
        sock.peer_credentials()
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("family, kind", [
    ("AF_INET", "SOCK_STREAM"), ("AF_INET", "SOCK_DGRAM"), ("AF_INET6", "SOCK_STREAM")])
def test_of_another_family(family, kind):
    try:
        sock = fastsock.socket(getattr(fastsock, family), getattr(fastsock, kind))
    except OSError:
        pytest.skip(f"no {family} here")
    with sock, pytest.raises(ValueError, match=f"needs an AF_UNIX socket.*{family}"):
        sock.peer_credentials()


def test_the_stdlib_has_none():
    assert not hasattr(stdlib_socket.socket, "peer_credentials")  # or ours must be as its is
