"""Scenarios of networks with one address family: no IPv4 at all, or IPv6 switched off."""

import contextlib
import socket as stdlib_socket

import fastsock
from fastsock._serve import HandlerServer
from fastsock.framing import Lines

from tests.networks._namespaces import LINK, Namespace
from tests.networks._tally import TIMEOUT_S, Together, numbered, outcome, scenario
from tests.networks._ways import ENDS, both_ways, connected, end_framed, running

PORT = 4000


@contextlib.contextmanager
def ipv6_only():
    """Two linked networks without an address of IPv4, not even 127.0.0.1."""
    with Namespace() as near, Namespace() as far:
        near.ip(f"link add {LINK} type veth peer name {LINK} netns {far.path}")
        for number, space in enumerate((near, far), 1):
            space.ip("addr del 127.0.0.1/8 dev lo", f"link set {LINK} up",
                     f"addr add fd77::{number}/64 dev {LINK} nodad")
        yield near, far


@contextlib.contextmanager
def ipv4_only():
    """And two where IPv6 is disabled, as in many containers."""
    with Namespace() as near, Namespace() as far:
        for space in (near, far):
            for which in ("all", "default", "lo"):
                space.set(f"ipv6/conf/{which}/disable_ipv6", 1)
        near.ip(f"link add {LINK} type veth peer name {LINK} netns {far.path}")
        for number, space in enumerate((near, far), 1):
            space.ip(f"addr add 10.77.0.{number}/24 dev {LINK}", f"link set {LINK} up")
        yield near, far


NETWORKS = {"IPv6 only": (ipv6_only, "fd77::2", "::1", "127.0.0.1"),
            "IPv4 only": (ipv4_only, "10.77.0.2", "127.0.0.1", "::1")}


def family_of(socket, host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextlib.contextmanager
def resolving(socket, *hosts):
    """localhost is both, whatever /etc/hosts says; other names are what they were."""
    own = socket.getaddrinfo

    def find(host, *arguments, **keywords):
        if host != "localhost":
            return own(host, *arguments, **keywords)
        return [entry for one in hosts for entry in own(one, *arguments, **keywords)]
    socket.getaddrinfo = find
    try:
        yield
    finally:
        socket.getaddrinfo = own


def listeners(socket, here, there):
    """What create_server() and bind() do, for both families."""
    def server(host, **options):
        def make():
            with socket.create_server((host, 0), **options) as listener:
                return listener.family, listener.getsockname()[0]
        return outcome(make)

    def bound(family, host, kind):
        def make():
            with socket.socket(family, kind) as sock:
                sock.bind((host, 0))
                return sock.getsockname()[0]
        return outcome(make)
    return [[server(host, family=family_of(socket, host)) for host in (here, there)],
            [server("", family=family) for family in (socket.AF_INET, socket.AF_INET6)],
            server("", family=socket.AF_INET6, dualstack_ipv6=True),
            [bound(family_of(socket, host), host, kind) for host in (here, there, "::", "0.0.0.0")
             for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]]


def connections(socket, here, there):
    """What create_connection() does for a host that is there, one that is not, and a name."""
    with socket.create_server((here, PORT), family=family_of(socket, here)) as listener:
        listener.settimeout(TIMEOUT_S)
        found = []
        for host in (here, there, "localhost"):
            def connect(host=host):
                with socket.create_connection((host, PORT), timeout=TIMEOUT_S) as client:
                    listener.accept()[0].close()
                    return client.getpeername()[0]
            found.append(outcome(connect))
        return found


def datagrams(socket, here, there):
    with socket.socket(family_of(socket, here), socket.SOCK_DGRAM) as sock, \
            socket.socket(family_of(socket, there), socket.SOCK_DGRAM) as other:
        sock.bind((here, 0))
        sock.settimeout(TIMEOUT_S)
        sock.sendto(b"to myself", sock.getsockname())
        return [sock.recvfrom(20)[0], outcome(lambda: other.sendto(b"to nowhere", (there, PORT))),
                outcome(lambda: other.connect((there, PORT)))]


def same_as_stdlib(name, tally):
    network, _, here, there = NETWORKS[name]
    with network() as (near, far), near.inside():
        for run in (listeners, connections, datagrams):
            def inside(socket, run=run):
                with resolving(socket, here, there):
                    first = run(socket, here, there)
                with resolving(socket, there, here):
                    return first, run(socket, here, there)
            found = tally.same(inside, run.__name__)
            if run is connections:
                for each in found:
                    tally.check(each[0] == here and each[2] == here, f"{run.__name__}: {found}")
                    tally.check(each[1][0] == "OSError", f"{run.__name__}: {found}")
                    tally.note(each[1])
            if run is datagrams:
                tally.check(found[0][0] == b"to myself" and found[0][1][0] == "OSError", found)


def bytes_over(name, socket, tally, chance):
    network, host, _, _ = NETWORKS[name]
    with network() as (near, far):
        ends = ENDS if socket is fastsock else {"sendall, recv": ENDS["sendall, recv"]}
        for end in ends.values():
            with connected(socket, near, far, host) as (a, b):
                both_ways(end, a, b, tally, chance, 16 * 1000)


def answers(server, space, host, tally, chance):
    """Does a server answer there? `server` is running in `space`."""
    port = server.addresses[0][1]
    with space.inside():
        client = fastsock.create_connection((host, port), timeout=TIMEOUT_S)
    with client:
        data = numbered(16 * 100, chance)
        send, receive = end_framed("Lines", client)
        tally.sends(data)
        send(data)
        tally.compare(data, receive(len(data)), f"the echo of {host}")


def servers(name, tally, chance):
    """serve() listens on what there is of a name's addresses, and of all addresses."""
    network, _, here, there = NETWORKS[name]
    with network() as (near, far):
        for host in (here, "", None, "localhost"):
            for order in ((here, there), (there, here)):
                with far.inside(), resolving(stdlib_socket, *order):
                    server = HandlerServer(bytes, (host, 0), framing=Lines())
                with server, running(server, far):
                    answers(server, far, here, tally, chance)
        with far.inside():
            with tally.raises(OSError) as raised:
                HandlerServer(bytes, (there, 0))
            tally.check(there in str(raised[0]), raised[0])
            with resolving(stdlib_socket, there), tally.raises(OSError):
                HandlerServer(bytes, ("localhost", 0))


def relays(name, tally, chance):
    """A Relay tries each of a name's addresses, and gets to the one that is there."""
    network, _, here, there = NETWORKS[name]
    with network() as (near, far), contextlib.ExitStack() as stack:
        with far.inside():
            target = stack.enter_context(HandlerServer(bytes, (here, 0), framing=Lines()))
        stack.enter_context(running(target, far))
        for order in ((here, there), (there, here)):
            with far.inside(), resolving(stdlib_socket, *order):
                relay = fastsock.Relay((here, 0), ("localhost", target.addresses[0][1]))
            with relay, running(relay, far):
                answers(relay, far, here, tally, chance)


for _name in NETWORKS:
    scenario(f"{_name}: as in the stdlib", on=("both",))(
        lambda socket, tally, chance, name=_name: same_as_stdlib(name, tally))
    scenario(f"{_name}: bytes")(
        lambda socket, tally, chance, name=_name: bytes_over(name, socket, tally, chance))
    scenario(f"{_name}: serve()", on=("fastsock",))(
        lambda socket, tally, chance, name=_name: servers(name, tally, chance))
    scenario(f"{_name}: Relay", on=("fastsock",))(
        lambda socket, tally, chance, name=_name: relays(name, tally, chance))


@scenario("both families: a dual-stack server serves both")
def dual_stack(socket, tally, chance):
    with Namespace() as near, near.inside(), \
            socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(TIMEOUT_S)
        for host, seen in (("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")):
            with socket.create_connection((host, listener.getsockname()[1]), TIMEOUT_S) as client:
                peer, address = listener.accept()
                with peer:
                    data = numbered(1600, chance)
                    tally.sends(data)
                    with Together(lambda: client.sendall(data)):
                        tally.compare(data, peer.recv(1600, socket.MSG_WAITALL), host)
                    tally.check(address[0] == seen, address)
