"""Scenarios of ICMP's errors on UDP: what a port, a host or a router refuses.

Rules: an error is at its socket before the next call (`wait_for_refusals()`), so that it makes
no difference when it arrives. Single calls report what the stdlib's do, in the same order.
Batches report an error that waits when they are called, and lose no datagram that arrived. What
sendmmsg(2) itself does not tell, an error that comes in the midst of a batch, is in the error
queue (IP_RECVERR).
"""

import errno
import functools
import struct

import fastsock

from tests.networks._namespaces import (
    FAR, FAR6, NEAR, ROUTED_FAR, ROUTED_FAR6, linked, routed,
)
from tests.networks._refusals import ask_quickly
from tests.networks._tally import TIMEOUT_S, numbered, outcome, scenario
from tests.networks._ways import wait_until

CLOSED = 9          # a port on which nobody is
# Of linux/in.h and linux/in6.h.
IP_RECVERR, IPV6_RECVERR = 11, 25
MSG_ERRQUEUE = 0x2000


def client_of(socket, space, host, timeout=TIMEOUT_S):
    with space.inside():
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    return sock


def heard(space, before=0):
    """How many refusals ICMP and ICMPv6 brought to a network."""
    with space.inside(), open("/proc/thread-self/net/snmp6") as file:
        of_ipv6 = [line.split() for line in file]
    return (space.counter("Icmp", "InDestUnreachs")
            + sum(int(value) for name, value in of_ipv6 if name == "Icmp6InDestUnreachs") - before)


def wait_for_refusals(space, before, count=1):
    wait_until(lambda: heard(space, before) >= count, "ICMP refused it")
    space.settle()


def refused(host, expected, socket_options, _, tally, chance):
    """A connected socket: send, what is said to the next calls, and after them."""
    def run(socket):
        found = []
        with routed() as (near, router, far):
            ask_quickly(router, "r2")
            for calls in (["send", "send", "send"], ["send", "recv", "send"],
                          ["send", "SO_ERROR", "send"], ["send", "sendmsg"],
                          ["send", "recvmsg"], ["send", "recv_into"], ["send", "connect"]):
                with client_of(socket, near, host) as sock:
                    for level, name in socket_options:
                        sock.setsockopt(level, name, 1)
                    sock.connect((host, CLOSED))
                    found.append([step(socket, sock, call, near, host) for call in calls])
        return found
    found = tally.same(run, "calls")
    tally.check(found[0][0] == 1 and found[0][1][1] == expected, found)
    tally.check(found[1][1][1] == expected, found)
    tally.check(found[2][1] == expected, found)
    for each in found[:2]:
        tally.note(each[1])


def step(socket, sock, call, near, host):
    before = heard(near)
    acts = {"send": lambda: sock.send(b"x"), "sendmsg": lambda: sock.sendmsg([b"x"]),
            "recv": lambda: sock.recv(10), "recvmsg": lambda: sock.recvmsg(10),
            "recv_into": lambda: sock.recv_into(bytearray(10)),
            "connect": lambda: sock.connect((host, CLOSED)),
            "SO_ERROR": lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)}
    result = outcome(acts[call])
    if call.startswith("send") and result == 1:
        wait_for_refusals(near, before)
    return result


for _name, _host, _expected in (("a closed port", ROUTED_FAR, errno.ECONNREFUSED),
                                ("a closed port, IPv6", ROUTED_FAR6, errno.ECONNREFUSED)):
    for _options in ((), ((0, IP_RECVERR),) if ":" not in _host else ((41, IPV6_RECVERR),)):
        scenario(f"ICMP: {_name}{', RECVERR' if _options else ''}", on=("both",))(
            functools.partial(refused, _host, _expected, _options))
# Without RECVERR a host that is unreachable is no error of a connected socket's.
scenario("ICMP: a host that is unreachable, RECVERR", on=("both",))(functools.partial(
    refused, "10.77.2.9", errno.EHOSTUNREACH, ((0, IP_RECVERR),)))
scenario("ICMP: a host that is unreachable, IPv6, RECVERR", on=("both",))(functools.partial(
    refused, "fd77:2::9", errno.EHOSTUNREACH, ((41, IPV6_RECVERR),)))


@scenario("ICMP: the error queue", on=("both",))
def error_queue(_, tally, chance):
    """What recvmsg(MSG_ERRQUEUE) says of each that was refused, of a socket without a peer."""
    def run(socket):
        with linked() as (near, far), client_of(socket, near, FAR) as sock:
            sock.setsockopt(0, IP_RECVERR, 1)
            found = []
            for number in range(3):
                before = heard(near)
                sock.sendto(b"number %d" % number, (FAR, CLOSED))
                wait_for_refusals(near, before)
                found.append(outcome(lambda: sock.recv(10)))
            sock.setblocking(False)
            for _ in range(4):
                def ask():
                    data, ancillary, flags, address = sock.recvmsg(100, 200, MSG_ERRQUEUE)
                    return data, [(level, kind, struct.unpack("IBBBBII", data[:16]))
                                  for level, kind, data in ancillary], flags, address
                found.append(outcome(ask))
            return found
    found = tally.same(run, "the error queue")
    tally.check([one[1] for one in found[:3]] == [errno.ECONNREFUSED] * 3, found)
    tally.check([one[0] for one in found[3:]]
                == [b"number 0", b"number 1", b"number 2", "BlockingIOError"], found)
    for error in found[:3]:
        tally.note(error)


# -- batches ---------------------------------------------------------------------------------

def receives(kind, sock, batch):
    if kind == "recvmmsg":
        return [data for data, _ in sock.recvmmsg(64)]
    sock.recvmmsg_into(batch)
    return [bytes(one) for one in batch]


def between_errors(kind, host, socket, tally, chance):
    """Datagrams arrive, and an error: it is raised once, and all of them are received.

    By the single calls of the stdlib, too: `kind` is recv there."""
    near_host = NEAR if host == FAR else "fd77::1"
    batch = fastsock.DatagramBatch(64, 2048)
    with linked() as (near, far):
        with client_of(socket, near, host) as sock, client_of(socket, far, host) as peer:
            peer.bind((host, 0))
            address = peer.getsockname()[:2]
            sock.bind((near_host, 0))
            for when in ("before", "between", "after"):
                words = [numbered(160, chance) for _ in range(100)]
                sock.connect(address)
                if when != "before":
                    for word in words[:50]:
                        peer.sendto(word, sock.getsockname()[:2])
                if when == "after":
                    for word in words[50:]:
                        peer.sendto(word, sock.getsockname()[:2])
                # Its own port is closed for a moment: what it is sent then is refused.
                peer.close()
                before = heard(near)
                sock.send(b"is refused")
                wait_for_refusals(near, before)
                peer = client_of(socket, far, host)
                peer.bind(address)
                late = {"before": words, "between": words[50:], "after": []}[when]
                for word in late:
                    peer.sendto(word, sock.getsockname()[:2])
                found, errors = [], []
                while len(found) < len(words):
                    try:
                        found += ([sock.recv(2048)] if kind == "recv"
                                  else receives(kind, sock, batch))
                    except ConnectionRefusedError as error:
                        errors.append(error)
                        tally.note(error)
                tally.sends(b"".join(words))
                tally.compare(b"".join(words), b"".join(found), f"an error {when}")
                tally.check(len(errors) == 1, f"{errors} raised, where one was due: {when}")
                tally.datagrams_sent += len(words)
                tally.datagrams_received += len(found)
            peer.close()


for _host, _suffix in ((FAR, ""), (FAR6, ", IPv6")):
    scenario(f"ICMP between datagrams: recv{_suffix}")(
        functools.partial(between_errors, "recv", _host))
    for _kind in ("recvmmsg", "recvmmsg_into"):
        scenario(f"ICMP between datagrams: {_kind}{_suffix}", on=("fastsock",))(
            functools.partial(between_errors, _kind, _host))


@scenario("ICMP: sendmmsg reports what waits", on=("fastsock",))
def batch_that_is_refused(socket, tally, chance):
    """An error that waits is raised before anything is sent, as by send(); then all goes out."""
    with linked() as (near, far), client_of(socket, near, FAR) as sock:
        sock.connect((FAR, CLOSED))
        for send in (lambda: sock.sendmmsg([b"x"]), lambda: sock.send_segmented(b"x", 1),
                     lambda: sock.send_segmented(b"xx", 1)):
            before, sent = heard(near), near.counter("Udp", "OutDatagrams")
            sock.send(b"is refused")
            wait_for_refusals(near, before)
            with tally.raises(ConnectionRefusedError) as raised:
                send()
            tally.check(raised[0].pieces_accepted == 0, f"{raised[0].pieces_accepted} were sent")
            went = near.counter("Udp", "OutDatagrams") - sent
            tally.check(went == 1, f"{went - 1} went out, and none was said to")


@scenario("ICMP: an error in the midst of sendmmsg", on=("fastsock",))
def in_the_midst(socket, tally, chance):
    """Each datagram goes out, once; and the error queue has a line for each that was refused."""
    with linked() as (near, far), client_of(socket, near, FAR) as sock:
        sock.setsockopt(0, IP_RECVERR, 1)
        sock.connect((FAR, CLOSED))
        far.set("ipv4/icmp_ratelimit", 0)
        # There is a second limit, of 50 at once for all hosts.
        words = [b"number %3d" % number for number in range(25)]
        sent, errors = 0, 0
        before = heard(near)
        # As one does: after an error, what was not sent is sent.
        while sent < len(words):
            try:
                sent += sock.sendmmsg(words[sent:])
            except ConnectionRefusedError as error:
                sent += error.pieces_accepted
                errors += 1
                tally.note(error)
            assert errors <= len(words)
        wait_for_refusals(near, before, len(words))
        sock.setblocking(False)
        found = []
        while True:
            try:
                found.append(sock.recvmsg(100, 200, MSG_ERRQUEUE)[0])
            except BlockingIOError:
                break
            except ConnectionRefusedError:  # that of the last, if it was not met
                pass
        tally.sends(b"".join(words))
        tally.check(sorted(found) == words, f"refused, by the error queue: {found}")
        tally.received_bytes += len(b"".join(found))
        tally.datagrams_sent += len(words)
