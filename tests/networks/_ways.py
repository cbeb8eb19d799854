"""The ways of moving bytes: everything of fastsock that receives or sends on a stream.

Job: `WAYS` maps a name to a function of (module, near, far, tally, chance, size) that moves
so many bytes from `near` to `far` and others back at the same time, and has the tally compare
them. `PLAIN` are those that the stdlib has, too.

Rules: addresses are those of linked(). Both directions run at once, so each way is also read
and written at once; the listener is the same implementation's.
"""

import contextlib
import functools
import select
import ssl
import tempfile
import threading

import fastsock
from fastsock import framing
from fastsock._serve import HandlerServer

from tests.networks._namespaces import FAR, NotPermitted
from tests.networks._tally import TIMEOUT_S, Together, numbered, pieces_of
from tests.serving import Echo

FRAMINGS = {"Lines": framing.Lines(), "LengthPrefix": framing.LengthPrefix(),
            "Varint": framing.Varint(), "Netstring": framing.Netstring(),
            "Fixed": framing.Fixed(16)}


# -- ends: (send, receive) of a connected socket ---------------------------------------------

def end_plain(sock):
    def receive(size):
        found = bytearray()
        while len(found) < size and (piece := sock.recv(size - len(found))):
            found += piece
        return bytes(found)
    return sock.sendall, receive


def end_pieces(sock):
    """send() and recv_into() of a socket that never waits, and select()."""
    sock.setblocking(False)

    def send(data):
        left = memoryview(data)
        while left:
            try:
                left = left[sock.send(left[:7000]):]
            except BlockingIOError:
                assert any(select.select([], [sock], [], TIMEOUT_S)), "nobody takes it"

    def receive(size):
        room, position = memoryview(bytearray(size)), 0
        while position < size:
            try:
                got = sock.recv_into(room[position:])
                if not got:
                    break
                position += got
            except BlockingIOError:
                assert any(select.select([sock], [], [], TIMEOUT_S)), "nothing comes"
        return bytes(room[:position])
    return send, receive


def end_file(sock):
    # Two files: one that is read while it is written is guarded by a lock.
    reading, writing = sock.makefile("rb"), sock.makefile("wb")

    def send(data):
        for piece in pieces_of(data):
            writing.write(piece)
        writing.flush()

    def receive(size):
        with reading:
            return reading.read(size)
    return send, receive


def end_messages(sock):
    def send(data):
        left = memoryview(data)
        while left:
            half = len(left[:9000]) // 2
            left = left[sock.sendmsg([left[:half], left[half:9000]]):]

    def receive(size):
        found = bytearray()
        while len(found) < size and (piece := sock.recvmsg(size - len(found))[0]):
            found += piece
        return bytes(found)
    return send, receive


def end_sendfile(sock):
    def send(data):
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            assert sock.sendfile(file) == len(data)
    return send, end_plain(sock)[1]


def end_exact(sock):
    def receive(size):
        some = sock.recv_exactly(size // 2)
        room = bytearray(size - len(some))
        sock.recv_exactly_into(room)
        return some + room
    return lambda data: sock.sendmsg_all(list(pieces_of(data))), receive


def end_stream(sock):
    stream = fastsock.Stream(sock)

    def send(data):
        for piece in pieces_of(data):
            stream.write(piece)
        stream.flush()

    def receive(size):
        found = [stream.readexactly(size // 3)]
        left = size - len(found[0])
        while left and (piece := stream.read(min(left, 30_000))):
            found.append(piece)
            left -= len(piece)
        return b"".join(found)
    return send, receive


def end_framed(name, sock):
    """Messages of a framing; they arrive in the pieces in which they were sent."""
    stream = fastsock.Stream(sock, framing=FRAMINGS[name])
    is_text, most = name == "Lines", 32 if name == "Fixed" else 5000

    def send(data):
        words = list(pieces_of(data, most))
        stream.send_messages([word.hex().encode() for word in words] if is_text else words)

    def receive(size):
        found, left = [], size
        while left > 0 and (some := stream.recv_messages()):
            if is_text:
                some = [bytes.fromhex(word.decode()) for word in some]
            found += some
            left -= sum(map(len, some))
        data = b"".join(found)
        assert found == list(pieces_of(data, most)), "messages were cut or glued"
        return data
    return send, receive


# -- connections -----------------------------------------------------------------------------

@contextlib.contextmanager
def connected(socket, near, far, host=FAR):
    """(a socket in `near`, one in `far`), with timeouts."""
    with far.inside():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
    with listener:
        listener.settimeout(TIMEOUT_S)
        with near.inside():
            client = socket.create_connection(listener.getsockname()[:2], timeout=TIMEOUT_S)
        with client:
            server, _ = listener.accept()
            with server:
                server.settimeout(TIMEOUT_S)
                yield client, server


def both_ways(end, a, b, tally, chance, size):
    """Each of two sockets sends and receives, all at once."""
    forth, back = numbered(size, chance), numbered(size // 2, chance)
    (send_a, receive_a), (send_b, receive_b) = end(a), end(b)

    def take(receive, expected, where):
        tally.compare(expected, receive(len(expected)), where)
    tally.sends(forth + back)
    with Together(lambda: send_a(forth), lambda: take(receive_b, forth, "forth"),
                  lambda: send_b(back), lambda: take(receive_a, back, "back")):
        pass


def way_between(end, socket, near, far, tally, chance, size):
    with connected(socket, near, far) as (a, b):
        both_ways(end, a, b, tally, chance, size)


def way_relay(socket, near, far, tally, chance, size):
    """relay() between a connection and a pair of sockets."""
    with connected(socket, near, far) as (a, b), contextlib.ExitStack() as stack:
        client, other = map(stack.enter_context, socket.socketpair())
        client.settimeout(TIMEOUT_S)
        moved = []
        with Together(lambda: moved.append(socket.relay(other, a, idle_timeout=TIMEOUT_S))):
            both_ways(end_plain, client, b, tally, chance, size)
            client.shutdown(socket.SHUT_WR)
            b.shutdown(socket.SHUT_WR)
        tally.check(moved == [(size, size // 2 // 16 * 16)], f"relay() says {moved}")


@contextlib.contextmanager
def running(server, space):
    """A server whose thread is in a namespace."""
    def run():
        with space.inside():
            server.serve_forever()
    with Together(run):
        try:
            yield server
        finally:
            server.shutdown(grace=5)


def way_relay_server(socket, near, far, tally, chance, size):
    """Relay in front of a listener, reached over another connection."""
    with far.inside():
        listener = socket.create_server((FAR, 0))
    with listener:
        listener.settimeout(TIMEOUT_S)
        with near.inside():
            server = fastsock.Relay(("127.0.0.1", 0), listener.getsockname())
        with running(server, near):
            with near.inside():
                client = socket.create_connection(server.addresses[0], timeout=TIMEOUT_S)
            with client:
                target, _ = listener.accept()
                with target:
                    target.settimeout(TIMEOUT_S)
                    both_ways(end_plain, client, target, tally, chance, size)
        tally.check(server.bytes_relayed == (size, size // 2 // 16 * 16),
                    f"Relay says {server.bytes_relayed}")


@functools.cache
def contexts():
    """(of clients, of servers)"""
    try:
        import trustme
    except ImportError:
        raise NotPermitted("trustme, which makes certificates, is missing") from None
    authority = trustme.CA()
    client, server = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(client)
    authority.issue_cert("localhost").configure_cert(server)
    return client, server


def echoed(end, server, near, far, tally, chance, size, context=None):
    """What a server in `far` echoes to a client in `near`."""
    with running(server, far):
        with near.inside():
            client = fastsock.create_connection(server.addresses[0], timeout=TIMEOUT_S)
        if context is not None:
            client = context.wrap_socket(client, server_hostname="localhost")
        with client:
            data = numbered(size, chance)
            tally.sends(data)
            send, receive = end(client)
            if context is not None:  # not to be used by two threads: little enough to wait
                for start in range(0, len(data), 16_000):
                    piece = data[start:start + 16_000]
                    send(piece)
                    tally.compare(piece, receive(len(piece)), "echo")
                return
            with Together(lambda: send(data)):
                tally.compare(data, receive(len(data)), "echo")


def way_server(socket, near, far, tally, chance, size):
    with far.inside():
        server = fastsock.Server(Echo, (FAR, 0))
    echoed(end_plain, server, near, far, tally, chance, size)


def way_server_tls(socket, near, far, tally, chance, size):
    of_client, of_server = contexts()
    with far.inside():
        server = fastsock.Server(Echo, (FAR, 0), ssl_context=of_server)
    echoed(end_plain, server, near, far, tally, chance, size, of_client)


def way_serve(socket, near, far, tally, chance, size):
    for name in ("Lines", "LengthPrefix"):
        seen = []

        def handler(message, seen=seen):
            seen.append(len(message))
            return message
        with far.inside():
            server = HandlerServer(handler, (FAR, 0), framing=FRAMINGS[name])
        echoed(functools.partial(end_framed, name), server, near, far, tally, chance, size // 2)
        each = 2 if name == "Lines" else 1  # in hexadecimal
        tally.check(sum(seen) == size // 2 // 16 * 16 * each, f"the handler had {sum(seen)} bytes")


#: Those that need no more than two connected sockets, wherever these are.
PLAIN_ENDS = {"sendall, recv": end_plain, "send, recv_into, select": end_pieces,
              "makefile": end_file, "sendmsg, recvmsg": end_messages, "sendfile": end_sendfile}
ENDS = {**PLAIN_ENDS, "recv_exactly, sendmsg_all": end_exact, "Stream": end_stream,
        **{f"messages of {name}": functools.partial(end_framed, name) for name in FRAMINGS}}
WAYS = {**{name: functools.partial(way_between, end) for name, end in ENDS.items()},
        "relay()": way_relay, "Relay": way_relay_server, "Server": way_server,
        "Server with TLS": way_server_tls, "serve()": way_serve}


def implementations_of(way):
    return ("stdlib", "fastsock") if way in PLAIN_ENDS else ("fastsock",)


def wait_until(is_so, what, timeout_s=TIMEOUT_S):
    """Look again and again; there is no call that waits for it."""
    event = threading.Event()
    for _ in range(int(timeout_s / 0.005)):
        if is_so():
            return
        event.wait(0.005)
    raise AssertionError(f"it never came that {what}")
