"""Servers that are sent anything: serve() with each framing, and the files over HTTP."""

import pathlib
import re
import socket
import tempfile

import fastsock
from fastsock.commands.http_files import FileProtocol
from fastsock.framing import Fixed, LengthPrefix, Lines, Netstring, Varint

from tests.coverage_fuzz import reference
from tests.coverage_fuzz.framings import WORDS
from tests.coverage_fuzz.target import Choices, Target, same
from tests.serving import Served, answering, receive_all

LIMIT = 40
FRAMINGS = [Lines(limit=LIMIT), Lines(b"\r\n", limit=LIMIT), LengthPrefix("!H", limit=LIMIT),
            LengthPrefix("<i", limit=LIMIT, includes_header=True), Varint(limit=LIMIT),
            Netstring(limit=LIMIT), Fixed(3)]


def answer(message):
    """None, one answer or several, as the message says."""
    if message[:1] == b"n":
        return None
    return [message, memoryview(message)] if message[:1] == b"l" else message


def answers(messages):
    return [answer(message) for message in messages]


def expected_answers(framing, stream):
    messages, _, _ = reference.all_messages(framing, stream)
    replies = []
    for message in messages:
        one = answer(message)
        replies += [] if one is None else one if type(one) is list else [one]
    return b"".join(reference.encoded(framing, bytes(one)) or b"" for one in replies)


class ServedMessages(Target):
    """Each whole message is answered, in order; behind what is none the connection ends."""

    words = (*WORDS, b"n", b"l")
    answer, answers = staticmethod(answer), staticmethod(answers)

    def open(self):
        folder = pathlib.Path(self.resources.enter_context(tempfile.TemporaryDirectory()))
        self.served = {
            (framing, is_batch): self.resources.enter_context(answering(
                self.answers if is_batch else self.answer, f"{folder}/{index}{is_batch:d}",
                framing=framing, batch=is_batch))
            for index, framing in enumerate(FRAMINGS) for is_batch in (False, True)}

    def check(self, data):
        choices = Choices(data)
        framing, is_batch = choices.one_of(FRAMINGS), bool(choices.number() & 1)
        pieces = choices.pieces()
        with self.served[framing, is_batch].connect() as client:
            got = told(client, pieces)
        same(got, expected_answers(framing, b"".join(pieces)), framing, is_batch, pieces)


def told(client, pieces):
    """Send pieces, and read all that comes until the end."""
    try:
        for piece in pieces:
            if piece:
                client.send(piece)
        client.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError, OSError):
        pass  # it has ended the connection
    return receive_all(client)


#: What may be had, and what must not.
FILES = {"a.txt": b"the first file\n", "sub/b.html": b"<p>below", "empty": b"",
         "large.bin": bytes(20_000)}
SECRET = b"what is beside the folder"
STATUS_LINE = re.compile(rb"HTTP/1\.1 (200|301|400|404|405|431) [A-Za-z ]+\r\n")


class HttpRequests(Target):
    """Whatever is asked: answers that are whole, the same in pieces, and no file from outside."""

    longest_bytes = 256
    words = (b"GET ", b"HEAD ", b"POST ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n\r\n", b"\r\n",
             b"/a.txt", b"/sub/b.html", b"/../secret", b"/%2e%2e/secret", b"%00", b"/empty",
             b"/large.bin", b"http://h/", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
             b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"/link", b"?q", b"#f",
             b"GET /a.txt HTTP/1.1\r\n\r\n", b"//", b"[", b"]", b"/sub", b"/sub/",
             b"%ff", b"%", b"/circle")
    make_protocol = FileProtocol

    def open(self):
        enter = self.resources.enter_context
        outside = pathlib.Path(enter(tempfile.TemporaryDirectory())).resolve()
        folder = outside / "folder"
        (folder / "sub").mkdir(parents=True)
        for name, content in FILES.items():
            (folder / name).write_bytes(content)
        (outside / "secret").write_bytes(SECRET)
        (folder / "link").symlink_to(outside / "secret")
        (folder / "circle").symlink_to("circle")
        server = enter(fastsock.Server(lambda: self.make_protocol(folder), str(outside / "s")))
        self.served = Served(server)
        self.resources.callback(self.served.thread.join)
        self.resources.callback(server.shutdown)
        self.served.thread.start()

    def check(self, data):
        choices = Choices(data)
        pieces = choices.pieces()
        stream = b"".join(pieces)
        whole, cut = (self.asked(each) for each in ([stream], pieces))
        same(without_dates(cut), without_dates(whole), pieces)
        assert SECRET not in whole, stream
        self.check_answers(whole, stream)

    def asked(self, pieces):
        with self.served.connect() as client:
            return told(client, pieces)

    def check_answers(self, data, stream):
        """A sequence of whole answers, at most one for each head that was sent."""
        count = 0
        while data:
            head, end, data = data.partition(b"\r\n\r\n")
            status = STATUS_LINE.match(head + b"\r\n")
            assert end and status, (head, stream)
            size = int(re.search(rb"\r\nContent-Length: (\d+)(\r\n|$)", head)[1])
            if status[1] != b"200":
                if b"HEAD " in stream and not data.startswith(status[1]):
                    size = 0  # the answer to HEAD
                else:
                    assert size and data[:size].startswith(status[1]), (head, data[:size], stream)
            elif data[:size] not in FILES.values() or not size:
                # The answer to HEAD: no body, whatever the length says.
                assert size in map(len, FILES.values()), (head, stream)
                size = 0
            data = data[size:]
            count += 1
        assert count <= stream.count(b"\r\n\r\n"), (count, stream)


def without_dates(answers_):
    return re.sub(rb"\r\nDate: [^\r]*", b"", answers_)
