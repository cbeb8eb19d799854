"""What a target is: a parser, and what must hold of it for any bytes.

Rules: check() raises AssertionError where something does not hold, and nothing otherwise. The
same bytes do the same each time. What it opens is in `self.resources`, and closed at its end.
"""

import contextlib


class Target:
    """A context manager: check() is for inside."""

    #: Inputs are cut off there: long ones hide what matters in them.
    longest_bytes = 160
    #: Byte strings that mean something to the parser.
    words = ()

    @staticmethod
    def why_not():
        """Why it can't run here, or None."""
        return None

    def __enter__(self):
        self.resources = contextlib.ExitStack()
        try:
            self.open()
        except BaseException:
            self.resources.close()
            raise
        return self

    def __exit__(self, *details):
        self.resources.close()

    def open(self):
        """What is needed for all inputs."""

    def check(self, data):
        """Parse `data`: AssertionError if it was parsed wrongly."""
        raise NotImplementedError


class Choices:
    """The front of an input says what is done with the rest of it; zeros follow its end."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def number(self, width=1):
        """Unsigned, of so many bytes."""
        return int.from_bytes(self.take(width), "little")

    def signed(self, width):
        return int.from_bytes(self.take(width), "little", signed=True)

    def one_of(self, choices):
        return choices[self.number() % len(choices)]

    def take(self, size):
        """The next bytes, fewer at the end."""
        taken = self.data[self.at:self.at + size]
        self.at += len(taken)
        return taken

    def rest(self):
        return self.take(len(self.data))

    @property
    def is_over(self):
        return self.at >= len(self.data)

    def pieces(self):
        """The rest, cut into up to 16 pieces of chosen sizes."""
        sizes = [self.number() for _ in range(self.number() & 15)]
        pieces = [self.take(size) for size in sizes]
        return [*pieces, self.rest()]


def same(ours, expected, *about):
    """Assert that they are equal, and say what differs."""
    if ours != expected:
        raise AssertionError(f"{ours!r} is not {expected!r}: {about!r}")


def result_of(function, *arguments):
    """What a call returned, or the type and text of what it raised."""
    try:
        return function(*arguments)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        return type(error), error.args
