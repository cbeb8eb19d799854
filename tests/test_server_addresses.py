"""Where a server listens: addresses of all kinds, sockets that are given, systemd's, and
arguments that are refused.
"""

import errno
import gc
import json
import os
import re
import socket as stdlib_socket
import ssl
import sys

import pytest

import fastsock
from tests.conftest import IMPLEMENTATIONS, no_fd_free, requires_facility, requires_ipv6
from tests.network import has_ipv6
from tests.protocol_servers import Recording, read_exactly

LOCAL = ("127.0.0.1", 0)


class Echo(Recording):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)




def check(server, address=None):
    """A client is served there."""
    client = server.connect(address)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    return client


def test_ipv4(serve_ours):
    server = serve_ours(Echo)
    host, port = server.address
    assert host == "127.0.0.1" and port > 0 and server.server.addresses == [(host, port)]
    assert isinstance(server.server.sockets[0], fastsock.socket)
    assert not os.get_inheritable(server.server.sockets[0].fileno())
    check(server)


@requires_ipv6
@pytest.mark.parametrize("address", [("::1", 0), ("::1", 0, 0, 0)], ids=str)
def test_ipv6(serve_ours, address):
    server = serve_ours(Echo, address=address)
    client = check(server)
    peername = server.call(server.protocol().transport.get_extra_info, "peername")
    assert peername == client.getsockname() and len(peername) == 4


@pytest.mark.parametrize("absent_first", [False, True])
def test_a_name_of_which_one_address_is_absent(serve_ours, monkeypatch, absent_first):
    # As localhost is, where IPv6 is switched off.
    hosts = ["127.0.0.1", "192.0.2.1"]  # the second is for documentation: RFC 5737
    resolve = stdlib_socket.getaddrinfo
    monkeypatch.setattr(stdlib_socket, "getaddrinfo", lambda name, *arguments, **keywords: [
        found for host in sorted(hosts, reverse=absent_first)
        for found in resolve(host, *arguments, **keywords)])
    server = serve_ours(Echo, address=("a.name", 0))
    assert [host for host, port in server.server.addresses] == ["127.0.0.1"]
    check(server)
    hosts.remove("127.0.0.1")
    with pytest.raises(OSError, match="can't listen on .'192.0.2.1', 0.: Cannot assign"):
        fastsock.Server(Echo, ("a.name", 0))


@pytest.mark.parametrize("family, type, proto", [
    (9999, stdlib_socket.SOCK_STREAM, 0),           # EAFNOSUPPORT
    pytest.param(stdlib_socket.AF_INET, stdlib_socket.SOCK_STREAM, stdlib_socket.IPPROTO_UDP,
                 marks=pytest.mark.skipif(sys.platform != "linux", reason="EPROTOTYPE there"))],
    ids=["family", "protocol"])
def test_a_family_or_protocol_that_is_not_there(serve_ours, monkeypatch, family, type, proto):
    # The resolver names what this kernel was built without: the rest is listened on.
    resolve = stdlib_socket.getaddrinfo
    absent = (family, type, proto, "", ("127.0.0.1", 0))
    monkeypatch.setattr(stdlib_socket, "getaddrinfo", lambda *arguments, **keywords: [
        absent, *resolve(*arguments, **keywords)])
    server = serve_ours(Echo)
    assert [host for host, port in server.server.addresses] == ["127.0.0.1"]
    check(server)
    monkeypatch.setattr(stdlib_socket, "getaddrinfo", lambda *_, **__: [absent])
    with pytest.raises(OSError, match="not supported"):
        fastsock.Server(Echo, LOCAL)


def test_a_host_that_is_a_name(serve_ours):
    server = serve_ours(Echo, address=("localhost", 0))
    assert len({address[1] for address in server.server.addresses}) == 1
    for address in server.server.addresses:
        check(server, address)


@pytest.mark.parametrize("host", ["", None])
def test_all_addresses_of_the_machine(serve_ours, host):
    server = serve_ours(Echo, address=(host, 0))
    ports = {address[1] for address in server.server.addresses}
    assert len(ports) == 1 and "0.0.0.0" in {one[0] for one in server.server.addresses}
    check(server, ("127.0.0.1", *ports))
    if has_ipv6():
        assert len(server.server.addresses) == 2
        check(server, ("::1", *ports))


@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_a_path(serve_ours, tmp_path, kind):
    path = tmp_path / "socket"
    server = serve_ours(Echo, address=kind(str(path)))
    assert path.is_socket() and server.server.addresses == [str(path)]
    check(server)
    protocol = server.protocol()
    assert server.call(protocol.transport.get_extra_info, "peername") == ""
    assert server.call(protocol.transport.get_extra_info, "sockname") == str(path)
    server.server.close()
    assert not path.exists()


def test_a_peer_with_a_path(serve_ours, tmp_path):
    server = serve_ours(Echo, address=str(tmp_path / "socket"))
    own = str(tmp_path / "a-name-of-a-client")  # longer than an address of IPv6
    with stdlib_socket.socket(stdlib_socket.AF_UNIX) as client:
        client.bind(own)
        client.connect(server.address)
        protocol = server.protocol()
        assert server.call(protocol.transport.get_extra_info, "peername") == own


@requires_facility("abstract_addresses")
@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_an_abstract_address(serve_ours, kind):
    server = serve_ours(Echo, address=kind(f"\0fastsock-test-{os.getpid()}"))
    assert server.address == b"\0fastsock-test-%d" % os.getpid()
    check(server)


def test_several_addresses(serve_ours, tmp_path):
    path = str(tmp_path / "socket")
    server = serve_ours(Echo, address=[LOCAL, path, LOCAL])
    assert len(server.server.addresses) == 3 and path in server.server.addresses
    for address in server.server.addresses:
        check(server, address)


def test_reuse_port(serve_ours):
    server = serve_ours(Echo, reuse_port=True)
    with fastsock.Server(Echo, server.address, reuse_port=True) as second:
        assert second.addresses == [server.address]
    with pytest.raises(OSError):
        fastsock.Server(Echo, server.address)


# -- sockets that are given -----------------------------------------------------------------

@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("listens", [True, False])
def test_a_socket(serve_ours, implementation, listens):
    socket = IMPLEMENTATIONS[implementation]
    given = socket.socket()
    given.bind(LOCAL)
    if listens:
        given.listen()
    server = serve_ours(Echo, sock=given)
    assert server.address == given.getsockname()
    check(server)
    server.server.close()
    assert given.fileno() == -1  # it was the server's


def test_several_sockets(serve_ours, tmp_path):
    path = tmp_path / "socket"
    sockets = [stdlib_socket.create_server(LOCAL), fastsock.create_server(LOCAL),
               stdlib_socket.socket(stdlib_socket.AF_UNIX)]
    sockets[2].bind(str(path))
    server = serve_ours(Echo, sock=sockets)
    assert len(server.server.addresses) == 3
    for address in server.server.addresses:
        check(server, address)
    server.server.close()
    assert path.is_socket()  # whoever bound it removes it


def test_sockets_of_systemd(python):
    code = """
import fastsock, json, os, socket, sys, threading
listener, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
addresses = [listener.getsockname(), other.getsockname()]
# As the descriptors 3 and 4, whatever was there.
kept = [os.dup(listener.fileno()), os.dup(other.fileno())]
listener.detach(), other.detach()
os.dup2(kept[0], 3), os.dup2(kept[1], 4)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="a:b")

class Protocol:
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()
    def connection_lost(self, error):
        pass

with fastsock.Server(Protocol) as server:
    assert server.addresses == addresses, server.addresses
    assert not os.get_inheritable(3) and not os.get_inheritable(4)
    assert not [name for name in os.environ if name.startswith("LISTEN_")]
    answers = []
    def ask():
        for address in addresses:
            with socket.create_connection(address, 20) as client:
                answers.append(client.recv(5).decode())
        server.shutdown()
    thread = threading.Thread(target=ask)
    thread.start()
    server.serve_forever()
    thread.join()
print(json.dumps(answers))
"""
    assert json.loads(python(code=code).stdout) == ["hello", "hello"]


@pytest.mark.parametrize("environment", [
    {}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
    {"LISTEN_FDS": "0", "LISTEN_PID": "own"}], ids=str)
def test_nothing_of_systemds(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    with pytest.raises(ValueError, match="nothing to listen on"):
        fastsock.Server(Echo)


# -- what is refused -------------------------------------------------------------------------

def test_a_port_in_use(listener):
    address = listener.getsockname()
    with pytest.raises(OSError, match=re.escape(repr(address))):
        fastsock.Server(Echo, address)
    with pytest.raises(OSError):  # the first one is closed again
        fastsock.Server(Echo, [LOCAL, address])


@pytest.mark.parametrize("given", ["address", "sock"])
def test_no_descriptor_left(given):
    # For a listener; or, of a server that was given one, for its loop.
    sock = stdlib_socket.create_server(LOCAL)
    with sock:
        with no_fd_free(), pytest.raises(OSError) as caught:
            fastsock.Server(Echo, **{"address": {"address": LOCAL}, "sock": {"sock": sock}}[given])
        assert caught.value.errno == errno.EMFILE
        assert (sock.fileno() < 0) == (given == "sock")  # it belongs to the server, that failed


ARGUMENTS = [
    (dict(address=5), TypeError, "5"), (dict(address=("127.0.0.1",)), TypeError, "127.0.0.1"),
    (dict(address=("127.0.0.1", 0, 0, 0, 0)), TypeError, "127.0.0.1"),
    (dict(address=[LOCAL, 5]), TypeError, "5"), (dict(address={"a": 1}), TypeError, "'a'"),
    (dict(address=("127.0.0.1", 99999)), OverflowError, "99999"),
    (dict(address=("127.0.0.1", -1)), OverflowError, "-1"),
    (dict(address="/no/such/folder/socket"), OSError, "/no/such/folder/socket"),
    (dict(address="x" * 300), OSError, "xxx"),
    (dict(address="\0\ud800"), UnicodeEncodeError, "surrogates"),
    (dict(address=("no such host.invalid", 0)), OSError, ""),
    (dict(address=[]), ValueError, "nothing to listen on"),
    (dict(sock=[]), ValueError, "nothing to listen on"),
    (dict(sock=5), TypeError, "'int'"), (dict(sock=[5]), TypeError, "'int'"),
    (dict(max_connections=0), ValueError, "max_connections must be above 0, not 0"),
    (dict(max_connections=-1), ValueError, "-1"), (dict(max_connections="many"), TypeError, "many"),
    (dict(max_connections=1.5), TypeError, "max_connections"), (dict(max_connections=1 << 80), OverflowError, "max_con"),
    (dict(write_high_water=0), ValueError, "write_high_water must be above 0, not 0"),
    (dict(write_high_water="x"), TypeError, "x"),
    (dict(write_high_water=1 << 80), OverflowError, "write_high_water must be at most"),
    (dict(backlog=0), ValueError, "backlog must be above 0, not 0"),
    (dict(backlog=1.5), TypeError, "backlog must be an int, above 0, not 1.5 (float)"),
    (dict(unix_mode="660"), TypeError, "unix_mode must be an int, 0 to 0o777, not '660' (str)"),
    (dict(backlog=1 << 31), OverflowError, "backlog must be at most 2147483647, not 2147483648"),
    (dict(unix_mode=None), TypeError, "not None"), (dict(unix_mode=6.0), TypeError, "6.0 (float)"),
    (dict(unix_mode=0o10660), ValueError, "unix_mode must be 0 to 0o777, not 0o10660"),
    (dict(unix_mode=-1), ValueError, "not -0o1"),
    (dict(idle_timeout=0), ValueError, "idle_timeout must be above 0, not 0"),
    (dict(idle_timeout=-1.5), ValueError, "-1.5"),
    (dict(idle_timeout=float("nan")), ValueError, "nan"),
    (dict(idle_timeout="long"), TypeError, "long"),
    (dict(ssl_handshake_timeout=0), ValueError, "ssl_handshake_timeout must be above 0, not 0"),
    (dict(ssl_handshake_timeout=float("nan")), ValueError, "nan"),
    (dict(busy_poll_us=-1), ValueError, "-1"), (dict(busy_poll_us=1_000_001), ValueError, "1000001"),
    (dict(busy_poll_us="x"), TypeError, "busy_poll_us must be an int, 0 to 1,000,000"),
    (dict(ssl_context=True), TypeError, "ssl_context must be an ssl.SSLContext, not 'bool'"),
    (dict(make_connection=print), TypeError, "make_connection"),
    (dict(make_protocol=print), TypeError, "make_protocol"),
    (dict(no_such_option=1), TypeError, "no_such_option"),
]


@pytest.mark.parametrize("options, error, text", ARGUMENTS,
                         ids=[str(options)[:50] for options, _, _ in ARGUMENTS])
@pytest.mark.filterwarnings("error")
def test_arguments_that_are_refused(options, error, text):
    if "sock" not in options:
        options = {"address": LOCAL, **options}
    with pytest.raises(error) as caught:
        fastsock.Server(Echo, **options)
    assert text in str(caught.value)
    del caught
    gc.collect()  # nothing that was opened is left to the collector: it would warn


def test_a_loop_whose_arguments_are_refused_closes_nothing():
    from fastsock._loop import Loop
    before = os.fstat(0)
    with pytest.raises(TypeError):
        Loop(1)
    with pytest.raises(TypeError):
        Loop(use_epoll=True)
    assert os.path.samestat(os.fstat(0), before)


def test_both_an_address_and_a_socket(listener):
    with pytest.raises(ValueError, match="not both"):
        fastsock.Server(Echo, LOCAL, sock=listener)


@pytest.mark.parametrize("factory", [None, 5, "Echo", Echo()],
                         ids=["None", "number", "text", "protocol"])
def test_factories_that_are_refused(factory):
    text = f"protocol_factory must be callable, not '{type(factory).__name__}'"
    with pytest.raises(TypeError, match=text):
        fastsock.Server(factory, LOCAL)


def test_sockets_that_are_refused(tmp_path):
    with stdlib_socket.socket(type=stdlib_socket.SOCK_DGRAM) as udp:
        with pytest.raises(ValueError, match="SOCK_DGRAM"):
            fastsock.Server(Echo, sock=udp)
        assert udp.fileno() >= 0
    with stdlib_socket.create_server(LOCAL) as plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with context.wrap_socket(plain, server_side=True) as secure:
            with pytest.raises(TypeError, match="SSLSocket"):
                fastsock.Server(Echo, sock=secure)
    a, b = stdlib_socket.socketpair()
    with a, b, pytest.raises(OSError):
        fastsock.Server(Echo, sock=a)
    with stdlib_socket.socket() as closed:
        closed.close()
        with pytest.raises(OSError):
            fastsock.Server(Echo, sock=closed)


def test_a_server_that_is_dropped_leaves_no_pipe():
    # Its sockets warn, as any does; what nobody sees is given back all the same.
    server = fastsock.Server(Echo, LOCAL)
    for one in server.sockets:
        one.close()
    del server, one
    gc.collect()  # and the guard for file descriptors looks
