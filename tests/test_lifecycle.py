"""From opening to closing: descriptors, fields, duplicates, and what is refused."""

import copy
import errno
import fcntl
import gc
import os
import pickle
import subprocess
import sys
import threading
import warnings
import weakref

import pytest

from tests.conftest import TIMEOUT_S

LINUX = sys.platform == "linux"


def is_open(fd):
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def is_inheritable(fd):
    return not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


# -- opening -------------------------------------------------------------------

def test_defaults(socket):
    with socket.socket() as sock:
        assert type(sock) is socket.socket
        assert sock.family is socket.AF_INET and sock.type is socket.SOCK_STREAM
        assert sock.proto == 0 and sock.fileno() >= 0


@pytest.mark.parametrize("family, kind", [
    ("AF_INET", "SOCK_STREAM"), ("AF_INET", "SOCK_DGRAM"), ("AF_UNIX", "SOCK_STREAM"),
    ("AF_UNIX", "SOCK_DGRAM"), ("AF_INET6", "SOCK_STREAM")])
def test_fields(socket, family, kind):
    family, kind = getattr(socket, family), getattr(socket, kind)
    try:
        sock = socket.socket(family, kind)
    except OSError as error:
        pytest.skip(f"no {family!r} here: {error}")
    with sock, socket.socket(int(family), int(kind), 0) as other, \
            socket.socket(family=family, type=kind, proto=0, fileno=None) as third:
        for each in (sock, other, third):
            assert each.family is family and each.type is kind and each.proto == 0
            assert each.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == kind


def test_minus_one_is_the_default(socket):
    with socket.socket(-1, -1, -1) as sock:
        assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
    with socket.socket(proto=socket.IPPROTO_TCP) as sock:
        assert sock.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("arguments, number", [
    ((9999,), errno.EAFNOSUPPORT), (("AF_INET", 9999), errno.EINVAL),
    (("AF_INET", "SOCK_STREAM", 9999), None), (("AF_UNIX", 1, 9), errno.EPROTONOSUPPORT)])
def test_what_the_kernel_does_not_know(socket, arguments, number):
    numbers = [getattr(socket, item) if isinstance(item, str) else item for item in arguments]
    with pytest.raises(OSError) as caught:
        socket.socket(*numbers)
    assert number is None or caught.value.errno == number


def test_type_has_no_flag_bits(socket):
    flags = [getattr(socket, name, 0) for name in ("SOCK_NONBLOCK", "SOCK_CLOEXEC")]
    for bits in (*flags, flags[0] | flags[1]):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | bits) as sock:
            assert sock.type is socket.SOCK_DGRAM
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | bits)
        with a, b:
            assert a.type is socket.SOCK_DGRAM and b.type is socket.SOCK_DGRAM


def test_nothing_is_inheritable(socket, listener):
    a, b = socket.socketpair()
    with a, b, socket.socket() as sock, a.dup() as duplicate, \
            socket.fromfd(a.fileno(), a.family, a.type) as copied, \
            socket.create_connection(listener.getsockname(), TIMEOUT_S) as client, \
            a.makefile() as file:
        accepted, _ = listener.accept()
        with accepted:
            for each in (a, b, sock, duplicate, copied, client, accepted, listener):
                assert not is_inheritable(each.fileno())
                assert each.get_inheritable() is False
            assert not is_inheritable(file.fileno())
            sock.set_inheritable(True)
            assert is_inheritable(sock.fileno()) and sock.get_inheritable() is True
            with sock.dup() as duplicate:
                assert not is_inheritable(duplicate.fileno())


def test_a_child_process_does_not_have_them(pair):
    a, b = pair
    code = "import os, sys; os.fstat(int(sys.argv[1]))"
    for sock in pair:
        for inheritable in (False, True):
            sock.set_inheritable(inheritable)
            result = subprocess.run([sys.executable, "-S", "-c", code, str(sock.fileno())],
                                    close_fds=False, stderr=subprocess.DEVNULL)
            assert (result.returncode == 0) is inheritable


# -- an existing descriptor ------------------------------------------------------

def test_fileno_asks_the_kernel(socket):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as real:
        sock = socket.socket(fileno=os.dup(real.fileno()))
        with sock:
            assert sock.family is socket.AF_UNIX and sock.type is socket.SOCK_DGRAM
            assert sock.proto == 0 and sock.gettimeout() is None
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as real, \
            socket.socket(-1, -1, -1, os.dup(real.fileno())) as sock:
        assert sock.family is socket.AF_INET and sock.type is socket.SOCK_STREAM
        assert sock.proto == (socket.IPPROTO_TCP if LINUX else sock.proto)


def test_fileno_believes_what_is_said(socket):
    with socket.socket(socket.AF_UNIX) as real, \
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, 7, os.dup(real.fileno())) as sock:
        assert (sock.family, sock.type, sock.proto) == (
            socket.AF_INET6, socket.SOCK_DGRAM, 7)


def test_numbers_without_a_name_stay_numbers(socket):
    with socket.socket(socket.AF_UNIX) as real, \
            socket.socket(70, 60, 50, fileno=os.dup(real.fileno())) as sock:
        assert (sock.family, sock.type, sock.proto) == (70, 60, 50)
        assert type(sock.family) is int and type(sock.type) is int


def test_bad_descriptors(socket, tmp_path):
    with socket.socket() as sock:
        free = sock.fileno()
    for fd in (free, 10**6):
        with pytest.raises(OSError) as caught:
            socket.socket(fileno=fd)
        assert caught.value.errno == errno.EBADF
    for fd in (-1, -2**31):
        with pytest.raises(ValueError, match="^negative file descriptor$"):
            socket.socket(fileno=fd)
    for fd in ("0", 1.5, b"0", [0]):
        with pytest.raises(TypeError):
            socket.socket(fileno=fd)
    with pytest.raises(OverflowError):
        socket.socket(fileno=2**70)
    with open(tmp_path / "file", "w") as file:
        with pytest.raises(OSError) as caught:
            socket.socket(fileno=file.fileno())
        assert caught.value.errno == errno.ENOTSOCK
        with pytest.raises(OSError) as caught:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=file.fileno())
        assert caught.value.errno == errno.ENOTSOCK
        file.write("still open")


def test_fromfd(socket, pair):
    a, b = pair
    with socket.fromfd(a.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as copied:
        assert type(copied) is socket.socket and copied.fileno() != a.fileno()
        copied.sendall(b"x")
        assert b.recv(9) == b"x"
    a.sendall(b"y")
    assert b.recv(9) == b"y"
    with pytest.raises(OSError) as caught:
        socket.fromfd(10**6, socket.AF_UNIX, socket.SOCK_STREAM)
    assert caught.value.errno == errno.EBADF


def test_dup(socket, pair):
    a, b = pair

    class Own(socket.socket):
        pass

    with a.dup() as copied, Own() as own, own.dup() as own_copied:
        assert type(copied) is socket.socket and type(own_copied) is Own
        assert copied.fileno() != a.fileno()
        assert (copied.family, copied.type, copied.proto) == (a.family, a.type, a.proto)
        copied.sendall(b"x")
        assert b.recv(9) == b"x"
    closed = socket.socket()
    closed.close()
    with pytest.raises(OSError) as caught:
        closed.dup()
    assert caught.value.errno == errno.EBADF


# -- closing -------------------------------------------------------------------

def test_close(socket):
    sock = socket.socket()
    fd = sock.fileno()
    for _ in range(3):
        assert sock.close() is None
        assert sock.fileno() == -1
        assert not is_open(fd)


def test_fields_of_a_closed_socket(socket):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.close()
    assert (sock.family, sock.type, sock.proto) == (socket.AF_UNIX, socket.SOCK_DGRAM, 0)


def test_closing_does_not_close_somebody_elses(socket):
    sock = socket.socket()
    sock.close()
    with socket.socket() as other:
        sock.close()
        assert is_open(other.fileno())


CALLS = [
    lambda sock: sock.accept(), lambda sock: sock.bind(("127.0.0.1", 0)),
    lambda sock: sock.connect(("127.0.0.1", 9)), lambda sock: sock.getpeername(),
    lambda sock: sock.getsockname(), lambda sock: sock.getsockopt(1, 2),
    lambda sock: sock.getsockopt(1, 2, 4), lambda sock: sock.setsockopt(1, 2, 1),
    lambda sock: sock.setsockopt(1, 2, b"1234"), lambda sock: sock.setsockopt(1, 2, None, 4),
    lambda sock: sock.listen(), lambda sock: sock.shutdown(2), lambda sock: sock.recv(1),
    lambda sock: sock.get_inheritable(), lambda sock: sock.set_inheritable(True),
    lambda sock: sock.dup()]


def test_calls_on_a_closed_socket(socket):
    sock = socket.socket()
    sock.close()
    for call in CALLS:
        with pytest.raises(OSError) as caught:
            call(sock)
        assert caught.value.errno == errno.EBADF


def test_context_manager(socket):
    with socket.socket() as sock:
        assert sock.fileno() >= 0
        with sock as same:
            assert same is sock
        assert sock.fileno() == -1
    with pytest.raises(LookupError):
        with socket.socket() as sock:
            raise LookupError
    assert sock.fileno() == -1


def test_detach(socket):
    sock = socket.socket()
    fd = sock.fileno()
    assert sock.detach() == fd
    assert sock.fileno() == -1 and is_open(fd)
    assert sock.detach() == -1
    sock.close()
    assert is_open(fd)
    with socket.socket(fileno=fd) as other:
        assert other.fileno() == fd
    with pytest.raises(OSError) as caught:
        sock.recv(1)
    assert caught.value.errno == errno.EBADF


def test_an_open_file_keeps_the_descriptor(socket):
    sock = socket.socket()
    fd = sock.fileno()
    first, second = sock.makefile("rb"), sock.makefile("wb", buffering=0)
    sock.close()
    assert is_open(fd) and sock.fileno() == fd
    assert " [closed] " in repr(sock)
    first.close()
    assert is_open(fd)
    second.close()
    assert not is_open(fd) and sock.fileno() == -1
    first.close()


def test_a_file_does_not_close_an_open_socket(socket):
    with socket.socket() as sock:
        sock.makefile("rb").close()
        assert is_open(sock.fileno())


def test_module_close(socket):
    sock = socket.socket()
    socket.close(sock.fileno())
    with pytest.raises(OSError) as caught:
        sock.close()  # the kernel's word on a number that was closed elsewhere
    assert caught.value.errno == errno.EBADF
    assert sock.fileno() == -1
    sock.close()


def test_close_of_a_connection_that_was_reset(socket, tcp_pair):
    client, server = tcp_pair
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      (1).to_bytes(4, sys.byteorder) + bytes(4))
    server.close()
    assert client.close() is None


def test_closed_from_another_thread(socket):
    # Closing wakes nobody; whoever comes later is told. A thread that may be in
    # the call or not yet in it ends by what the peer does, or by EBADF.
    a, b = socket.socketpair()
    results = []
    started = threading.Event()

    def work():
        for _ in range(2):
            started.set()
            try:
                results.append(a.recv(1))
            except OSError as error:
                results.append(error.errno)

    # A second descriptor keeps the connection open when the first is closed.
    with a.dup(), b:
        thread = threading.Thread(target=work)
        thread.start()
        assert started.wait(TIMEOUT_S)
        a.close()
        b.sendall(b"x")
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
    assert results[0] in (b"x", errno.EBADF)
    assert results[1] == errno.EBADF


@pytest.mark.skipif(not LINUX, reason="SHUT_RDWR wakes an accept on Linux")
def test_shutdown_wakes_another_threads_call(socket, pair):
    a, b = pair
    results = []
    thread = threading.Thread(target=lambda: results.append(a.recv(1)))
    thread.start()
    a.shutdown(socket.SHUT_RDWR)
    thread.join(TIMEOUT_S)
    assert results == [b""]


def test_shutdown(socket, pair):
    a, b = pair
    a.shutdown(socket.SHUT_WR)
    assert b.recv(9) == b""
    b.sendall(b"x")
    assert a.recv(9) == b"x"
    a.shutdown(socket.SHUT_RD)
    with pytest.raises(BrokenPipeError):
        b.sendall(b"x")
    with socket.socket() as sock, pytest.raises(OSError) as caught:
        sock.shutdown(socket.SHUT_RDWR)
    assert caught.value.errno == errno.ENOTCONN
    with pytest.raises(OSError) as caught:
        a.shutdown(9)
    assert caught.value.errno == errno.EINVAL


# -- the collector -----------------------------------------------------------------

def test_weakref(socket):
    a, b = socket.socketpair()
    with a, b:
        reference = weakref.ref(b)
        assert reference() is b
    del b
    gc.collect()
    assert reference() is None


# -- what it looks like --------------------------------------------------------------

def test_repr(socket):
    name = "socket.socket"  # as in the ResourceWarning, which contains it
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fd = sock.fileno()
        start = f"<{name} fd={fd}, family={sock.family}, type={sock.type}, proto=0"
        assert repr(sock) == str(sock) == start + ", laddr=('0.0.0.0', 0)>"
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert repr(sock) == f"{start}, laddr=('127.0.0.1', {port})>"
        sock.connect(("127.0.0.1", 9))
        assert repr(sock) == (f"{start}, laddr=('127.0.0.1', {port}), "
                              "raddr=('127.0.0.1', 9)>")
    assert repr(sock) == (f"<{name} [closed] fd=-1, family={sock.family}, type={sock.type}, "
                          "proto=0>")


def test_repr_of_other_objects(socket, pair):
    class Own(socket.socket):
        pass

    assert ", laddr=" not in repr(pair[0])  # unnamed
    with Own() as own:
        assert repr(own).startswith(f"<{__name__}.{Own.__qualname__} fd=")
    assert repr(Own.__new__(Own)).startswith(f"<{__name__}.{Own.__qualname__} fd=-1, family=")


def test_equality_is_identity(pair):
    a, b = pair
    with a.dup() as copied:
        assert a == a and a != b and a != copied
        assert len({a, b, copied}) == 3


def test_pickling_is_refused(socket):
    with socket.socket() as sock:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            # The oldest two protocols don't ask __getstate__ and have another text.
            text = "^cannot pickle 'socket' object" if protocol > 1 else "'socket' object"
            with pytest.raises(TypeError, match=text):
                pickle.dumps(sock, protocol)


def test_copying_is_refused(socket):
    with socket.socket() as sock:
        for operation in (copy.copy, copy.deepcopy, lambda sock: sock.__getstate__()):
            with pytest.raises(TypeError, match="^cannot pickle 'socket' object"):
                operation(sock)


def test_no_new_attributes(socket):
    with socket.socket() as sock:
        with pytest.raises(AttributeError):
            sock.something = 1
        assert not hasattr(sock, "__dict__")
        for name in ("family", "type", "proto", "timeout"):
            with pytest.raises(AttributeError):
                setattr(sock, name, 1)
