"""How many system calls an operation makes, counted by strace(1)."""

import pytest

from tests.tracing import ACCEPT, SOCKET, SOCKETPAIR, WAIT

CONNECTED = """server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())"""
PAIR = "a, b = socket.socketpair()"


def test_the_marks_are_found(calls_of):
    # What would be wrong if every list below were empty.
    assert calls_of(PAIR, "a.getsockname()") == ["getsockname"]


@pytest.mark.parametrize("timeout, expected", [
    ("None", ACCEPT), ("0", ACCEPT), ("20", ["poll", *ACCEPT])])
def test_accept(calls_of, timeout, expected):
    # The object asks the kernel nothing that the listener or accept4(2) told.
    setup = f"{CONNECTED}\nserver.settimeout({timeout})"
    if timeout == "0":
        setup += "\nimport select\nselect.select([server], [], [])"
    assert calls_of(setup, "result = server.accept()") == expected


def test_accept_with_a_default_timeout(calls_of):
    setup = f"{CONNECTED}\nsocket.setdefaulttimeout(20)"
    assert calls_of(setup, "result = server.accept()") == [*ACCEPT, "ioctl"]


def test_socketpair(calls_of):
    assert calls_of("", "pair = socket.socketpair()") == SOCKETPAIR


def test_socket(calls_of):
    assert calls_of("", "sock = socket.socket()") == SOCKET
    assert calls_of("sock = socket.socket()", "sock.close()") == ["close"]


@pytest.mark.parametrize("operation, expected", [
    ("a.send(b'x')", ["sendto"]), ("a.sendall(b'x')", ["sendto"]),
    ("a.sendmsg([b'x', b'y'])", ["sendmsg"]), ("b.recv(9)", ["recvfrom"]),
    ("b.recv(0)", []), ("b.recv_into(bytearray(9))", ["recvfrom"]),
    ("b.recv_into(bytearray())", []), ("b.recvfrom(9)", ["recvfrom"]),
    ("b.recvmsg(9)", ["recvmsg"]), ("b.recvmsg_into([bytearray(9)])", ["recvmsg"]),
    ("a.settimeout(5)", ["ioctl"]), ("a.setblocking(True)", ["ioctl"]),
    ("a.shutdown(2)", ["shutdown"]), ("a.getsockopt(1, 3)", ["getsockopt"]),
    ("a.setsockopt(1, 2, 1)", ["setsockopt"]),
    ("(a.family, a.type, a.proto, a.fileno(), a.gettimeout(), a.getblocking())", [])])
def test_one_call_is_one_system_call(calls_of, operation, expected):
    assert calls_of(f"{PAIR}\na.send(b'data')", operation) == expected


@pytest.mark.parametrize("operation, expected", [
    ("a.send(b'x')", ["sendto"]), ("b.recv(9)", ["recvfrom"]),
    ("a.sendmsg([b'x'])", ["sendmsg"]), ("b.recvmsg(9)", ["recvmsg"])])
def test_a_timeout_adds_no_call_where_data_is_there(calls_of, operation, expected):
    setup = f"{PAIR}\na.send(b'data')\na.settimeout(20)\nb.settimeout(20)"
    assert calls_of(setup, operation) == [*WAIT, *expected]


def test_numbers_are_not_looked_up(calls_of):
    # sendto() and connect() of a host that is a number: no file of the resolver's.
    setup = "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
    assert calls_of(setup, "udp.sendto(b'x', ('127.0.0.1', 9))") == ["sendto"]
    assert calls_of(setup, "udp.connect(('127.0.0.1', 9))") == ["connect"]
    assert calls_of(setup, "udp.bind(('', 0))") == ["bind"]
