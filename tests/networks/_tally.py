"""What a scenario is, and what it counts.

Job: `scenario()` registers one; `Tally` counts its bytes and errors, and what is wrong. Each
connection carries records of 16 bytes with numbers, so that what is missing or came twice can
be counted, not only seen to differ.
"""

import collections
import contextlib
import random
import socket as stdlib_socket
import struct
import threading

import fastsock

#: Every operation of a scenario ends by itself after this long.
TIMEOUT_S = 20.0

IMPLEMENTATIONS = {"stdlib": stdlib_socket, "fastsock": fastsock}

#: name: (function, the implementations it runs on). "both" gets no module: it compares them.
SCENARIOS = {}

RECORD = struct.Struct("!QQ")
MIXER = 0x9e3779b97f4a7c15


def scenario(name, on=("stdlib", "fastsock")):
    """Register a function of (module, tally, chance)."""
    def register(function):
        assert name not in SCENARIOS
        SCENARIOS[name] = function, on
        return function
    return register


class Wrong(Exception):
    """It is not as it must be; says how."""


class Tally:
    def __init__(self):
        self.sent_bytes = self.received_bytes = 0
        self.lost_bytes = self.duplicated_bytes = 0
        # Of datagrams, where the wire knows what it did.
        self.datagrams_sent = self.datagrams_received = 0
        self.datagrams_dropped = self.datagrams_doubled = 0     # by the wire
        self.datagrams_unexplained = 0
        self.errors = collections.Counter()
        self.wrong = []
        self.lock = threading.Lock()

    def sends(self, data):
        with self.lock:
            self.sent_bytes += len(data)

    def compare(self, expected, received, where):
        """Have just these bytes arrived?"""
        lost, duplicated = differences(expected, received)
        with self.lock:
            self.received_bytes += len(received)
            self.lost_bytes += lost
            self.duplicated_bytes += duplicated
            if expected != received:
                self.wrong.append(f"{where}: {len(received)} of {len(expected)} bytes, {lost} "
                                  f"lost, {duplicated} twice, or in another order")

    def check(self, is_right, what):
        if not is_right:
            with self.lock:
                self.wrong.append(str(what))

    def same(self, run, what):
        """Has run(module) the same result on both, or the same error? The result."""
        found = {}
        for name, module in IMPLEMENTATIONS.items():
            error = None
            try:
                found[name] = run(module)
            except OSError as caught:
                found[name] = error = shape_of(caught)
            self.note(error)
        self.check(found["stdlib"] == found["fastsock"],
                   f"{what}: {found['stdlib']} in the stdlib, {found['fastsock']} in fastsock")
        return found["fastsock"]

    def note(self, error):
        """Count an error that was met."""
        if error is not None:
            with self.lock:
                self.errors[error[0] if isinstance(error, tuple) else type(error).__name__] += 1

    @contextlib.contextmanager
    def raises(self, *classes):
        """Something of these must be raised inside; gives a list with it."""
        found = []
        try:
            yield found
        except classes as error:
            self.note(error)
            found.append(error)
        else:
            raise Wrong(f"nothing was raised, where {classes} was due")

    def figures(self):
        return {**{name: value for name, value in vars(self).items() if isinstance(value, int)},
                "errors": dict(self.errors), "wrong": self.wrong}


def shape_of(error):
    """What of an OSError must be the same in both."""
    return type(error).__name__, error.errno, str(error)


def outcome(function):
    """What it returns, or what it raises, in a form that can be compared."""
    try:
        return function()
    except OSError as error:
        return shape_of(error)


def numbered(size, chance):
    """Bytes in records with numbers; `size` is made a multiple of a record's."""
    start = chance.getrandbits(40) << 20
    return b"".join(RECORD.pack(number, number * MIXER & (1 << 64) - 1)
                    for number in range(start, start + size // RECORD.size))


def differences(expected, received):
    """(bytes that are missing, bytes that came more than once or were never sent)."""
    if expected == received:
        return 0, 0
    wanted, found = (collections.Counter(data[i:i + RECORD.size]
                                         for i in range(0, len(data), RECORD.size))
                     for data in (expected, received))
    lost = sum(map(len, (wanted - found).elements()))
    extra = sum(map(len, (found - wanted).elements()))
    return lost, extra


def pieces_of(data, most=5000):
    """Cut in the same way whoever asks: what is sent as messages is known to the receiver."""
    chance, position = random.Random(len(data)), 0
    while position < len(data):
        size = RECORD.size * chance.randrange(1, most // RECORD.size)
        yield data[position:position + size]
        position += size


class Together:
    """Functions at the same time, each in a thread; what one raises, join() raises."""

    def __init__(self, *functions):
        self.errors = []
        self.threads = [threading.Thread(target=self.run, args=(one,)) for one in functions]
        for thread in self.threads:
            thread.start()

    def run(self, function):
        try:
            function()
        except Exception as error:
            self.errors.append(error)

    def join(self, timeout_s=3 * TIMEOUT_S):
        for thread in self.threads:
            thread.join(timeout_s)
        if any(thread.is_alive() for thread in self.threads):
            raise Wrong(f"a thread goes on; errors: {self.errors}")
        if self.errors:
            raise self.errors[0]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.join()
