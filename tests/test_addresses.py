"""Socket addresses: every form of AF_INET and AF_INET6, and families that are not ours.

Also what the kernel hands back, in each of the calls that return an address.
"""

import errno
import socket as stdlib_socket
import sys

import pytest

from tests.conftest import TIMEOUT_S, requires_ipv6
from tests.network import link_local_address

LOOPBACK = "127.0.0.1"


requires_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


@pytest.fixture
def udp(socket):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        yield sock


@pytest.fixture
def udp6(socket):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        yield sock


# -- AF_INET -----------------------------------------------------------------

@pytest.mark.parametrize("host, bound", [
    ("127.0.0.1", "127.0.0.1"), (b"127.0.0.1", "127.0.0.1"),
    (bytearray(b"127.0.0.1"), "127.0.0.1"), ("localhost", "127.0.0.1"),
    (b"localhost", "127.0.0.1"), (bytearray(b"localhost"), "127.0.0.1"),
    ("", "0.0.0.0"), (b"", "0.0.0.0"), (bytearray(), "0.0.0.0"), ("0.0.0.0", "0.0.0.0"),
    ("127.1", "127.0.0.1"), ("0x7f000001", "127.0.0.1"), ("2130706433", "127.0.0.1"),
    ("127.0.0.2", "127.0.0.2"), ("<broadcast>", "255.255.255.255"),
    ("255.255.255.255", "255.255.255.255"), (b"<broadcast>", "255.255.255.255"),
])
def test_inet_hosts(udp, host, bound):
    udp.bind((host, 0))
    found, port = udp.getsockname()
    assert found == bound and type(found) is str
    assert 0 < port < 65536


def test_inet_broadcast_needs_permission(socket, udp):
    for host in ("<broadcast>", "255.255.255.255"):
        with pytest.raises(PermissionError) as caught:
            udp.connect((host, 9))
        assert caught.value.errno == errno.EACCES
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    try:
        udp.connect(("<broadcast>", 9))
    except OSError as error:
        assert error.errno == errno.ENETUNREACH  # no network to broadcast to
    else:
        assert udp.getpeername() == ("255.255.255.255", 9)


def test_inet_any_host_connects_to_loopback(listener, socket):
    with socket.socket() as client:
        client.settimeout(TIMEOUT_S)
        client.connect(("", listener.getsockname()[1]))
        assert client.getpeername() == listener.getsockname()


def test_bad_inet_hosts(udp):
    for host, exception in [
        ("a\0b", TypeError), (b"a\0b", TypeError), ("127.0.0.1\0", TypeError),
        ("\u20ac\0", TypeError), ("x" * 70 + "\u20ac", TypeError),
        ("\u20ac..\u20ac", TypeError),
        ("\udcff", TypeError), (None, TypeError), (1, TypeError),
        (memoryview(b"127.0.0.1"), TypeError), (1.0, TypeError), (["127.0.0.1"], TypeError),
        (("127.0.0.1",), TypeError), ("::1", stdlib_socket.gaierror),
        ("256.0.0.0x", stdlib_socket.gaierror), ("127.0.0.1 x", stdlib_socket.gaierror),
        (b"\xff\xfe", stdlib_socket.gaierror),
    ]:
        for call in (udp.bind, udp.connect, udp.connect_ex, lambda it: udp.sendto(b"x", it)):
            with pytest.raises(exception) as caught:
                call((host, 9))
            assert type(caught.value) is exception


def test_host_of_a_str_subclass(udp):
    class Host(str):
        pass

    udp.bind((Host("127.0.0.1"), 0))
    assert udp.getsockname()[0] == LOOPBACK


def test_host_that_is_idna(udp):
    # Fullwidth digits are digits by IDNA's normalisation: no name to be asked for.
    udp.bind(("\uff11\uff12\uff17.0.0.1", 0))
    assert udp.getsockname()[0] == LOOPBACK


def test_ports_out_of_range(udp):
    for port in [-1, 65536, 2**31 - 1, 2**31, -2**31 - 1, 2**64, -2**70]:
        for method in ("bind", "connect", "connect_ex", "sendto"):
            arguments = (b"x",) if method == "sendto" else ()
            with pytest.raises(OverflowError) as caught:
                getattr(udp, method)(*arguments, (LOOPBACK, port))
            assert str(caught.value) == f"{method}(): port must be 0-65535."


def test_ports_of_another_type(udp):
    for port in ["80", None, 80.0, b"80", (), "http"]:
        with pytest.raises(TypeError):
            udp.bind((LOOPBACK, port))


def test_port_is_an_index(udp):
    class Port:
        def __index__(self):
            return 9

    udp.connect((LOOPBACK, Port()))
    assert udp.getpeername() == (LOOPBACK, 9)
    udp.connect((LOOPBACK, True))
    assert udp.getpeername() == (LOOPBACK, 1)


@pytest.mark.parametrize("port", [1, 65535])
def test_ports_at_the_ends(udp, port):
    udp.connect((LOOPBACK, port))
    assert udp.getpeername() == (LOOPBACK, port)


def test_inet_addresses_are_pairs(udp):
    for address in [
        [LOOPBACK, 9], LOOPBACK, b"127.0.0.1", None, 9, (), (LOOPBACK,), (LOOPBACK, 9, 0),
        {LOOPBACK: 9, 9: 9}, (LOOPBACK, 9, 0, 0)]:
        for call in (udp.bind, udp.connect, udp.connect_ex):
            with pytest.raises(TypeError):
                call(address)


def test_inet_address_of_a_tuple_subclass(udp):
    class Address(tuple):
        pass

    udp.bind(Address((LOOPBACK, 0)))
    assert udp.getsockname()[0] == LOOPBACK


def test_the_host_is_judged_before_the_range_of_the_port(socket, udp):
    for port in (65536, 2**40, "80"):  # 2**40 is not even a C int
        with pytest.raises(TypeError, match="^str, bytes or bytearray expected, not NoneType$"):
            udp.bind((None, port))
    for port, exception in [(65536, socket.gaierror), (2**40, OverflowError),
                            ("80", TypeError)]:
        with pytest.raises(exception):
            udp.bind(("::1", port))


def test_every_call_gives_the_same_address(socket, udp, listener):
    udp.bind((LOOPBACK, 0))
    name = udp.getsockname()
    assert type(name) is tuple and type(name[1]) is int
    udp.sendto(b"x", name)
    assert udp.recvfrom(9) == (b"x", name)
    udp.sendto(b"x", name)
    assert udp.recvfrom_into(bytearray(9)) == (1, name)
    udp.sendmsg([b"x"], [], 0, name)
    assert udp.recvmsg(9) == (b"x", [], 0, name)
    udp.sendto(b"x", 0, name)
    assert udp.recvmsg_into([bytearray(9)]) == (1, [], 0, name)
    with socket.create_connection(listener.getsockname(), TIMEOUT_S) as client:
        server, address = listener.accept()
        with server:
            assert address == client.getsockname() == server.getpeername()
            assert server.getsockname() == client.getpeername() == listener.getsockname()
            # A stream's data comes without an address.
            client.sendall(b"x")
            assert server.recvfrom(9) == (b"x", None)
            client.sendall(b"x")
            assert server.recvfrom_into(bytearray(9)) == (1, None)
            client.sendall(b"x")
            assert server.recvmsg(9) == (b"x", [], 0, None)


def test_unconnected_has_no_peer(udp):
    assert udp.getsockname() == ("0.0.0.0", 0)
    with pytest.raises(OSError) as caught:
        udp.getpeername()
    assert caught.value.errno == errno.ENOTCONN


# -- AF_INET6 ----------------------------------------------------------------

@requires_ipv6
@pytest.mark.parametrize("address, bound", [
    (("::1", 0), ("::1", 0, 0)), (("::1", 0, 0), ("::1", 0, 0)),
    (("::1", 0, 0, 0), ("::1", 0, 0)), (("", 0), ("::", 0, 0)), ((b"::1", 0), ("::1", 0, 0)),
    ((bytearray(b"::1"), 0), ("::1", 0, 0)), (("::", 0), ("::", 0, 0)),
    (("0:0:0:0:0:0:0:1", 0), ("::1", 0, 0)),
    (("::ffff:127.0.0.1", 0), ("::ffff:127.0.0.1", 0, 0)),
])
def test_inet6_hosts(udp6, address, bound):
    udp6.bind(address)
    host, port, flowinfo, scope_id = udp6.getsockname()
    assert (host, flowinfo, scope_id) == bound
    assert port > 0


@requires_ipv6
def test_bad_inet6_addresses(udp6):
    for address, exception in [
        (("::1",), TypeError), (("::1", 9, 0, 0, 0), TypeError), (["::1", 9], TypeError),
        ("::1", TypeError), (("::1", "9"), TypeError), (("::1", 9, "0"), TypeError),
        (("::1", 9, None), TypeError), (("::1", 9, 0, None), TypeError),
        (("::1", 9, 0.0), TypeError),
        (("::1", 9, 0, "lo"), TypeError), (("::1\0", 9), TypeError), ((None, 9), TypeError),
        (("::1", -1), OverflowError), (("::1", 65536), OverflowError),
        (("::1", 9, 0x100000), OverflowError), (("::1", 9, 0xffffffff), OverflowError),
        (("::1", 9, -1), OverflowError), (("<broadcast>", 9), OSError),
        (("255.255.255.255", 9), OSError), (("::g", 9), stdlib_socket.gaierror),
        (("::1%nosuchinterface", 9), stdlib_socket.gaierror),
        (("1.2.3.4.5", 9), stdlib_socket.gaierror),
    ]:
        for call in (udp6.bind, udp6.connect, udp6.connect_ex):
            with pytest.raises(exception) as caught:
                call(address)
            assert type(caught.value) is exception


@requires_ipv6
def test_flowinfo_at_its_end(udp6):
    udp6.connect(("::1", 9, 0xfffff))
    host, port, flowinfo, scope_id = udp6.getpeername()
    assert (host, port, scope_id) == ("::1", 9, 0)
    assert flowinfo in (0, 0xfffff)  # kept only with IPV6_FLOWINFO_SEND


@requires_ipv6
@requires_linux
def test_flowinfo_arrives(udp6):
    ipv6_flowinfo, ipv6_flowinfo_send = 11, 33  # <linux/in6.h>; Python has no names
    udp6.bind(("::1", 0))
    udp6.setsockopt(41, ipv6_flowinfo_send, 1)
    udp6.setsockopt(41, ipv6_flowinfo, 1)
    udp6.connect(("::1", udp6.getsockname()[1], 0x12345))
    assert udp6.getpeername()[2] == 0x12345


@requires_ipv6
@requires_linux
@pytest.mark.parametrize("method", ["bind", "connect"])
def test_scope_ids_come_from_the_tuple(udp6, method):
    # Of a link-local address: the kernel refuses one without a scope (EINVAL), and
    # the zone in the host alone does not give it one.
    call = getattr(udp6, method)
    for host in ("fe80::1234", "fe80::1234%lo"):
        with pytest.raises(OSError) as caught:
            call((host, 9999))
        assert caught.value.errno == errno.EINVAL


@requires_ipv6
@requires_linux
def test_a_scope_id_is_kept(udp6):
    # Bound only: nothing is sent.
    found = link_local_address()
    if found is None:
        pytest.skip("no interface has a link-local address")
    host, scope_id = found
    udp6.bind((f"{host}%{scope_id}", 0, 0, scope_id))
    bound, port, flowinfo, scope = udp6.getsockname()
    assert (bound, flowinfo, scope) == (host, 0, scope_id)


@requires_ipv6
@requires_linux
@pytest.mark.parametrize("host", ["::1%lo", b"::1%lo"])
def test_hosts_with_a_zone(udp6, host):
    # Only link-local addresses can have one for the C library; the answer of both
    # implementations is its answer.
    try:
        expected = stdlib_socket.getaddrinfo(host, 9, stdlib_socket.AF_INET6)[0][4][0]
    except stdlib_socket.gaierror as error:
        with pytest.raises(stdlib_socket.gaierror) as caught:
            udp6.bind((host, 0))
        assert caught.value.errno == error.errno
    else:
        udp6.bind((host, 0))
        assert udp6.getsockname()[0] == expected.split("%")[0]


@requires_ipv6
def test_every_call_gives_the_same_ipv6_address(socket, udp6):
    udp6.bind(("::1", 0))
    name = udp6.getsockname()
    assert len(name) == 4
    udp6.sendto(b"x", name)
    assert udp6.recvfrom(9) == (b"x", name)
    udp6.sendto(b"x", name[:2])
    assert udp6.recvfrom_into(bytearray(9)) == (1, name)
    udp6.sendmsg([b"x"], (), 0, name[:3])
    assert udp6.recvmsg(9)[3] == name
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        server.settimeout(TIMEOUT_S)
        with socket.create_connection(server.getsockname()[:2], TIMEOUT_S) as client:
            accepted, address = server.accept()
            with accepted:
                assert address == client.getsockname() == accepted.getpeername()


# -- other families ------------------------------------------------------------

@pytest.fixture
def netlink(socket):
    if not hasattr(socket, "AF_NETLINK"):
        pytest.skip("no AF_NETLINK here")
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    except OSError as error:
        pytest.skip(f"no netlink sockets: {error}")
    with sock:
        sock.settimeout(TIMEOUT_S)
        yield sock


def test_netlink(netlink):
    # RTM_GETLINK, dump: the kernel answers with the list of interfaces.
    request = (20).to_bytes(4, sys.byteorder) + (18).to_bytes(2, sys.byteorder) \
        + (0x301).to_bytes(2, sys.byteorder) + bytes(12)
    netlink.bind((0, 0))
    port, groups = netlink.getsockname()
    assert port > 0 and groups == 0
    for receive in (netlink.recvfrom, lambda size: (netlink.recv(size), (0, 0)),
                    lambda size: netlink.recvmsg(size)[::3],
                    lambda size: (lambda buffer: (buffer, netlink.recvfrom_into(buffer)[1]))(
                        bytearray(size)),
                    lambda size: (lambda buffer: (buffer, netlink.recvmsg_into([buffer])[3]))(
                        bytearray(size))):
        assert netlink.sendto(request, (0, 0)) == len(request)
        data, address = receive(65536)
        assert address == (0, 0)
        while int.from_bytes(data[4:6], sys.byteorder) != 3:  # NLMSG_DONE
            assert int.from_bytes(data[4:6], sys.byteorder) == 16  # RTM_NEWLINK
            data = netlink.recv(65536)
    assert netlink.sendmsg([request], [], 0, (0, 0)) == len(request)
    netlink.connect((0, 0))
    assert netlink.getpeername() == (0, 0)
    assert netlink.connect_ex((0, 0)) == 0


def test_bad_netlink_addresses(netlink):
    for address in ("", (0,), [0, 0], (0, 0, 0), ("0", 0), None):
        with pytest.raises(TypeError):
            netlink.bind(address)
        with pytest.raises(TypeError):
            netlink.sendto(b"x", address)


def test_packet_sockets(socket):
    if not hasattr(socket, "AF_PACKET"):
        pytest.skip("no AF_PACKET here")
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    except PermissionError as error:
        pytest.skip(f"packet sockets need CAP_NET_RAW: {error}")
    with sock:
        sock.settimeout(TIMEOUT_S)
        sock.bind(("lo", 0x0800))
        name, proto, kind, hardware, address = sock.getsockname()
        assert (name, proto, hardware, address) == ("lo", 0x0800, 772, bytes(6))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((LOOPBACK, 0))
            udp.sendto(b"fastsock packet", udp.getsockname())
        while True:
            data, address = sock.recvfrom(65536)
            if data.endswith(b"fastsock packet"):
                break
        assert address[:2] == ("lo", 0x0800)
        with pytest.raises(TypeError):
            sock.bind(("lo",))


def test_a_family_that_nobody_knows_addresses_of(socket):
    # fileno= takes the word of the caller: an AF_UNIX socket said to be of family 77.
    with socket.socket(socket.AF_UNIX) as real:
        odd = socket.socket(77, socket.SOCK_STREAM, 0, fileno=real.detach())
    with odd:
        assert odd.family == 77 and type(odd.family) is int
        for call in (odd.bind, odd.connect, odd.connect_ex):
            with pytest.raises(OSError, match="bad family") as caught:
                call("name")
            assert type(caught.value) is OSError
        with pytest.raises(OSError, match="bad family"):
            odd.getsockname()
