"""Scenarios of packets that are dropped, doubled, late and out of order."""

import collections
import functools

import fastsock

from tests.networks._namespaces import FAR, NotPermitted, linked
from tests.networks._namespaces import LINK
from tests.networks._tally import TIMEOUT_S, scenario
from tests.networks._ways import WAYS, implementations_of
from tests.networks._wire import Misbehaviour, wire

#: What a wire does, and how often.
KINDS = {"dropped": dict(drop=0.03), "doubled": dict(duplicate=0.1),
         "late and out of order": dict(delay=0.3, delay_ms=4.0),
         "all of these": dict(drop=0.02, duplicate=0.05, delay=0.2, delay_ms=4.0)}
SIZE = 16 * 20_000

DATAGRAMS = 2000
BATCH = 40


def stream_scenario(way, kind, device, socket, tally, chance):
    with wire(Misbehaviour(**KINDS[kind]), chance.getrandbits(32), device) as (near, far, carrier):
        WAYS[way](socket, near, far, tally, chance, SIZE)
        met = {"dropped": carrier.dropped, "doubled": carrier.duplicated,
               "late and out of order": carrier.delayed}
        asked = [kind] if kind in met else list(met)
        tally.check(all(met[one] for one in asked), f"of {carrier.seen} packets none was {asked}")


for _way in WAYS:
    for _kind in KINDS:
        scenario(f"packets {_kind}: {_way}", on=implementations_of(_way))(
            functools.partial(stream_scenario, _way, _kind, "tun"))
scenario("packets all of these, by packet sockets: sendall, recv")(
    functools.partial(stream_scenario, "sendall, recv", "all of these", "veth"))


@scenario("packets by netem: sendall, recv")
def by_netem(socket, tally, chance):
    import subprocess
    with linked() as (near, far):
        for space in (near, far):
            with space.inside():
                try:
                    subprocess.run(["tc", "qdisc", "add", "dev", LINK, "root", "netem", "loss", "2%",
                                    "delay", "1ms", "1ms", "duplicate", "2%"],
                                   check=True, capture_output=True, text=True)
                except FileNotFoundError:
                    raise NotPermitted("the program tc (iproute2) is missing") from None
                except subprocess.CalledProcessError as error:
                    raise NotPermitted(f"this kernel has no netem: {error.stderr.strip()}") from None
        WAYS["sendall, recv"](socket, near, far, tally, chance, SIZE)


# -- datagrams -------------------------------------------------------------------------------

def send_each(sock, messages):
    for message in messages:
        sock.send(message)


def send_segments(sock, messages):
    assert sock.send_segmented(b"".join(messages), len(messages[0])) == len(messages)


def receive_each(sock):
    return [sock.recv(2048)]


def receive_batch(sock):
    return [data for data, _ in sock.recvmmsg(64)]


def receive_into_batch(sock, batch):
    sock.recvmmsg_into(batch)
    return [bytes(one) for one in batch]


DATAGRAM_WAYS = {
    "send, recv": (("stdlib", "fastsock"), send_each, receive_each),
    "sendmmsg, recvmmsg": (("fastsock",), lambda sock, some: sock.sendmmsg(some), receive_batch),
    "send_segmented, enable_gro": (("fastsock",), send_segments, receive_batch),
    "sendmmsg, DatagramBatch": (("fastsock",), lambda sock, some: sock.sendmmsg(some), None)}


def datagram_scenario(way, kind, socket, tally, chance):
    """What arrives is intact, and just what the wire let through."""
    _, send, receive = DATAGRAM_WAYS[way]
    if receive is None:
        receive = functools.partial(receive_into_batch, batch=fastsock.DatagramBatch(64, 2048))
    with wire(Misbehaviour(**KINDS[kind]), chance.getrandbits(32)) as (near, far, carrier):
        with far.inside():
            server = socket.socket(type=socket.SOCK_DGRAM)
        with near.inside():
            client = socket.socket(type=socket.SOCK_DGRAM)
        with server, client:
            server.bind((FAR, 0))
            server.settimeout(TIMEOUT_S)
            client.connect(server.getsockname())
            if way.endswith("gro"):
                server.enable_gro()
            found, sent = collections.Counter(), 0
            while sent < DATAGRAMS:
                size = chance.randrange(16, 1400)
                some = [(sent + i).to_bytes(8, "big") + chance.randbytes(size)
                        for i in range(BATCH)]
                send(client, some)
                sent += BATCH
                tally.sends(b"".join(some))
                if not carrier.wait_for_datagrams(sent, TIMEOUT_S):
                    raise AssertionError(f"the wire saw {carrier.datagrams_seen} of {sent}")
                while found.total() < carrier.datagrams.total():
                    found.update(receive(server))
            # Whatever else there were would be here by now.
            server.setblocking(False)
            try:
                while True:
                    found.update(receive(server))
            except BlockingIOError:
                pass
        carried = +carrier.datagrams
        tally.datagrams_sent += sent
        tally.datagrams_received += found.total()
        tally.received_bytes += sum(map(len, found.elements()))
        tally.datagrams_dropped += sent - len(carried)
        tally.datagrams_doubled += carried.total() - len(carried)
        tally.datagrams_unexplained += (carried - found).total() + (found - carried).total()
        tally.check(found == carried, "not what the wire let through")
        tally.check(len(carrier.datagrams) == sent, "the wire did not see what was sent")
        if kind == "all of these":
            tally.check(0 < len(carried) < sent and carrier.duplicated, "nothing was done to them")


for _way, (_on, *_) in DATAGRAM_WAYS.items():
    scenario(f"datagrams all of these: {_way}", on=_on)(
        functools.partial(datagram_scenario, _way, "all of these"))
