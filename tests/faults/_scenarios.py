"""What is done in one thread: connections, streams, datagrams, accepting.

Rules: a scenario sets up unwatched, does its part under `with run:`, and then, whether the
fault raised or not, proves three things: what was reported as sent arrived, the objects
still work, or are closed. Nothing in it knows which fault it was.
"""

import array
import contextlib
import functools
import os
import socket as stdlib_socket
import struct
import tempfile

import fastsock
from fastsock._platform_facts import facts
from fastsock.framing import Lines

from tests.faults._run import TIMEOUT_S, Flow, counted

SCENARIOS = {}
FACILITIES = facts()

#: No piece of it looks like another.
DATA = b"".join(struct.pack(">I", number) for number in range(1 << 17))
LARGE = DATA[:150_000]  # more than scratch memory, less than the buffers of a connection


def scenario(*arguments):
    """Name a function as a scenario; with arguments, once for each of them."""
    def name(function):
        title = function.__name__.replace("_", " ")
        for argument in arguments:
            text = argument if isinstance(argument, str) else " ".join(map(str, argument))
            SCENARIOS[f"{title}: {text}"] = functools.partial(
                function, *([argument] if isinstance(argument, str) else argument))
        if not arguments:
            SCENARIOS[title] = function
        return function
    return name


@contextlib.contextmanager
def connected(family, timeout):
    """Two connected sockets with a timeout, or none, and room for all that is sent."""
    if family == "unix":
        a, b = fastsock.socketpair()
    else:
        with stdlib_socket.create_server(("127.0.0.1", 0)) as listener:
            a = fastsock.create_connection(listener.getsockname())
            b = fastsock.adopt(listener.accept()[0])
    with a, b:
        for sock in a, b:
            sock.settimeout(timeout)
            for option in stdlib_socket.SO_SNDBUF, stdlib_socket.SO_RCVBUF:
                sock.setsockopt(stdlib_socket.SOL_SOCKET, option, 1 << 20)
            if family == "tcp":
                sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        yield a, b


def still_work(a, b):
    """Both directions carry data."""
    for source, target in (a, b), (b, a):
        source.settimeout(TIMEOUT_S)
        target.settimeout(TIMEOUT_S)
        source.sendall(b"still here")
        assert target.recv_exactly(10) == b"still here"


KINDS_OF_PAIRS = [("unix", None), ("unix", TIMEOUT_S), ("tcp", None), ("tcp", TIMEOUT_S)]


@scenario(*KINDS_OF_PAIRS)
def exchange(family, timeout, *, run):
    """send and recv in their kinds, both ways."""
    room = bytearray(70_000)
    with connected(family, timeout) as (a, b):
        forth, back = Flow(), Flow()

        def into(receive, *arguments):
            count = receive(room, *arguments)
            return room[:count if type(count) is int else count[0]]

        with run:
            forth.send(a.send, DATA[:100])
            forth.receive(b.recv, 100)
            forth.send(a.send, DATA[:6000])
            forth.receive(b.recv, 1 << 20)
            back.send_all(b.sendall, DATA[:9000])
            back.receive(a.recv_exactly, len(back.sent) - len(back.came))
            back.send_all(b.sendall, LARGE)
            while len(back.came) < len(back.sent):
                back.receive(into, a.recv_into)
            forth.send(a.send, DATA[:50])
            forth.receive(into, b.recv_into, 50)
            forth.send(a.send, DATA[:60])
            forth.receive(lambda: b.recvfrom(100)[0])
            forth.send(a.send, DATA[:70])
            forth.receive(into, b.recvfrom_into, 70)
        forth.drain(b, run)
        back.drain(a, run)
        forth.check(run)
        back.check(run)
        still_work(a, b)


@scenario(*KINDS_OF_PAIRS)
def gather(family, timeout, *, run):
    """sendmsg, sendmsg_all, recvmsg, recvmsg_into, recv_exactly_into."""
    few = [DATA[:10], b"", DATA[10:3000], DATA[3000:8000]]
    many = [DATA[start:start + 50] for start in range(0, 60_000, 50)]
    large = [LARGE[:70_000], bytearray(LARGE[70_000:])]
    one, other, exact = bytearray(1000), bytearray(9000), bytearray(5000)
    with connected(family, timeout) as (a, b):
        flow = Flow()
        with run:
            flow.send(lambda data: a.sendmsg(few), DATA[:8000])
            flow.receive(lambda: b.recvmsg(500)[0])

            def scattered():
                count = b.recvmsg_into([one, other])[0]
                return (one + other)[:count]

            while len(flow.came) < len(flow.sent):
                flow.receive(scattered)
            flow.send_all(a.sendmsg_all, DATA[:60_000], many)
            flow.send_all(a.sendmsg_all, LARGE, large)
            flow.receive(lambda: exact[:b.recv_exactly_into(exact)])
            flow.receive(b.recv_exactly, len(flow.sent) - len(flow.came))
        flow.drain(b, run)
        flow.check(run)
        still_work(a, b)


@scenario(("unix", None), ("unix", TIMEOUT_S))
def descriptors(family, timeout, *, run):
    """recvmsg with descriptors: each that came is closed, by whoever has it."""
    with connected(family, timeout) as (a, b), tempfile.TemporaryFile() as file:
        came = Flow()
        results = [None, None]
        turns = iter(range(len(results)))

        def take():
            turn = next(turns)
            # Kept before anything else is done, which might lack memory.
            results[turn] = b.recvmsg(10, stdlib_socket.CMSG_SPACE(12))
            return results[turn][0]

        try:
            with run:
                for size in 1, 3:
                    fds = array.array("i", [file.fileno()] * size)
                    came.send(lambda data: a.sendmsg(
                        [data], [(stdlib_socket.SOL_SOCKET, stdlib_socket.SCM_RIGHTS, fds)]),
                        b"x")
                    came.receive(take)
            came.drain(b, run)
            came.check(run)
            still_work(a, b)
        finally:
            for result in filter(None, results):
                for _, _, payload in result[1]:
                    for fd in array.array("i", payload):
                        assert os.path.sameopenfile(fd, file.fileno())
                        os.close(fd)


@scenario(("unix", None), ("tcp", TIMEOUT_S))
def makefile(family, timeout, *, run):
    """The files of a socket, buffered."""
    lines = [DATA[start:start + 40].replace(b"\n", b" ") + b"\n" for start in range(0, 4000, 40)]
    with connected(family, timeout) as (a, b):
        came = []
        with b.makefile("rb") as source, a.makefile("wb") as target:
            try:
                with run:
                    for line in lines[:50]:
                        target.write(line)
                    target.flush()
                    for _ in range(50):
                        came.append(source.readline())
            finally:
                with contextlib.suppress(OSError):
                    target.flush()  # what a fault had kept back, once more
                b.settimeout(0)
                rest = source.read() or b""
        # A file says b"" where the kernel says that nothing is there: then more is left.
        if run.error is None:
            assert b"".join(came) + rest == b"".join(lines[:50])
        elif not run.lacked_memory:
            assert b"".join(lines[:50]).startswith(b"".join(came))
        still_work(a, b)


@scenario(*KINDS_OF_PAIRS)
def stream(family, timeout, *, run):
    """Stream: lines, bytes, messages; what a fault left is taken after it."""
    lines = [b"line %d " % number + DATA[:number * 7].replace(b"\n", b"") for number in range(60)]
    with connected(family, timeout) as (a, b):
        with fastsock.Stream(a, framing=Lines()) as ours, \
                fastsock.Stream(b, framing=Lines()) as theirs:
            flow = Flow()
            written = bytearray()

            def write(data):
                ours.write(data)  # if it raises, it has taken none of them
                written.extend(data)

            with run:
                for line in lines[:20]:
                    write(line + b"\n")
                ours.flush()
                for line in lines[:20]:
                    flow.receive(theirs.readline)
                write(LARGE)
                ours.flush()
                flow.receive(theirs.readexactly, len(LARGE))
                write(b"a\nb\r\n")
                ours.flush()
                flow.receive(theirs.readuntil, b"\n")
                flow.receive(theirs.read, 100)
            # What was not sent is still there, and so is what came and was not read.
            for sock in a, b:
                sock.settimeout(TIMEOUT_S)
            ours.flush()
            if run.lacked_memory:  # which this function had need of, too
                ours.write(b"the end")
                ours.flush()
                end = b""
                while not end.endswith(b"the end"):
                    end = end[-6:] + theirs.read(1 << 16)
                written = flow.came
            while len(flow.came) < len(written):
                flow.receive(theirs.read, 1 << 16)
            flow.sent = written
            flow.check(run)
            ours.send_message(b"still here")
            assert theirs.recv_message() == b"still here"


@scenario(("unix", None), ("tcp", TIMEOUT_S))
def messages(family, timeout, *, run):
    """Stream: messages of a framing, one and many."""
    payloads = [b"message %d" % number for number in range(40)]
    with connected(family, timeout) as (a, b):
        with fastsock.Stream(a, framing=Lines()) as ours, \
                fastsock.Stream(b, framing=Lines()) as theirs:
            came = []
            with run:
                ours.send_message(payloads[0])
                came.append(theirs.recv_message())
                ours.send_messages(payloads[1:])
                while len(came) < len(payloads):
                    came += theirs.recv_messages(7)
            for sock in a, b:
                sock.settimeout(TIMEOUT_S)
            ours.flush()
            ours.send_message(b"still here")
            while not came or came[-1] != b"still here":
                came.append(theirs.recv_message())
            del came[-1]
            # In order, and none twice; all if nothing failed.
            assert run.lacked_memory or came == payloads[:len(came)]
            assert run.error is not None or came == payloads


@scenario("unix", "udp")
def datagrams(family, *, run):
    """sendto, recvfrom, sendmmsg, recvmmsg, a DatagramBatch."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        sockets = []
        for name in "a", "b":
            kind = stdlib_socket.AF_UNIX if family == "unix" else stdlib_socket.AF_INET
            sock = stack.enter_context(fastsock.socket(kind, stdlib_socket.SOCK_DGRAM))
            sock.bind(os.path.join(folder, name) if family == "unix" else ("127.0.0.1", 0))
            sock.settimeout(TIMEOUT_S)
            sockets.append(sock)
        a, b = sockets
        place = b.getsockname()
        sent, came, returned = [], [], []
        batch = fastsock.DatagramBatch(8)

        def count(send, payloads):
            try:
                sent.extend(payloads[:send()])
            except BaseException as error:
                sent.extend(payloads[:counted(error, "pieces_accepted")])
                raise

        with run:
            for payload in b"one", b"two":
                a.sendto(payload, place)
                sent.append(payload)
            came.append(b.recvfrom(100)[0])
            came.append(b.recv(100))
            several = [b"%d" % number for number in range(5)]
            count(lambda: a.sendmmsg((payload, place) for payload in several), several)
            while len(came) < len(sent):
                came += [data for data, _ in b.recvmmsg(4)]
            a.sendto(b"back", place)
            sent.append(b"back")
            number = b.recvmmsg_into(batch)
            came += [bytes(batch[index]) for index in range(number)]
            answers = [bytes(batch[index]) for index in range(number)]
            try:
                returned += answers[:b.sendmmsg_from(batch)]
            except BaseException as error:
                returned += answers[:counted(error, "pieces_accepted")]
                raise
        b.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                came.append(b.recv(1000))
        if not run.lacked_memory:
            assert came == sent
            assert [a.recv(100) for _ in returned] == returned
        b.settimeout(TIMEOUT_S)
        assert a.sendmmsg([(b"still here", place)]) == 1
        assert b.recvmmsg(3) == [(b"still here", a.getsockname())]


def is_over(client):
    """Has the other end hung up?"""
    client.settimeout(0)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        client.settimeout(TIMEOUT_S)


@scenario(("tcp", None), ("tcp", TIMEOUT_S), ("unix", TIMEOUT_S))
def accept(family, timeout, *, run):
    """accept and accept_many: who was not handed out still waits, or was hung up on."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        kind = stdlib_socket.AF_UNIX if family == "unix" else stdlib_socket.AF_INET
        listener = stack.enter_context(fastsock.socket(kind))
        listener.bind(os.path.join(folder, "s") if family == "unix" else ("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(timeout)
        clients = []
        for _ in range(6):
            client = stack.enter_context(stdlib_socket.socket(kind))
            client.connect(listener.getsockname())
            client.settimeout(TIMEOUT_S)
            clients.append(client)
        accepted = []
        with run:
            accepted.append(stack.enter_context(listener.accept()[0]))
            for sock, _ in listener.accept_many():
                accepted.append(stack.enter_context(sock))
            while len(accepted) < len(clients) and FACILITIES["atomic_flags"]:
                accepted.append(stack.enter_context(listener.accept()[0]))
        listener.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted.append(stack.enter_context(listener.accept()[0]))
        if run.lacked_memory:
            # Who belongs to whom is not known. The exception hands out those of accept_many().
            for sock, _ in getattr(run.error, "accepted", ()):
                sock.close()
            return
        if FACILITIES["atomic_flags"]:
            # A call that failed before it was made has taken nobody.
            assert len(accepted) == len(clients)
        else:
            # Whose flags could not be set was hung up on.
            clients = [client for client in clients if not is_over(client)]
            assert len(accepted) == len(clients) >= 5
        for number, (sock, client) in enumerate(zip(accepted, clients)):
            sock.settimeout(TIMEOUT_S)
            client.sendall(b"%d" % number)
            assert sock.recv(10) == b"%d" % number


@scenario()
def sockets_and_options(*, run):
    """socket, socketpair, bind, listen, options, names, shutdown, close."""
    with run, contextlib.ExitStack() as stack:
        one = stack.enter_context(fastsock.socket())
        one.settimeout(TIMEOUT_S)
        one.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
        assert one.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR)
        one.bind(("127.0.0.1", 0))
        one.listen()
        two = stack.enter_context(fastsock.socket())
        two.connect(one.getsockname())
        assert two.getpeername() == one.getsockname()
        two.shutdown(stdlib_socket.SHUT_WR)
        a, b = fastsock.socketpair()
        stack.enter_context(a)
        stack.enter_context(b)
        a.setblocking(False)
        a.set_busy_poll(10)
        stack.enter_context(fastsock.create_server(("127.0.0.1", 0)))


@scenario()
def default_timeout(*, run):
    """What is made while there is a default timeout."""
    before = stdlib_socket.getdefaulttimeout()
    stdlib_socket.setdefaulttimeout(TIMEOUT_S)
    try:
        with run, contextlib.ExitStack() as stack:
            listener = stack.enter_context(fastsock.create_server(("127.0.0.1", 0)))
            client = stack.enter_context(fastsock.create_connection(listener.getsockname()))
            server = stack.enter_context(listener.accept()[0])
            a, b = fastsock.socketpair()
            stack.enter_context(a)
            stack.enter_context(b)
            assert [sock.gettimeout() for sock in (client, server, a, b)] == [TIMEOUT_S] * 4
    finally:
        stdlib_socket.setdefaulttimeout(before)


@scenario((None, None, None), (TIMEOUT_S, None, None), (TIMEOUT_S, 0.01, None),
          (TIMEOUT_S, 0.01, TIMEOUT_S))
def create_connection(timeout, delay, deadline, *, run):
    """create_connection, in a row and in a race: the next address is tried, or the error
    is that of the last."""
    with stdlib_socket.create_server(("127.0.0.1", 0)) as listener, \
            contextlib.ExitStack() as stack:
        place = listener.getsockname()
        found = [(stdlib_socket.AF_INET, stdlib_socket.SOCK_STREAM, 6, "", place)] * 2
        names = fastsock
        before = names.getaddrinfo
        names.getaddrinfo = lambda *_, **__: found
        try:
            with run:
                sock = stack.enter_context(fastsock.create_connection(
                    ("somewhere", place[1]), timeout, happy_eyeballs_delay=delay,
                    total_timeout=deadline))
        finally:
            names.getaddrinfo = before
        if run.error is None:
            assert sock.gettimeout() == timeout
            sock.settimeout(TIMEOUT_S)
            listener.settimeout(TIMEOUT_S)
            # Whoever lost, or was given up, is in the backlog, too.
            while True:
                server = stack.enter_context(listener.accept()[0])
                if server.getpeername() == sock.getsockname():
                    break
            server.sendall(b"welcome")
            assert sock.recv_exactly(7) == b"welcome"
