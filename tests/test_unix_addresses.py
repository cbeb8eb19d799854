"""Addresses of AF_UNIX: paths of every form and length, abstract names, no names."""

import errno
import os
import sys

import pytest

from tests.conftest import TIMEOUT_S, requires_facility


@pytest.fixture
def local(socket):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        yield sock


@pytest.mark.parametrize("form", [str, os.fsencode, lambda path: bytearray(os.fsencode(path)),
                                  lambda path: memoryview(os.fsencode(path))],
                         ids=["str", "bytes", "bytearray", "memoryview"])
def test_unix_paths(socket, local, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)  # the path of tmp_path itself may be too long
    local.bind(form("name"))
    assert local.getsockname() == "name"
    assert os.path.exists("name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.connect(form("name"))
        assert peer.getpeername() == "name"
        peer.send(b"x")
        assert local.recvfrom(9) == (b"x", None)  # from a socket without a name
        peer.sendto(b"y", form("name"))
        assert local.recvmsg(9) == (b"y", [], 0, None)


@pytest.mark.parametrize("name", ["\u00e4\u20ac", "a b\n", "\udcff\udc80", b"\xff\xfe",
                                  b"\xe4"])
def test_unix_names_that_are_not_ascii(local, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    local.bind(name)
    assert local.getsockname() == os.fsdecode(name)
    assert os.listdir(os.fsencode(".")) == [os.fsencode(name)]


def test_unix_names_that_have_no_bytes(local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnicodeEncodeError):
        local.bind("\ud800")
    assert os.listdir() == []


def test_unix_path_of_107_bytes(socket, local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = "p" * 107
    local.bind(path)
    assert local.getsockname() == path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.connect(path.encode())
        assert peer.getpeername() == path


def test_unix_paths_that_are_too_long(local):
    for path in ["p" * 108, b"p" * 108, "p" * 5000, "\u20ac" * 36,
                 b"\0" * 109, "\0" + "a" * 108]:
        for call in (local.bind, local.connect, local.connect_ex):
            with pytest.raises(OSError, match="^AF_UNIX path too long$") as caught:
                call(path)
            assert type(caught.value) is OSError and caught.value.errno is None


def test_unix_addresses_of_another_type(local):
    for address in [None, 1, ("name",), ["name"], 1.0, object()]:
        for method in (local.bind, local.connect, local.connect_ex):
            with pytest.raises(TypeError):
                method(address)


@requires_facility("abstract_addresses")
@pytest.mark.parametrize("name", [
    b"\0fastsock-test-%d", b"\0fastsock\0test\0%d", b"\0fastsock-\xff-%d"])
def test_abstract_addresses(socket, local, name):
    name = name % os.getpid()
    local.bind(name)
    assert local.getsockname() == name and type(local.getsockname()) is bytes
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(b"\0fastsock-peer-%d" % os.getpid())
        peer.connect(os.fsdecode(name))
        assert peer.getpeername() == name
        peer.send(b"x")
        assert local.recvfrom(9) == (b"x", peer.getsockname())


@requires_facility("abstract_addresses")
def test_abstract_address_of_108_bytes(local):
    name = b"\0fastsock-%d-" % os.getpid()
    name += b"n" * (108 - len(name))
    local.bind(bytearray(name))
    assert local.getsockname() == name
    local.connect(name)
    assert local.getpeername() == name


@requires_facility("abstract_addresses")
@pytest.mark.parametrize("empty", ["", b"", bytearray()])
def test_an_empty_address_chooses_a_name(local, empty):
    local.bind(empty)
    name = local.getsockname()
    assert type(name) is bytes and len(name) == 6 and name[0] == 0  # unix(7), autobind


def test_a_nul_inside_a_path_ends_it(local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    local.bind(b"name\0rest")
    assert os.listdir() == ["name"]
    assert local.getsockname() == "name"


def test_unix_sockets_without_a_name(socket, pair):
    a, b = pair
    assert a.getsockname() == a.getpeername() == b.getsockname() == ""
    b.sendall(b"x")
    assert a.recvfrom(9) == (b"x", None)
    with socket.socket(socket.AF_UNIX) as alone:
        assert alone.getsockname() == ""
        with pytest.raises(OSError) as caught:
            alone.getpeername()
        assert caught.value.errno == errno.ENOTCONN


def test_unix_accept_gives_the_clients_name(socket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client, \
            socket.socket(socket.AF_UNIX) as unnamed:
        server.settimeout(TIMEOUT_S)
        server.bind("server")
        server.listen()
        client.bind("client")
        client.connect("server")
        accepted, address = server.accept()
        with accepted:
            assert address == accepted.getpeername() == "client"
            assert accepted.getsockname() == "server"
        unnamed.connect("server")
        accepted, address = server.accept()
        with accepted:
            assert address == accepted.getpeername() == ""


@pytest.mark.parametrize("path, number", [("missing", errno.ENOENT), ("", errno.ECONNREFUSED),
                                          ("file", errno.ECONNREFUSED)])
def test_unix_connect_errors(local, tmp_path, monkeypatch, path, number):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if path == "" and sys.platform != "linux":
        pytest.skip("only Linux has abstract addresses")
    with pytest.raises(OSError) as caught:
        local.connect(path)
    assert caught.value.errno in (number, errno.EINVAL if path == "" else number)
    assert local.connect_ex(path) == caught.value.errno
