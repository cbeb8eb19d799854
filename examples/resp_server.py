"""A small server in redis's protocol on fastsock.Server: PING, ECHO, SET, GET and a few.

Terminal 1:  python resp_server.py --port 6380
Terminal 2:  redis-cli -p 6380 set colour green
             redis-benchmark -p 6380 -t ping,set,get -P 16 -q

RESP, the protocol of redis, is lines with lengths in front of what may contain
anything: https://redis.io/docs/latest/develop/reference/protocol-spec/
What arrives may be cut anywhere and hold many commands: they are taken one by one
from the front, and the answers to all that came together are sent together.
"""

import argparse
import signal

import fastsock

MOST_WORDS = 1024 * 1024
LONGEST_LINE = 64 * 1024
LARGEST_WORD = 512 * 1024 * 1024


class ProtocolError(Exception):
    """The client sent what is no command: there is no going on with it."""


class Parser:
    """Finds commands, lists of bytes, in bytes that were cut anywhere."""

    def __init__(self):
        self.unread = bytearray()
        self.position = 0           # where the next line or word begins
        self.words = []             # of the command that is being read
        self.missing = 0            # how many words of it are still to come
        self.size = None            # of the word to come, if its line was read

    def feed(self, data):
        """Yield each command that is whole now. Raises ProtocolError."""
        self.unread += data
        while (command := self.next_command()) is not None:
            if command:
                yield command
        del self.unread[:self.position]
        self.position = 0

    def next_command(self):
        """A command, empty for an empty one, or None until more has come."""
        if not self.missing:
            line = self.next_line()
            if line is None:
                return None
            if not line.startswith(b"*"):  # typed by hand
                return line.split()
            self.missing = self.number(line, 0, MOST_WORDS, "multibulk")
            self.words = []
        while self.missing:
            word = self.next_word()
            if word is None:
                return None
            self.words.append(word)
            self.missing -= 1
        return self.words

    def next_word(self):
        if self.size is None:
            line = self.next_line()
            if line is None:
                return None
            if not line.startswith(b"$"):
                raise ProtocolError(f"expected '$', got {chr(line[0]) if line else ''!r}")
            self.size = self.number(line, 0, LARGEST_WORD, "bulk")
        end = self.position + self.size
        if len(self.unread) < end + 2:
            return None
        word = bytes(self.unread[self.position:end])
        if self.unread[end:end + 2] != b"\r\n":
            raise ProtocolError("no line end behind a word")
        self.position = end + 2
        self.size = None
        return word

    def next_line(self):
        end = self.unread.find(b"\n", self.position)
        if (len(self.unread) if end < 0 else end) - self.position > LONGEST_LINE:
            raise ProtocolError("too big inline request")
        if end < 0:
            return None
        line = bytes(self.unread[self.position:end]).removesuffix(b"\r")
        self.position = end + 1
        return line

    def number(self, line, least, most, what):
        if not line[1:].isdigit() or len(line) > 20 or not least <= int(line[1:]) <= most:
            raise ProtocolError(f"invalid {what} length")
        return int(line[1:])


def bulk(value):
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def array(items):
    return b"*%d\r\n" % len(items) + b"".join(items)


class Store:
    """The values, and what each command does with them: words in, an answer out."""

    def __init__(self):
        self.values = {}

    def answer(self, words):
        name = words[0].upper().decode("latin-1")
        command = getattr(self, f"do_{name.lower()}", None) if name.isalpha() else None
        if command is None:
            return b"-ERR unknown command '%b'\r\n" % words[0][:128].translate(None, b"\r\n")
        try:
            return command(*words[1:])
        except TypeError:
            return b"-ERR wrong number of arguments for '%b' command\r\n" % words[0].lower()

    def do_ping(self, text=None, /):
        return b"+PONG\r\n" if text is None else bulk(text)

    def do_echo(self, text, /):
        return bulk(text)

    def do_set(self, key, value, /):
        self.values[key] = value
        return b"+OK\r\n"

    def do_get(self, key, /):
        return bulk(self.values.get(key))

    def do_command(self, *words):
        return array([])

    def do_config(self, verb, *names):
        if verb.upper() != b"GET":
            return b"-ERR only CONFIG GET is known here\r\n"
        known = {b"save": b"", b"appendonly": b"no"}
        return array([bulk(text) for name in names if name.lower() in known
                      for text in (name.lower(), known[name.lower()])])


class RespProtocol:
    """A connection, with the methods of an asyncio.Protocol."""

    def __init__(self, store):
        self.store = store
        self.parser = Parser()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        answers = []
        try:
            for words in self.parser.feed(data):
                answers.append(self.store.answer(words))
        except ProtocolError as error:
            answers.append(f"-ERR Protocol error: {error}\r\n".encode())
            self.transport.write(b"".join(answers))
            self.transport.close()
            return
        self.transport.write(b"".join(answers))

    def pause_writing(self):
        self.transport.pause_reading()  # whoever does not read its answers may wait

    def resume_writing(self):
        self.transport.resume_reading()

    def eof_received(self):
        return False  # close, when all was sent

    def connection_lost(self, error):
        pass


def main():
    parser = argparse.ArgumentParser(description="a small server in redis's protocol")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6380, help="0: any free port")
    options = parser.parse_args()
    store = Store()
    with fastsock.Server(lambda: RespProtocol(store), (options.host, options.port)) as server:
        signal.signal(signal.SIGTERM, lambda number, frame: server.shutdown(grace=1))
        print("listening on", *server.addresses[0], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
