"""Scenarios of multicast over a link: by which interface it goes, how far, and who gets it.

Rule: that something does not arrive is seen by what was sent after it, and arrives.
"""

import contextlib
import pathlib

import fastsock

from tests.networks._namespaces import FAR, LINK, NEAR, linked
from tests.networks._tally import TIMEOUT_S, scenario
from tests.networks._ways import wait_until

GROUP, GROUP6 = "239.255.77.9", "ff02::7779"


def is_up(space):
    """The kernel gives a link its route for multicast when it is up, and not at once."""
    with space.inside():
        table = pathlib.Path("/proc/thread-self/net/ipv6_route").read_text()
    return any(line.startswith("ff") and line.endswith(LINK) for line in table.splitlines())


@contextlib.contextmanager
def linked_and_up():
    with linked() as (near, far):
        for space in (near, far):
            wait_until(lambda space=space: is_up(space), "the link is up")
        yield near, far


def member(space, group, socket=fastsock):
    """A socket in a network that receives what comes to the group by the link."""
    of_ipv6 = ":" in group
    with space.inside():
        sock = socket.socket(socket.AF_INET6 if of_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((group, 0, 0, fastsock.if_nametoindex(LINK)) if of_ipv6 else (group, 0))
        sock.join_group(group, LINK)
    if of_ipv6:
        sock.setsockopt(fastsock.IPPROTO_IPV6, fastsock.IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(fastsock.IPPROTO_IP, fastsock.IP_RECVTTL, 1)
    sock.settimeout(TIMEOUT_S)
    return sock


def received(sock):
    """(data, TTL) of the next datagram."""
    (data, ancillary, _, _), = sock.recvmmsg(1, ancillary=True)
    return data, fastsock.PacketInfo.from_ancillary(ancillary).ttl


def sends(group, interface, socket, tally, chance):
    """By the interface alone, as far as it says, and looped back or not."""
    with linked_and_up() as (near, far), member(far, group) as there:
        # The same port on both: the sender's host has a member of its own.
        with near.inside():
            here = fastsock.socket(there.family, fastsock.SOCK_DGRAM)
        with here:
            here.settimeout(TIMEOUT_S)
            port = there.getsockname()[1]
            with near.inside():
                here.bind(("", port))
                here.join_group(group, LINK)
                sender = fastsock.socket(there.family, fastsock.SOCK_DGRAM)
            with sender, near.inside():
                sender.set_multicast(interface=interface)  # there is no route to the group
                sender.sendto(b"first", (group, port))
                tally.check(received(there) == (b"first", 1), "the default is one hop")
                tally.check(here.recv(9) == b"first", "looped back by default")
                sender.set_multicast(ttl=9, loopback=False)
                sender.sendto(b"second", (group, port))
                sender.set_multicast(loopback=True)
                sender.sendto(b"third", (group, port))
                tally.check([received(there) for _ in range(2)]
                            == [(b"second", 9), (b"third", 9)], "all of it goes out")
                found = here.recv(9)
                tally.check(found == b"third", f"{found} was looped back, and not only what was to be")
        tally.datagrams_sent += 3
        tally.datagrams_received += 3


for _name, _interface in (("name", LINK), ("address", NEAR)):
    for _group in (GROUP, GROUP6):
        scenario(f"multicast: interface by {_name}{', IPv6' if ':' in _group else ''}",
                 on=("fastsock",))(
            lambda *arguments, group=_group, interface=_interface: sends(
                group, interface, *arguments))


@scenario("multicast: an address that another host has", on=("fastsock",))
def foreign(socket, tally, chance):
    with linked() as (near, far), near.inside(), fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        with tally.raises(OSError) as raised:
            sock.set_multicast(interface=FAR)
        tally.check(str(raised[0]) == f"no interface has the address {FAR}", raised)
