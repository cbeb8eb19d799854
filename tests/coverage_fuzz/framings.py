"""Framings as plain data: feed() and encode(), against the plain reference."""

import struct

from fastsock.framing import (
    Fixed, FramingError, IncompleteReadError, LengthPrefix, LimitOverrunError, Lines, Netstring,
    Varint,
)

from tests.coverage_fuzz import reference
from tests.coverage_fuzz.target import Choices, Target, same

#: Some hold their own beginning at their end, so that a search must go back.
DELIMITERS = [b"\n", b"\0", b"\r\n", b"aa", b"aab", b"abab", b"\r\n\r\n", b"x" * 32]
FORMATS = ["!I", "b", "B", "<h", "!H", "=i", "@l", "!q", "<Q", "n", "N"]
DEFAULT = 255  # as a limit: what the class has

KINDS = [*((Lines, delimiter) for delimiter in DELIMITERS),
         *((LengthPrefix, form, counted) for form in FORMATS for counted in (False, True)),
         (Varint,), (Netstring,), (Fixed,)]

WORDS = (*DELIMITERS[:7], b"0:,", b"5:hello,", b"00", b"12:", b":", b"\x80\x80\x80\x80",
         b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\0\0\0\x05", b"\x05\0\0\0", b"\0\x01\x01\0",
         b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\x05")


def chosen_framing(choices):
    """A framing of any kind, with a limit of 1 to 254 bytes or its own."""
    kind, *arguments = choices.one_of(KINDS)
    limit = max(1, choices.number())
    if kind is Fixed:
        return Fixed(limit)
    if kind is LengthPrefix:
        form, counted = arguments
        width = struct.calcsize(form)
        most = (1 << 8 * width - form[-1].islower()) - 1 - width * counted
        limit = None if limit == DEFAULT else min(limit, most)
        return LengthPrefix(form, limit=limit, includes_header=counted)
    return kind(*arguments) if limit == DEFAULT else kind(*arguments, limit=limit)


class Framings(Target):
    """feed() of pieces: the messages, the error and what is left are those of the whole."""

    words = WORDS

    def check(self, data):
        choices = Choices(data)
        framing = chosen_framing(choices)
        pieces = choices.pieces()
        stream = b"".join(pieces)
        messages, at, rest = reference.all_messages(framing, stream)

        ours, error = self.fed(framing, pieces)
        same(ours, messages, framing, pieces)
        if rest.error is not None:
            same(type(error), rest.error, framing, pieces, error)
            self.check_error(framing, error, at, rest, stream)
        elif at < len(stream):
            same(type(error), IncompleteReadError, framing, pieces, error)
            same((error.partial, error.expected), (stream[at:], rest.total), framing, pieces)
        else:
            same(error, None, framing, pieces)
        for message in (*messages[:4], stream[-40:]):
            self.check_encoding(framing, message)

    def fed(self, framing, pieces):
        """(messages, the error at the end): of one stream, from its beginning to its end."""
        messages = []
        try:
            for piece in pieces:
                messages += framing.feed(piece)
            # What stands before an error was given out, the error comes with the next call.
            messages += framing.feed(b"")
        except (LimitOverrunError, FramingError) as error:
            same(self.raised_again(framing), (type(error), str(error)), framing, pieces)
            self.end(framing)
            return messages, error
        return messages, self.end(framing)

    def raised_again(self, framing):
        """The error stays: (its type, its text), of the next call."""
        try:
            return framing.feed(b"")
        except (LimitOverrunError, FramingError) as error:
            return type(error), str(error)

    def end(self, framing):
        """The error of feed_eof(), after which the framing is as new."""
        found = None
        try:
            framing.feed_eof()
        except (LimitOverrunError, FramingError, IncompleteReadError) as error:
            found = error
        same(framing.feed(b""), [], framing)
        same(framing.feed_eof(), None, framing)
        return found

    def check_error(self, framing, error, at, rest, stream):
        if rest.error is FramingError:
            same(error.position, at + rest.position, framing, stream)
            assert f"at byte {at + rest.position} of" in str(error), error
        else:
            assert 0 <= error.consumed <= len(stream) - at, (error.consumed, framing, stream)

    def check_encoding(self, framing, message):
        try:
            ours = framing.encode(message)
        except ValueError:
            ours = None
        same(ours, reference.encoded(framing, message), framing, message)
        if ours is not None:
            same((framing.feed(ours), framing.feed_eof()), ([message], None), framing, message)
