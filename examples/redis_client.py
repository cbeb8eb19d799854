"""A client for redis on fastsock.Stream: pipelines SETs and reads them back.

    python redis_client.py --port 6379 --count 10000

RESP, the protocol of redis, is lines with lengths in front of what may contain
anything: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import argparse
import time

import fastsock


class RedisError(Exception):
    """The server answered a command with an error."""


class Redis:
    """One connection; execute() for one command, pipeline() for many at a time."""

    def __init__(self, address, timeout_s=5):
        self.stream = fastsock.Stream(fastsock.create_connection(address, timeout=timeout_s))

    def close(self):
        self.stream.close()

    def execute(self, *words):
        (reply,) = self.pipeline([words])
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def pipeline(self, commands):
        """Send all commands, then read all replies: a list, errors among them."""
        for words in commands:
            self.stream.write(b"*%d\r\n" % len(words) + b"".join(
                b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        self.stream.flush()
        return [self.read_reply() for _ in commands]

    def read_reply(self):
        line = self.stream.readuntil(b"\r\n")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.stream.readexactly(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read_reply() for _ in range(int(rest))]
        raise RedisError(f"no reply of redis: {line!r}")


def main():
    parser = argparse.ArgumentParser(description="Pipeline SETs to a redis server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    redis = Redis((options.host, options.port))
    sets = [(b"SET", b"fastsock:%d" % number, b"%d" % number) for number in range(options.count)]
    began_s = time.perf_counter()
    replies = redis.pipeline(sets)
    took_s = time.perf_counter() - began_s
    values = redis.pipeline([(b"GET", words[1]) for words in sets])
    print(f"{replies.count(b'OK')} of {options.count} set in {took_s:.3f} s, "
          f"{sum(value == words[2] for value, words in zip(values, sets))} read back")
    redis.pipeline([(b"DEL", words[1]) for words in sets])
    redis.close()


if __name__ == "__main__":
    main()
