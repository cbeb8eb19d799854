"""Scenarios of small packets: an MTU of 576, one that changes, and a router's smaller one."""

import functools

import fastsock

from tests.networks._namespaces import FAR, FAR6, LINK, ROUTED_FAR, linked, routed
from tests.networks._tally import (
    TIMEOUT_S, Together, numbered, outcome, pieces_of, scenario,
)
from tests.networks._ways import (
    ENDS, WAYS, both_ways, connected, implementations_of, wait_until,
)
from tests.networks._wire import wire

SMALL = 576         # what IPv4 must carry at least
SMALL6 = 1280
SIZE = 16 * 20_000
# Of linux/in.h; the interpreter names them from 3.14 on.
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2


def small(way, socket, tally, chance):
    with linked(mtu=SMALL) as (near, far):
        WAYS[way](socket, near, far, tally, chance, SIZE)


def changes(way, socket, tally, chance):
    """The sender's and the receiver's links are made smaller and larger in mid-transfer."""
    def change():
        for allowed, mtu in ((120_000, SMALL), (200_000, 1500), (None, 1000)):
            assert carrier.used_up.wait(TIMEOUT_S), "there was nothing to interrupt"
            for space in (near, far):
                space.ip(f"link set {LINK} mtu {mtu}")
            carrier.used_up.clear()
            carrier.allowed_bytes = allowed
    with wire() as (near, far, carrier):
        carrier.allowed_bytes = chance.randrange(50_000, 100_000)
        with Together(change):
            WAYS[way](socket, near, far, tally, chance, SIZE)


def discovered(way, socket, tally, chance):
    """The router says what is too big: ICMP's "fragmentation needed" cuts TCP's packets."""
    with routed(far_mtu=SMALL) as (near, router, far):
        # Or the far side would ask for small ones from the beginning.
        far.ip("route replace default via 10.77.2.254 advmss 1460")
        with connected(socket, near, far, ROUTED_FAR) as (a, b):
            both_ways(ENDS[way], a, b, tally, chance, SIZE)
        tally.check(router.counter("Icmp", "OutDestUnreachs") > 0, "the router refused nothing")


for _way in WAYS:
    scenario(f"MTU 576: {_way}", on=implementations_of(_way))(functools.partial(small, _way))
for _way in ("sendall, recv", "Stream", "messages of LengthPrefix", "Relay", "Server"):
    scenario(f"MTU that changes: {_way}", on=implementations_of(_way))(
        functools.partial(changes, _way))
for _way in ("sendall, recv", "Stream", "sendfile"):
    scenario(f"MTU 576 behind a router: {_way}", on=implementations_of(_way))(
        functools.partial(discovered, _way))


@scenario("MTU 1280, IPv6: sendall, recv")
def small6(socket, tally, chance):
    with linked(mtu=SMALL6) as (near, far), connected(socket, near, far, FAR6) as (a, b):
        both_ways(ENDS["sendall, recv"], a, b, tally, chance, SIZE)


# -- datagrams -------------------------------------------------------------------------------

def datagram_pair(socket, near, far, host=FAR):
    """(a client that is connected to a server, the server): to be closed."""
    with far.inside():
        server = socket.socket(type=socket.SOCK_DGRAM)
    with near.inside():
        client = socket.socket(type=socket.SOCK_DGRAM)
    server.bind((host, 0))
    client.connect(server.getsockname())
    for sock in (client, server):
        sock.settimeout(TIMEOUT_S)
    return client, server


@scenario("MTU 576, datagrams that are larger", on=("fastsock",))
def larger_datagrams(socket, tally, chance):
    """They are fragmented, and arrive whole, by whichever call."""
    with linked(mtu=SMALL) as (near, far):
        client, server = datagram_pair(socket, near, far)
        with client, server:
            messages = list(pieces_of(numbered(40_000, chance)))
            batch = fastsock.DatagramBatch(64, 8192)
            for send in (lambda: client.sendmmsg(messages),
                         lambda: [client.send(one) for one in messages]):
                send()
                found = []
                while len(found) < len(messages):
                    server.recvmmsg_into(batch)
                    found += [bytes(one) for one in batch]
                tally.sends(b"".join(messages))
                tally.check(found == messages, "not the datagrams that were sent")
                tally.compare(b"".join(messages), b"".join(found), "datagrams")
            # The kernel can't cut into segments above the MTU: then we do.
            for segment in (400, 1200):
                data = numbered(1200 * 30, chance)
                sent = client.send_segmented(data, segment)
                tally.check(sent == len(data) // segment, f"send_segmented() says {sent}")
                found = []
                while len(found) < sent:
                    found += [one for one, _ in server.recvmmsg(64)]
                tally.sends(data)
                tally.check({len(one) for one in found} == {segment}, "segments of other sizes")
                tally.compare(data, b"".join(found), "segments")
            tally.datagrams_sent += 2 * len(messages) + 120
            tally.datagrams_received += 2 * len(messages) + 120


@scenario("MTU 576, fragmentation forbidden: EMSGSIZE", on=("both",))
def too_large(_, tally, chance):
    def run(socket):
        with linked(mtu=SMALL) as (near, far):
            client, server = datagram_pair(socket, near, far)
            with client, server:
                client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
                return [outcome(lambda size=size: client.send(bytes(size)))
                        for size in (548, 549, 5000, 70_000)] + [
                    outcome(lambda: client.sendmsg([bytes(300), bytes(300)])),
                    [len(server.recv(1000))]]
    found = tally.same(run, "sends")
    tally.check(found[0] == 548 and all(one[1] == 90 for one in found[1:5]) and found[5] == [548],
                found)
    for error in found[1:5]:
        tally.note(error)


@scenario("MTU 576, fragmentation forbidden: batches", on=("fastsock",))
def too_large_in_batches(socket, tally, chance):
    """sendmmsg() ends at the first that is too large, and says how many went before it."""
    with linked(mtu=SMALL) as (near, far):
        client, server = datagram_pair(socket, near, far)
        with client, server:
            client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            for position in (0, 1, 5, 63, 64, 99):
                messages = [numbered(160, chance) for _ in range(100)]
                messages[position] = bytes(600)
                with tally.raises(OSError) as raised:
                    client.sendmmsg(messages)
                tally.check((raised[0].errno, raised[0].pieces_accepted) == (90, position),
                            f"{raised[0]!r}, {raised[0].pieces_accepted} sent for {position}")
                sent, found = b"".join(messages[:position]), b""
                while len(found) < len(sent):
                    found += b"".join(data for data, _ in server.recvmmsg(64))
                tally.sends(sent)
                tally.compare(sent, found, f"before message {position}")
            with tally.raises(OSError) as raised:
                client.send_segmented(bytes(6000), 600)
            tally.check((raised[0].errno, raised[0].pieces_accepted) == (90, 0), repr(raised[0]))
            server.setblocking(False)
            tally.check(outcome(lambda: server.recv(1))[0]
                        == "BlockingIOError", "a datagram that was said not to be sent")


@scenario("MTU 576 behind a router: a datagram that the router refuses", on=("both",))
def refused_on_the_way(_, tally, chance):
    """The first is taken; ICMP says what is too large, and the next is not."""
    def run(socket):
        with routed(far_mtu=SMALL) as (near, router, far):
            client, server = datagram_pair(socket, near, far, ROUTED_FAR)
            with client, server:
                client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
                refusals = router.counter("Icmp", "OutDestUnreachs")
                found = [outcome(lambda: client.send(bytes(1000)))]
                wait_until(lambda: router.counter("Icmp", "OutDestUnreachs") > refusals
                           and near.counter("Icmp", "InDestUnreachs") > 0, "the router refused it")
                near.settle()
                # What was too large, and then one after the other.
                found += [outcome(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))]
                if hasattr(client, "sendmmsg"):
                    found += [outcome(lambda: client.sendmmsg([bytes(1000)] * 3)),
                              outcome(lambda: client.sendmmsg([bytes(500)]))]
                else:
                    found += [outcome(lambda: client.send(bytes(1000))),
                              1 if outcome(lambda: client.send(bytes(500))) == 500 else None]
                found.append(len(server.recv(2000)))
                return found
    found = tally.same(run, "sends")
    tally.check(found[0] == 1000 and found[2][1] == 90 and found[3:] == [1, 500], found)
    tally.note(found[2])
