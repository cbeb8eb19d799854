"""Stream over a socket pair: every way of reading, in any order, as the bytes arrive."""

import socket

import fastsock
from fastsock.framing import FramingError, IncompleteReadError, LimitOverrunError

from tests.coverage_fuzz import reference
from tests.coverage_fuzz.framings import WORDS, chosen_framing
from tests.coverage_fuzz.target import Choices, Target, same

SEPARATORS = [b"\n", b"\r\n", b"ab", b"aab", (b"\n", b"\r\n"), (b"a", b"ba", b"abc"), bytearray(b";")]
MOST_SENT = 200_000


class Streams(Target):
    """What a plain model of all that was sent says, a read gives: no byte is lost or doubled."""

    words = WORDS
    stream_class = fastsock.Stream

    def check(self, data):
        choices = Choices(data)
        framing = chosen_framing(choices)
        limit, read_size = choices.number() + 1, choices.one_of([1, 2, 7, 64, 65536])
        a, b = socket.socketpair()
        with a, fastsock.adopt(b) as receiver:
            a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MOST_SENT)
            receiver.setblocking(False)
            stream = self.stream_class(receiver, framing=framing, limit=limit,
                                       read_size=read_size)
            model = Model(a, stream, framing, limit, min(MOST_SENT, 200 * read_size))
            while not choices.is_over:
                model.step(choices)
            model.end()


class Model:
    """All that was sent and not read yet, and what each read must say."""

    def __init__(self, sender, stream, framing, limit, most_sent):
        self.most_sent = most_sent
        self.sender, self.stream = sender, stream
        self.framing, self.limit = framing, limit
        self.all = bytearray()  # that was sent
        self.at = 0             # how much of it was read
        self.has_ended = False
        self.about = []

    def step(self, choices):
        name = choices.one_of(STEPS)
        self.about.append(name)
        getattr(self, name)(choices)
        assert self.stream.pending() <= len(self.all) - self.at, self.about

    def end(self):
        """All that is left comes out, as it was sent."""
        self.finish(None)
        self.about.append("the end")
        same(self.outcome(self.stream.read), self.left, self.about)
        assert self.stream.at_eof(), self.about

    def outcome(self, function, *arguments):
        """What was returned, or what it raised: the class, and what is told beside it."""
        try:
            return function(*arguments)
        except IncompleteReadError as error:
            return IncompleteReadError, error.partial, error.expected
        except LimitOverrunError as error:
            assert 0 <= error.consumed <= len(self.left), (error.consumed, self.about)
            return LimitOverrunError
        except FramingError as error:
            return FramingError, error.position
        except (BlockingIOError, EOFError, ValueError) as error:
            return type(error)

    @property
    def left(self):
        """Sent, and not read."""
        return bytes(self.all[self.at:])

    @property
    def front(self):
        """As much of that as one message and all around it can be."""
        return bytes(self.all[self.at:self.at + self.framing.limit + 100])

    def taken(self, count):
        found = bytes(self.all[self.at:self.at + count])
        self.at += len(found)
        return found

    # -- what the peer does ------------------------------------------------------

    def send(self, choices):
        self.put(choices.take(choices.number() & 63))

    def send_many(self, choices):
        self.put(choices.take(1) * min(choices.number(2), self.most_sent - len(self.all)))

    def put(self, data):
        if not self.has_ended and len(self.all) + len(data) <= self.most_sent:
            self.sender.sendall(data)
            self.all += data

    def finish(self, choices):
        if not self.has_ended:
            self.sender.shutdown(socket.SHUT_WR)
            self.has_ended = True

    # -- ways of reading ---------------------------------------------------------

    def read(self, choices):
        most = choices.number()
        got = self.outcome(self.stream.read, most)
        self.check_some(got, most, BlockingIOError)

    def check_some(self, got, most, if_none):
        """Some of what is there, at least one byte if there is any."""
        if most == 0:
            same(got, b"", self.about)
        elif not self.left:
            same(got, b"" if self.has_ended else if_none, self.about)
        else:
            assert type(got) is bytes and 0 < len(got) <= most, (got, self.about)
            same(got, self.taken(len(got)), self.about)

    def read_into(self, choices):
        buffer = bytearray(choices.number())
        got = self.outcome(self.stream.readinto, buffer)
        if type(got) is int:
            got = bytes(buffer[:got])
        self.check_some(got, len(buffer), BlockingIOError)

    def peek(self, choices):
        most = choices.number() + 1
        got = self.outcome(self.stream.peek, most)
        if self.left:
            assert got and self.left[:most].startswith(got), (got, self.about)
        else:
            same(got, b"" if self.has_ended else BlockingIOError, self.about)

    def read_all(self, choices):
        got = self.outcome(self.stream.read)
        same(got, self.taken(len(self.left)) if self.has_ended else BlockingIOError, self.about)

    def read_exactly(self, choices):
        self.exactly(choices.number())

    def read_exactly_large(self, choices):
        self.exactly(65536 + choices.number(2))

    def exactly(self, count):
        got = self.outcome(self.stream.readexactly, count)
        if len(self.left) >= count:
            same(got, self.taken(count), self.about)
        elif self.has_ended:
            same(got, (IncompleteReadError, self.taken(count), count), self.about)
        else:
            same(got, BlockingIOError, self.about)

    def read_line(self, choices):
        got = self.outcome(self.stream.readline)
        expected = self.until((b"\n",))
        if type(expected) is tuple:
            expected = expected[1]
        same(got, expected, self.about)

    def read_until(self, choices):
        separator = choices.one_of(SEPARATORS)
        got = self.outcome(self.stream.readuntil, separator)
        same(got, self.until(separator if type(separator) is tuple else (bytes(separator),)),
             self.about)

    def until(self, separators):
        """The first that is complete ends it, the shorter of two that end together."""
        found = [(self.left.find(one) + len(one), len(one)) for one in separators
                 if one in self.left]
        if found:
            end, size = min(found)
            return self.taken(end) if end - size <= self.limit else LimitOverrunError
        if len(self.left) - max(map(len, separators)) + 1 > self.limit:
            return LimitOverrunError
        if self.has_ended:
            return IncompleteReadError, self.taken(len(self.left)), None
        return BlockingIOError

    # -- messages ----------------------------------------------------------------

    def no_message(self, found):
        """What is raised if there is no whole message."""
        if found.error is FramingError:
            return FramingError, self.at + found.position
        if found.error is not None:
            return found.error
        if not self.has_ended:
            return BlockingIOError
        if not self.left:
            return EOFError
        return IncompleteReadError, self.taken(len(self.left)), found.total

    def recv_message(self, choices):
        found = reference.first(self.framing, self.front)
        got = self.outcome(self.stream.recv_message)
        if found.message is not None:
            same(got, found.message, self.about)
            self.taken(found.total)
        else:
            same(got, self.no_message(found), self.about)

    def recv_messages(self, choices):
        most = choices.number() + 1
        found = reference.first(self.framing, self.front)
        got = self.outcome(self.stream.recv_messages, most)
        if found.message is not None:
            # As many as the receive brought that made the first whole.
            assert type(got) is list and 0 < len(got) <= most, (got, self.about)
            for message in got:
                found = reference.first(self.framing, self.front)
                same(message, found.message, self.about)
                self.taken(found.total)
        else:
            expected = self.no_message(found)
            same(got, [] if expected is EOFError else expected, self.about)

    def recv_message_into(self, choices):
        buffer = bytearray(choices.number())
        self.message_into(buffer)

    def recv_message_into_large(self, choices):
        self.message_into(bytearray(choices.number(2) * 4))

    def message_into(self, buffer):
        found = reference.first(self.framing, self.front)
        got = self.outcome(self.stream.recv_message_into, buffer)
        if found.error is None and found.size is not None and found.size > len(buffer):
            same(got, ValueError, self.about)
        elif found.message is not None:
            same((got, bytes(buffer[:got])), (found.size, found.message), self.about)
            self.taken(found.total)
        elif found.error is FramingError and got is ValueError:
            # The header said too much for the buffer, before the trailer had come.
            assert found.size is not None and found.size > len(buffer), self.about
        else:
            same(got, self.no_message(found), self.about)


STEPS = ["send", "send", "recv_message", "send_many", "recv_messages", "recv_message_into",
         "recv_message_into_large", "read", "read_into", "peek", "read_all", "read_exactly",
         "read_exactly_large", "read_line", "read_until", "finish"]
