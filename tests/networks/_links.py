"""Scenarios of a link that goes down in mid-transfer: for a while, and for good.

How: the wire lets so many bytes through and then none; the link is taken down, and up again
when TCP has tried in vain. What is timed out meanwhile says how far it was.
"""

import functools

import fastsock

from tests.networks._namespaces import LINK, NEAR
from tests.networks._tally import TIMEOUT_S, Together, numbered, outcome, scenario, shape_of
from tests.networks._ways import WAYS, connected, implementations_of, wait_until
from tests.networks._wire import wire

SIZE = 16 * 20_000
SHORT_S = 0.3
#: For sends that shall not fit into the buffers on the way.
LARGE = 16 * 500_000


def down_and_up(near, far, carrier):
    """When the wire's allowance is used up: down, until TCP noticed, and up."""
    def timeouts():
        return sum(space.counter("TcpExt", "TCPTimeouts") for space in (near, far))
    before = timeouts()
    assert carrier.used_up.wait(TIMEOUT_S), "there was nothing to interrupt"
    near.ip(f"link set {LINK} down")
    wait_until(lambda: timeouts() > before, "TCP waited in vain")
    near.ip(f"link set {LINK} up")
    carrier.allowed_bytes = None


def goes_down(way, device, socket, tally, chance):
    with wire(kind=device) as (near, far, carrier):
        carrier.allowed_bytes = chance.randrange(50_000, 150_000)
        with Together(functools.partial(down_and_up, near, far, carrier)):
            WAYS[way](socket, near, far, tally, chance, SIZE)


for _way in WAYS:
    scenario(f"link down and up: {_way}", on=implementations_of(_way))(
        functools.partial(goes_down, _way, "tun"))
scenario("link down and up, of packet sockets: sendall, recv")(
    functools.partial(goes_down, "sendall, recv", "veth"))


def interrupted(socket, tally, chance, send, receive):
    """Both sides time out while the link is down, and go on where they were."""
    data = numbered(LARGE, chance)
    with wire() as (near, far, carrier), connected(socket, near, far) as (a, b):
        a.settimeout(SHORT_S)
        b.settimeout(SHORT_S)
        carrier.allowed_bytes = 200_000
        rest_of_send, found = [], []
        with Together(lambda: rest_of_send.append(send(a, data))):
            rest_of_receive = receive(b, len(data), found)
        assert carrier.used_up.is_set()
        near.ip(f"link set {LINK} down")
        # Once more, now that the link is known to be down.
        for error in (error_of(rest_of_send[0]), error_of(rest_of_receive)):
            tally.check(isinstance(error, TimeoutError), f"{error!r} where a timeout was due")
            tally.note(error)
        near.ip(f"link set {LINK} up")
        carrier.allowed_bytes = None
        a.settimeout(TIMEOUT_S)
        b.settimeout(TIMEOUT_S)
        tally.sends(data)
        with Together(rest_of_send[0]):
            rest_of_receive()
        tally.compare(data, b"".join(found), "after the link was up again")


def error_of(function):
    try:
        function()
    except OSError as error:
        return error
    return None


class Sendall:
    """sendall() that goes on where .bytes_sent says."""

    def __init__(self, sock, data):
        self.sock, self.left = sock, memoryview(data)
        assert isinstance(error_of(self), TimeoutError)

    def __call__(self):
        try:
            self.sock.sendall(self.left)
        except TimeoutError as error:
            self.left = self.left[error.bytes_sent:]
            raise
        self.left = self.left[:0]


class Flush:
    """A Stream's write(): what was not sent stays in it."""

    def __init__(self, sock, data):
        self.stream = fastsock.Stream(sock, high_water=len(data) + 1)
        self.stream.write(data)
        assert isinstance(error_of(self), TimeoutError)

    def __call__(self):
        self.stream.flush()


class RecvExactly:
    """recv_exactly() that goes on after .partial."""

    def __init__(self, sock, size, found):
        self.sock, self.left, self.found = sock, size, found
        assert isinstance(error_of(self), TimeoutError)

    def __call__(self):
        try:
            self.found.append(self.sock.recv_exactly(self.left))
        except TimeoutError as error:
            self.found.append(error.partial)
            raise
        finally:
            self.left -= len(self.found[-1])


class ReadExactly:
    """A Stream's readexactly(): what came stays in it."""

    def __init__(self, sock, size, found):
        self.stream, self.size, self.found = fastsock.Stream(sock), size, found
        assert isinstance(error_of(self), TimeoutError)

    def __call__(self):
        self.found.append(self.stream.readexactly(self.size))


scenario("link down, timeouts: bytes_sent and partial", on=("fastsock",))(
    functools.partial(interrupted, send=Sendall, receive=RecvExactly))
scenario("link down, timeouts: a Stream keeps both", on=("fastsock",))(
    functools.partial(interrupted, send=Flush, receive=ReadExactly))


def lose(socket, tally, chance, kind, is_down):
    """(the error of sendall() on a link that is gone for good, was bytes_sent right?)"""
    with wire() as (near, far, carrier), connected(socket, near, far) as (a, b):
        a.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 400)
        if kind == "blocking":
            a.settimeout(None)
        carrier.allowed_bytes = 40_000
        data = numbered(LARGE, chance)
        raised = []
        with Together(lambda: raised.append(error_of(lambda: a.sendall(data)))):
            assert carrier.used_up.wait(TIMEOUT_S)
            if is_down:
                near.ip(f"link set {LINK} down")
        b.setblocking(False)
        arrived = b"".join(iter(lambda: take(b), b""))
        tally.sends(data[:len(arrived)])
        tally.compare(data[:len(arrived)], arrived, "what was acknowledged")
        error = raised[0]
        assert error is not None, "nothing was raised"
        sent = getattr(error, "bytes_sent", None)
        if sent is not None:
            tally.check(len(arrived) <= sent < len(data),
                        f"bytes_sent {sent}, of which {len(arrived)} arrived")
        # What is asked next, and after that.
        later = [shape_of(error_of(lambda: a.send(b"x"))), outcome(lambda: a.recv(1))]
        return shape_of(error), later


def take(sock):
    try:
        return sock.recv(1 << 16)
    except BlockingIOError:
        return b""


for _kind in ("blocking", "timeout"):
    for _is_down in (False, True):
        @scenario(f"link gone for good, {'down' if _is_down else 'silent'}: sendall, {_kind}",
                  on=("both",))
        def gone(_, tally, chance, kind=_kind, is_down=_is_down):
            error, _ = tally.same(lambda socket: lose(socket, tally, chance, kind, is_down),
                                  "sendall() and what follows")
            tally.check(error[0] in ("TimeoutError", "OSError"), error)
            tally.note(error)


@scenario("link gone for good: relay() says how much it moved", on=("fastsock",))
def gone_under_relay(socket, tally, chance):
    with wire() as (near, far, carrier), connected(socket, near, far) as (a, b):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            a.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 400)
            carrier.allowed_bytes = 40_000
            data = numbered(LARGE, chance)
            sent, errors = [], []

            def relays():
                try:
                    socket.relay(theirs, a)
                except OSError as error:
                    errors.append(error)
                    theirs.shutdown(socket.SHUT_RDWR)  # or the sender would wait for ever

            def sends():
                try:
                    ours.sendall(data)
                except OSError as error:
                    sent.append(error.bytes_sent)
            with Together(relays, sends):
                assert carrier.used_up.wait(TIMEOUT_S)
                near.ip(f"link set {LINK} down")
            b.setblocking(False)
            arrived = b"".join(iter(lambda: take(b), b""))
            tally.sends(data[:len(arrived)])
            tally.compare(data[:len(arrived)], arrived, "what was acknowledged")
            moved = errors[0].bytes_relayed
            tally.note(errors[0])
            tally.check(len(arrived) <= moved[0] <= sent[0] and moved[1] == 0,
                        f"{len(arrived)} arrived, {moved} relayed, {sent} sent")


@scenario("link down: a reset and a new connection", on=("both",))
def comes_back(_, tally, chance):
    """Whoever binds an address that is away, and connects while the link is down."""
    def attempt(socket):
        with wire() as (near, far, carrier):
            near.ip(f"link set {LINK} down")
            with near.inside():
                found = [outcome(lambda: socket.create_connection(("10.77.0.2", 9), timeout=0.2))]
                near.ip(f"link set {LINK} up")
                found.append(outcome(
                    lambda: socket.create_connection(("10.77.0.2", 9), timeout=TIMEOUT_S)))
                found.append(outcome(lambda: socket.create_server((NEAR, 4000)).close()))
        return found
    found = tally.same(attempt, "connecting")
    tally.check(found[0][0] == "OSError" and found[1][0] == "ConnectionRefusedError"
                and found[2] is None, found)
    for error in found[:2]:
        tally.note(error)
