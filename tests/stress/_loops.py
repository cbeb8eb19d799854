"""Every way to wait on a socket that fastsock has, as receivers and senders of one text.

Rules: a receiver is made of a socket; its `next()` returns the next bytes of the text, b""
at the end. A sender's `send(data)` returns how many bytes it sent. Nothing here knows what
happens meanwhile. Messages are handed on as they were framed, so that they, too, are the
next bytes of a text.
"""

import bisect
import contextlib
import dataclasses
import io
import itertools
import tempfile
from collections.abc import Callable

import fastsock
from fastsock import select, selectors
from fastsock.framing import Fixed, LengthPrefix, Lines, Netstring, Varint

from tests.stress._peers import PATTERN
from tests.stress._run import TIMEOUT_S

FIXED = 40
FRAMINGS = {"lines": Lines(), "length": LengthPrefix(), "varint": Varint(),
            "netstring": Netstring(), "fixed": Fixed(FIXED)}


def messages_of(framing, count=500):
    """So many payloads for a framing, none of which is like another."""
    sizes = [FIXED] * count if isinstance(framing, Fixed) else [
        9 + number * 7 % 400 for number in range(count)]
    return [b"%08x" % number + b"m" * (size - 8) for number, size in enumerate(sizes)]


TEXTS = {name: b"".join(map(framing.encode, messages_of(framing)))
         for name, framing in FRAMINGS.items()}

LINE_ENDS = tuple(itertools.accumulate(map(len, PATTERN.splitlines(True))))


@dataclasses.dataclass(frozen=True)
class Receiver:
    """`make(sock)` returns the function next()."""

    make: Callable
    needs: int = 1              # no call returns before so many bytes have come
    text: bytes = PATTERN
    #: Is what came of an interrupted call found afterwards? Not by what the interpreter's
    #: own io module had taken, nor by the kernel's MSG_WAITALL.
    keeps: bool = True
    #: Where calls may end in the text, if not everywhere or after just `needs` bytes.
    ends: tuple = ()

    def end_after(self, offset):
        """Where a call ends that begins at this offset of the text, at the earliest."""
        if not self.ends:
            return offset + max(self.needs, 10)
        turns, place = divmod(offset, len(self.text))
        return turns * len(self.text) + self.ends[bisect.bisect_right(self.ends, place)]


def into(receive, size=3000):
    """next(), for what receives into a buffer."""
    buffer = bytearray(size)

    def receive_bytes():
        found = receive(buffer)
        return bytes(buffer[:found if isinstance(found, int) else found[0]])
    return receive_bytes


def exactly_into(sock, size=700):
    buffer = bytearray(size)
    return lambda: bytes(buffer[:sock.recv_exactly_into(buffer)])


def into_two(sock):
    one, other = bytearray(100), bytearray(5000)

    def receive():
        count = sock.recvmsg_into([one, other])[0]
        return bytes((one + other)[:count])
    return receive


def by_file(method, buffering=-1):
    """Of the file of a socket, which lives as long as the function."""
    def make(sock):
        file = sock.makefile("rb", buffering)
        return lambda: method(file)
    return make


def into_file(sock):
    file = io.BufferedReader(fastsock.SocketIO(sock, "r"), 100)
    sock._io_refs += 1  # as makefile() does
    return into(file.readinto)


def by_stream(method, framing=None):
    def make(sock):
        stream = fastsock.Stream(sock, framing=framing)
        return lambda: method(stream)
    return make


def messages_by_stream(name, method):
    framing = FRAMINGS[name]

    def receive(stream):
        try:
            return b"".join(map(framing.encode, method(stream)))
        except fastsock.IncompleteReadError:
            raise
        except EOFError:
            return b""
    ends = itertools.accumulate(len(framing.encode(one)) for one in messages_of(framing))
    return Receiver(by_stream(receive, framing), 2, TEXTS[name], True, tuple(ends))


def message_into(stream, buffer=bytearray(1000)):
    return bytes(buffer[:stream.recv_message_into(buffer)])


def after(wait):
    """Wait by a function of (socket, seconds or None), then receive what is there."""
    def make(sock):
        def receive():
            timeout = sock.gettimeout()
            while True:
                if not wait(sock, timeout):
                    raise TimeoutError("nothing became ready")
                with contextlib.suppress(BlockingIOError):
                    return sock.recv(4000, fastsock.MSG_DONTWAIT)
        return receive
    return make


def by_poll(sock, timeout):
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll(None if timeout is None else timeout * 1000)


def by_epoll(sock, timeout):
    with select.epoll() as epoll:
        epoll.register(sock, select.EPOLLIN)
        return epoll.poll(timeout)


def by_selector(cls):
    def wait(sock, timeout):
        with cls() as selector:
            selector.register(sock, selectors.EVENT_READ)
            return selector.select(timeout)
    return wait


RECEIVERS = {
    "recv": Receiver(lambda sock: lambda: sock.recv(1000)),
    "recv of much": Receiver(lambda sock: lambda: sock.recv(1 << 20)),
    "recv with MSG_WAITALL": Receiver(
        lambda sock: lambda: sock.recv(500, fastsock.MSG_WAITALL), 1, PATTERN, False),
    "recv_into": Receiver(lambda sock: into(sock.recv_into)),
    "recvfrom": Receiver(lambda sock: lambda: sock.recvfrom(1000)[0]),
    "recvfrom_into": Receiver(lambda sock: into(sock.recvfrom_into)),
    "recvmsg": Receiver(lambda sock: lambda: sock.recvmsg(1000, 100)[0]),
    "recvmsg_into": Receiver(into_two),
    "recv_exactly": Receiver(lambda sock: lambda: sock.recv_exactly(700), 700),
    "recv_exactly of much": Receiver(lambda sock: lambda: sock.recv_exactly(9000), 9000),
    "recv_exactly_into": Receiver(exactly_into, 700),
    "Stream.read": Receiver(by_stream(lambda stream: stream.read(1000))),
    "Stream.readinto": Receiver(lambda sock: into(fastsock.Stream(sock).readinto)),
    "Stream.readexactly": Receiver(by_stream(lambda stream: stream.readexactly(700)), 700),
    "Stream.readuntil": Receiver(by_stream(lambda stream: stream.readuntil(b"\n")), 20,
                                 PATTERN, True, LINE_ENDS),
    "Stream.readline": Receiver(by_stream(lambda stream: stream.readline()), 20,
                                PATTERN, True, LINE_ENDS),
    "Stream.peek": Receiver(by_stream(lambda stream: stream.read(len(stream.peek(30))))),
    **{f"Stream.recv_message: {name}": messages_by_stream(
        name, lambda stream: [stream.recv_message()]) for name in FRAMINGS},
    "Stream.recv_messages": messages_by_stream("lines", lambda stream: stream.recv_messages(9)),
    "Stream.recv_message_into": messages_by_stream(
        "length", lambda stream: [message_into(stream)]),
    "makefile, raw": Receiver(by_file(lambda file: file.read(1000), 0)),
    "makefile, read1": Receiver(by_file(lambda file: file.read1(1000))),
    "makefile, read": Receiver(by_file(lambda file: file.read(700)), 700, PATTERN, False),
    "makefile, readline": Receiver(by_file(lambda file: file.readline()), 20, PATTERN, False),
    "makefile, readinto": Receiver(into_file, 3000, PATTERN, False),
    "select.select": Receiver(after(lambda sock, timeout: select.select(
        [sock], [], [], timeout)[0])),
    "select.poll": Receiver(after(by_poll)),
    "DefaultSelector": Receiver(after(by_selector(selectors.DefaultSelector))),
    "PollSelector": Receiver(after(by_selector(selectors.PollSelector))),
    "SelectSelector": Receiver(after(by_selector(selectors.SelectSelector))),
}
if hasattr(select, "epoll"):
    RECEIVERS["select.epoll"] = Receiver(after(by_epoll))


@dataclasses.dataclass(frozen=True)
class Sender:
    """`make(sock)` returns send(data): how many bytes it sent."""

    make: Callable
    #: Does it send all, or is there an exception that says in `.bytes_sent` how much it sent?
    sends_all: bool = True
    keeps: bool = True


def everything(send):
    def send_data(data):
        send(data)
        return len(data)
    return send_data


def in_parts(data, size):
    return [data[start:start + size] for start in range(0, len(data), size)]


def by_sendfile(sock):
    def send(data):
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)  # from where sendfile() reads, if the kernel's can't be used
            return sock.sendfile(file)
    return send


def by_writing(sock):
    stream = fastsock.Stream(sock)

    def send(data):
        stream.write(data)
        stream.flush()
    return everything(send)


def by_messages(sock):
    # Lines of the text are its messages.
    stream = fastsock.Stream(sock, framing=Lines())

    def send(data):
        whole, end, rest = data.rpartition(b"\n")
        if end:
            stream.send_messages(whole.split(b"\n"))
        stream.write(rest)
        stream.flush()
    return everything(send)


def by_written_file(sock):
    file = sock.makefile("wb")

    def send(data):
        file.write(data)
        file.flush()
    return everything(send)


def after_waiting(sock):
    def send(data):
        timeout = sock.gettimeout()
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            while True:
                if not selector.select(timeout):
                    raise TimeoutError("nothing became writable")
                with contextlib.suppress(BlockingIOError):
                    return sock.send(data, fastsock.MSG_DONTWAIT)
    return send


SENDERS = {
    "send": Sender(lambda sock: sock.send, False),
    "sendall": Sender(lambda sock: everything(sock.sendall)),
    "sendmsg": Sender(lambda sock: lambda data: sock.sendmsg(in_parts(data, 5000)[:100]), False),
    "sendmsg_all": Sender(lambda sock: everything(
        lambda data: sock.sendmsg_all(in_parts(data, 5000)))),
    "sendmsg_all of many": Sender(lambda sock: everything(
        lambda data: sock.sendmsg_all(in_parts(data, 30)))),
    "sendfile": Sender(by_sendfile, True, False),
    "Stream.write": Sender(by_writing),
    "Stream.send_messages": Sender(by_messages),
    "makefile, write": Sender(by_written_file, True, False),
    "DefaultSelector, to write": Sender(after_waiting, False),
}

TIMEOUTS = {"blocking": None, "timeout": TIMEOUT_S}
