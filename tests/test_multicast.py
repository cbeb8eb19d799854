"""Multicast: join_group() and leave_group(), and how is sent to groups: set_multicast()."""

import errno
import socket as stdlib_socket

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, requires_ipv6



@pytest.mark.parametrize("source", [None, "127.0.0.1"])
@pytest.mark.parametrize("interface", ["lo", "127.0.0.1", "index"])
def test_multicast(interface, source):
    group = "239.255.77.1"
    interface = fastsock.if_nametoindex("lo") if interface == "index" else interface
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as receiver, \
            fastsock.socket(type=fastsock.SOCK_DGRAM) as sender:
        receiver.bind((group, 0))
        receiver.settimeout(TIMEOUT_S)
        sender.setsockopt(fastsock.IPPROTO_IP, fastsock.IP_MULTICAST_IF,
                          fastsock.inet_aton("127.0.0.1"))
        receiver.join_group(group, interface, source)
        sender.sendto(b"hello", receiver.getsockname())
        assert receiver.recvmmsg(1)[0][0] == b"hello"
        receiver.leave_group(group, interface, source)
        with pytest.raises(OSError):
            receiver.leave_group(group, interface, source)


def test_an_address_that_no_interface_has():
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        with pytest.raises(OSError, match="no interface has the address 192.0.2.1"):
            sock.join_group("239.255.77.1", "192.0.2.1")


@pytest.mark.parametrize("zone", [False, True])
def test_multicast_over_ipv6(zone):
    group = "ff02::7777" + f"%{fastsock.if_nametoindex('lo')}" * zone
    with fastsock.socket(fastsock.AF_INET6, fastsock.SOCK_DGRAM) as receiver:
        try:
            receiver.join_group(group, "lo")
        except OSError as error:
            pytest.skip(f"no multicast on lo: {error}")
        receiver.leave_group(group, "lo")
        with pytest.raises(OSError):
            receiver.leave_group(group, "lo")


def test_an_interface_that_the_routing_table_chooses():
    # Which one, if there is any, is what it is for the option that the stdlib knows.
    group = "239.255.77.2"

    def plain(sock):
        sock.setsockopt(fastsock.IPPROTO_IP, fastsock.IP_ADD_MEMBERSHIP,
                        fastsock.inet_aton(group) + fastsock.inet_aton("0.0.0.0"))

    def outcome(join):
        with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
            try:
                join(sock)
            except OSError as error:
                return error.errno
            sock.leave_group(group)
            return None

    assert outcome(lambda sock: sock.join_group(group)) == outcome(plain)


def test_an_interface_that_is_not_there():
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        with pytest.raises(OSError, match="no interface has the address 192.0.2.1"):
            sock.join_group("239.255.77.3", "192.0.2.1")
        with pytest.raises(OSError):
            sock.join_group("239.255.77.3", "no such")


@pytest.mark.parametrize("group, error", [("10.0.0.1", ValueError), ("ff02::1", ValueError),
                                          ("no address", ValueError), (None, ValueError)])
def test_bad_groups(group, error):
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock, pytest.raises(error):
        sock.join_group(group)


@pytest.mark.parametrize("missing, change", [
    ("MCAST_JOIN_GROUP", lambda sock: sock.join_group("239.255.77.4", "lo")),
    ("MCAST_LEAVE_SOURCE_GROUP",
     lambda sock: sock.leave_group("239.255.77.4", "lo", "127.0.0.1"))], ids=["join", "leave"])
def test_a_system_that_lacks_an_option(monkeypatch, missing, change):
    from fastsock import _datagrams
    monkeypatch.delitem(_datagrams._numbers, missing)
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock, \
            pytest.raises(OSError, match=f"this system has no {missing}"):
        change(sock)


# -- sending -----------------------------------------------------------------------------
# What loopback=False does is in tests/networks/_multicast.py: on `lo` all is looped back.

GROUP = "239.255.77.5"
OF_IPV4 = [fastsock.IP_MULTICAST_TTL, fastsock.IP_MULTICAST_LOOP]
OF_IPV6 = [fastsock.IPV6_MULTICAST_IF, fastsock.IPV6_MULTICAST_HOPS, fastsock.IPV6_MULTICAST_LOOP]


def settings(sock):
    """The options of a socket, by the kernel."""
    if sock.family == fastsock.AF_INET6:
        return [sock.getsockopt(fastsock.IPPROTO_IPV6, option) for option in OF_IPV6]
    return [sock.getsockopt(fastsock.IPPROTO_IP, option) for option in OF_IPV4]


@pytest.fixture
def member():
    """A socket that receives what is sent to GROUP by `lo`, with its TTL."""
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as receiver:
        receiver.bind((GROUP, 0))
        receiver.settimeout(TIMEOUT_S)
        receiver.join_group(GROUP, "lo")
        receiver.setsockopt(fastsock.IPPROTO_IP, fastsock.IP_RECVTTL, 1)
        yield receiver


@pytest.mark.parametrize("ttl", [0, 1, 32, 255])
@pytest.mark.parametrize("interface", ["lo", "127.0.0.1", "index"])
def test_what_is_sent_arrives_with_its_ttl(member, interface, ttl):
    interface = fastsock.if_nametoindex("lo") if interface == "index" else interface
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sender:
        sender.set_multicast(interface=interface, ttl=ttl, loopback=True)
        assert sender.sendmmsg([(b"hello", member.getsockname())] * 2) == 2
        for _ in range(2):
            (data, ancillary, _, address), = member.recvmmsg(1, ancillary=True)
            assert data == b"hello" and fastsock.PacketInfo.from_ancillary(ancillary).ttl == ttl
            assert address[1] == sender.getsockname()[1]
            if interface == "127.0.0.1":  # then it is the datagrams' source
                assert address[0] == interface


def test_an_adopted_socket_sends(member):
    with fastsock.adopt(stdlib_socket.socket(type=stdlib_socket.SOCK_DGRAM)) as sender:
        sender.set_multicast(interface="lo")
        sender.sendto(b"hello", member.getsockname())
        assert member.recv(10) == b"hello"


def test_only_what_is_given_is_set():
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        assert settings(sock) == [1, 1]
        sock.set_multicast()
        assert settings(sock) == [1, 1]
        sock.set_multicast(ttl=9)
        assert settings(sock) == [9, 1]
        sock.set_multicast(loopback=False)
        assert settings(sock) == [9, 0]
        sock.set_multicast(interface="127.0.0.1")
        option = fastsock.IPPROTO_IP, fastsock.IP_MULTICAST_IF, 4
        assert sock.getsockopt(*option) == fastsock.inet_aton("127.0.0.1")
        sock.set_multicast(interface=0, ttl=1, loopback=True)
        assert settings(sock) == [1, 1] and sock.getsockopt(*option) == bytes(4)


@requires_ipv6
def test_the_options_of_ipv6():
    index = fastsock.if_nametoindex("lo")
    with fastsock.socket(fastsock.AF_INET6, fastsock.SOCK_DGRAM) as sock:
        assert settings(sock) == [0, 1, 1]
        for interface in ("lo", index, "127.0.0.1"):
            sock.set_multicast(interface=interface)
            assert settings(sock) == [index, 1, 1]
            sock.set_multicast(interface=0)
            assert settings(sock) == [0, 1, 1]
        sock.set_multicast(ttl=0)
        sock.set_multicast(loopback=False)
        assert settings(sock) == [0, 0, 0]
        sock.set_multicast(ttl=255, loopback=True)
        assert settings(sock) == [0, 255, 1]


@pytest.mark.parametrize("family", ["AF_INET", pytest.param("AF_INET6", marks=requires_ipv6)])
@pytest.mark.parametrize("given, error, text", [
    ({"ttl": 256}, ValueError, "ttl must be 0 to 255, not 256"),
    ({"ttl": -1}, ValueError, "ttl must be 0 to 255, not -1"),
    ({"ttl": 1 << 80}, ValueError, "ttl must be 0 to 255"),
    ({"ttl": 1.5}, TypeError, "float"), ({"ttl": "1"}, TypeError, "str"),
    ({"interface": "192.0.2.77"}, OSError, "no interface has the address 192.0.2.77"),
    ({"interface": "no such"}, OSError, "no interface has the name 'no such'"),
    ({"interface": 1.5}, TypeError, "float"), ({"interface": [0]}, TypeError, r"not \[0\] \(list"),
    ({"interface": -1}, OverflowError, "index is 0 to 4294967295, not -1"),
    ({"interface": 1 << 32}, OverflowError, "not 4294967296"),
    ({"interface": 123456}, OSError, "assign requested address|No such device")])
def test_what_is_refused_sets_nothing(family, given, error, text):
    with fastsock.socket(getattr(fastsock, family), fastsock.SOCK_DGRAM) as sock:
        before = settings(sock)
        with pytest.raises(error, match=text):
            sock.set_multicast(**{"ttl": 7, "loopback": False, **given})
        assert settings(sock) == before


def test_sockets_that_send_no_multicast():
    a, b = fastsock.socketpair()
    with a, b, pytest.raises(ValueError, match="multicast needs a socket of AF_INET or AF_INET6"):
        a.set_multicast(ttl=1)
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        with pytest.raises(TypeError):
            sock.set_multicast("lo")  # by keyword only
    with pytest.raises(OSError) as caught:
        sock.set_multicast(ttl=1)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("interface, error, text", [
    ("no such", OSError, "no interface has the name 'no such'"), (-1, OverflowError, "not -1"),
    (1 << 32, OverflowError, "not 4294967296"), (1.5, TypeError, "interface must be .* not 1.5")])
def test_interfaces_of_a_group_that_are_refused(interface, error, text):
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        for call in sock.join_group, sock.leave_group:
            with pytest.raises(error, match=text):
                call("239.1.2.3", interface)
