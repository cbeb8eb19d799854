"""fastsock.framing as plain data: where a message ends, however the bytes were cut.

Each framing is compared with a reference in plain Python, on good streams and on garbage.
Where a wrong answer may be a crash or an endless loop, a process of its own is asked.
"""

import array
import concurrent.futures
import contextlib
import io
import itertools
import pickle
import random
import re
import struct
from functools import partial

import pytest

from fastsock.framing import (
    Fixed, Framing, FramingError, IncompleteReadError, LengthPrefix, LimitOverrunError, Lines,
    Netstring, Varint,
)

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

MIB = 1 << 20
LARGEST_LIMIT = 1 << 40
NUMBERS = sorted({sign * (1 << bits) + near
                  for bits in range(65) for near in (-1, 0, 1) for sign in (-1, 1)})
THREE = type("Three", (), {"__index__": lambda self: 3})()

#: Some hold their own beginning at their end, so that a search must go back.
DELIMITERS = [b"\n", b"\0", b"\r\n", b"\r\r", b"aa", b"aab", b"aba", b"abab", b"\r\n\r\n"]

FORMATS = [*map("".join, itertools.product(["", *"@=<>!"], "bBhHiIlLqQ")), "n", "N", "@n", "@N"]

LIMITS = st.integers(1, 12) | st.just(1000)
CUTS = st.lists(st.integers(0, 1000), max_size=8)


def makers(kind, *arguments, **settings):
    return st.builds(partial, st.just(kind), *arguments, **settings)


#: How to make the framings of a class, and the bytes that mean something to them.
FAMILIES = {
    "Lines": (makers(Lines, st.sampled_from(DELIMITERS), limit=LIMITS), b"\r\nab\0"),
    "LengthPrefix": (makers(LengthPrefix, st.sampled_from(FORMATS), includes_header=st.booleans(),
                            limit=st.integers(1, 12) | st.none()),
                     b"\0\0\0\0\1\2\3\5\x09\x7f\x80\xff"),
    "Varint": (makers(Varint, limit=LIMITS), b"\0\1\2\5\x7f\x80\x80\x81\xff"),
    "Netstring": (makers(Netstring, limit=LIMITS), b"00123::,,a-\xb5"),
    "Fixed": (makers(Fixed, st.integers(1, 9)), b"ab"),
}

#: One of each class and more, with room for any message of a test.
ROOMY = {
    "Lines": partial(Lines, limit=MIB), "long delimiter": partial(Lines, b"\r\n\r\n", limit=MIB),
    "LengthPrefix": LengthPrefix, "with header": partial(LengthPrefix, "<q", includes_header=True),
    "Varint": Varint, "Netstring": Netstring, "Fixed": partial(Fixed, 1000),
}

families = pytest.mark.parametrize("family", FAMILIES)
roomy = pytest.mark.parametrize("make", ROOMY.values(), ids=ROOMY)
bounded = hypothesis.settings(max_examples=100, deadline=None, database=None)


# -- the reference ----------------------------------------------------------------

def varint(number):
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


# What is known of the first message: (header, size, trailer), (error, position), or None.

def first_line(framing, data):
    payload, delimiter, _ = data.partition(framing.delimiter)
    if delimiter:
        return 0, len(payload), len(delimiter)
    if len(data) - len(framing.delimiter) + 1 > framing.limit:
        return LimitOverrunError, None


def first_length_prefixed(framing, data):
    width = struct.calcsize(framing.format)
    if len(data) >= width:
        size = struct.unpack_from(framing.format, data)[0]
        least = width * framing.includes_header
        if size < least:
            return FramingError, 0
        return width, size - least, 0


def first_varint(framing, data):
    size = 0
    for index, byte in enumerate(data):
        size += (byte & 127) * 128 ** index
        if index == 9 and (byte & 128 or size >> 64):
            return FramingError, 9
        if byte < 128:
            return index + 1, size, 0


def first_netstring(framing, data):
    digits, end = re.match(rb"(0|[1-9][0-9]*|)(.?)", data, re.DOTALL).groups()
    if digits and int(digits) > framing.limit:
        return LimitOverrunError, None
    if digits and end == b":":
        return len(digits) + 1, int(digits), 1
    if end:
        return FramingError, 0 if digits == b"0" and end.isdigit() else len(digits)


FIRST = {Lines: first_line, LengthPrefix: first_length_prefixed, Varint: first_varint,
         Netstring: first_netstring, Fixed: lambda framing, data: (0, framing.size, 0)}


def reference(framing, data):
    """What `outcome` must be for a stream of these bytes."""
    messages, at = [], 0
    while at < len(data):
        rest = data[at:]
        found = FIRST[type(framing)](framing, rest)
        if found is None:
            return messages, IncompleteReadError, (rest, None)
        if len(found) == 2:
            error, where = found
            return messages, error, None if where is None else at + where
        header, size, trailer = found
        if size > framing.limit:
            return messages, LimitOverrunError, None
        total = header + size + trailer
        if len(rest) < total:
            return messages, IncompleteReadError, (rest, total)
        if type(framing) is Netstring and rest[total - 1:total] != b",":
            return messages, FramingError, at + total - 1
        messages.append(rest[header:header + size])
        at += total
    return messages, None, None


def reference_encode(framing, payload):
    """What encode() must give; None where it must refuse."""
    kind, size = type(framing), len(payload)
    if size > framing.limit or kind is Fixed and size != framing.size:
        return None
    if kind is Lines:
        line = payload + framing.delimiter
        return line if line.find(framing.delimiter) == size else None
    if kind is LengthPrefix:
        counted = struct.calcsize(framing.format) * framing.includes_header
        return struct.pack(framing.format, size + counted) + payload
    if kind is Netstring:
        return b"%d:%b," % (size, payload)
    return varint(size) + payload if kind is Varint else payload


# -- any bytes, cut anywhere ------------------------------------------------------

def outcome(framing, pieces):
    """All that a stream gives: its messages, the class of the error that ends it or None,
    and the error's position or (partial, expected)."""
    messages = []
    try:
        for piece in pieces:
            messages += framing.feed(piece)
        assert framing.feed(b"") == []
        assert framing.feed_eof() is None
    except (LimitOverrunError, FramingError) as error:
        return messages, type(error), getattr(error, "position", None)
    except IncompleteReadError as error:
        return messages, IncompleteReadError, (error.partial, error.expected)
    return messages, None, None


def each_byte(data):
    return [data[at:at + 1] for at in range(len(data))]


def cut(data, points):
    ends = sorted(point % (len(data) + 1) for point in points)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)])]


@st.composite
def a_framing_and_payloads(draw, family):
    likely_makers, alphabet = FAMILIES[family]
    make = draw(likely_makers)
    size = make().limit if family == "Fixed" else draw(st.integers(0, 14))
    likely = st.lists(st.sampled_from(alphabet), min_size=size, max_size=size).map(bytes)
    return make, draw(st.lists(likely | st.binary(max_size=14), max_size=8))


@families
@hypothesis.given(st.data())
@bounded
def test_what_encode_accepts_comes_out_again(family, data):
    make, payloads = data.draw(a_framing_and_payloads(family))
    framing, accepted, stream = make(), [], b""
    for payload in payloads:
        expected = reference_encode(framing, payload)
        if expected is None:
            with pytest.raises(ValueError):
                framing.encode(payload)
        else:
            assert framing.encode(payload) == expected
            accepted.append(payload)
            stream += expected
    for pieces in [stream], each_byte(stream), cut(stream, data.draw(CUTS)):
        assert outcome(make(), pieces) == (accepted, None, None)


@families
@hypothesis.given(st.data())
@bounded
def test_any_bytes_cut_anywhere(family, data):
    """A message comes with its last byte, and an error with the first that shows it."""
    make, payloads = data.draw(a_framing_and_payloads(family))
    # Some are good messages, so that garbage is behind such, too.
    stream = b"".join(data.draw(st.booleans()) and reference_encode(make(), payload) or payload
                      for payload in payloads)
    for pieces in [stream], cut(stream, data.draw(CUTS)):
        assert outcome(make(), pieces) == reference(make(), stream)
    framing, messages, taken = make(), [], 0
    for end, byte in enumerate(each_byte(stream), 1):
        expected, error, detail = reference(framing, stream[:end])
        if error in (LimitOverrunError, FramingError):
            with pytest.raises(error) as caught:
                framing.feed(byte)
            assert error is FramingError or caught.value.consumed == (
                framing.limit + 1 if family == "Lines" else end - taken)
            break
        messages += framing.feed(byte)
        assert messages == expected
        assert all(len(message) <= framing.limit for message in messages)
        pending = 0 if error is None else len(detail[0])
        assert pending < framing.limit + 10  # a varint is the longest header
        taken = end - pending


@roomy
def test_sizes_around_those_of_the_memory(make):
    """Memory is moved, grows and is given back between these sizes."""
    chosen = random.Random(7)
    around = [0, 1, 511, 512, 513, 4096, 65535, 69631, 69632, 69633, 200_000]
    sizes = [1000] * 400 if type(make()) is Fixed else chosen.choices(around, k=60)
    payloads = [bytes([chosen.randint(14, 255)]) * size for size in sizes]
    stream = b"".join(map(make().encode, payloads))
    for count in 1, 10, 100, 3000:
        pieces = cut(stream, [chosen.randrange(len(stream)) for _ in range(count)])
        assert outcome(make(), pieces) == (payloads, None, None)


@pytest.mark.parametrize("format", FORMATS)
def test_each_integer_of_struct(format):
    width, is_signed = struct.calcsize(format), format[-1].islower()
    for includes_header in False, True:
        most = (1 << 8 * width - is_signed) - 1 - width * includes_header
        limit = min(most, LARGEST_LIMIT)
        make = partial(LengthPrefix, format, includes_header=includes_header)
        assert (make().format, make().includes_header) == (format, includes_header)
        assert (make().limit, make(limit=limit).limit) == (min(16 * MIB, most), limit)
        with pytest.raises(ValueError):
            make(limit=limit + 1)
        for number in NUMBERS:
            with contextlib.suppress(struct.error):
                header = struct.pack(format, number)
                for framing in make(), make(limit=limit), make(limit=1):
                    assert outcome(framing, [header]) == reference(framing, header)
        for payload in b"", b"x", b"x" * min(most, 300):
            assert make().encode(payload) == reference_encode(make(), payload)


@pytest.mark.parametrize("limit", [1, 127, 128, LARGEST_LIMIT])
@pytest.mark.parametrize("kind, write", [(Varint, varint), (Netstring, b"%d:".__mod__)])
def test_each_size_of_a_header(kind, write, limit):
    for header in map(write, filter((-1).__lt__, NUMBERS)):
        framing = kind(limit=limit)
        assert outcome(framing, each_byte(header)) == reference(framing, header)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 100_000])
def test_varint_is_protobufs_delimited_form(size):
    proto = pytest.importorskip("google.protobuf.proto")
    BytesValue = pytest.importorskip("google.protobuf.wrappers_pb2").BytesValue
    message, file = BytesValue(value=b"x" * size), io.BytesIO()
    proto.serialize_length_prefixed(message, file)
    payload = message.SerializeToString()
    assert Varint().encode(payload) == file.getvalue()
    assert Varint().feed(file.getvalue() * 3) == [payload] * 3


# -- errors -----------------------------------------------------------------------

#: Its position is the last; that of a message that is too long, None.
BAD = {
    "varint over 10 bytes": (Varint, b"\x80" * 10 + b"\0", 9),
    "varint over 64 bits": (Varint, b"\x80" * 9 + b"\x02", 9),
    "no netstring": (Netstring, b"hello", 0),
    "netstring without a colon": (Netstring, b"5hello,", 1),
    "netstring with a zero in front": (Netstring, b"05:hello,", 0),
    "netstring without a comma": (Netstring, b"5:hello\n", 7),
    "negative length": (partial(LengthPrefix, "!i"), b"\x80\0\0\0", 0),
    "negative with header": (partial(LengthPrefix, "<h", includes_header=True), b"\xff\xff", 0),
    "less than header": (partial(LengthPrefix, "!I", includes_header=True), b"\0\0\0\3", 0),
    "long line": (partial(Lines, limit=3), b"abcd", None),
    "long line with its end": (partial(Lines, limit=3), b"abcd\n", None),
    "length": (partial(LengthPrefix, limit=3), b"\0\0\0\4", None),
    "with header": (partial(LengthPrefix, "B", limit=3, includes_header=True), b"\5", None),
    "varint": (partial(Varint, limit=3), b"\4", None),
    "netstring": (partial(Netstring, limit=3), b"4", None),
}


@pytest.mark.parametrize("make, bad, at", BAD.values(), ids=BAD)
def test_a_bad_message(make, bad, at):
    error = LimitOverrunError if at is None else FramingError
    for before in [], [b"a"], [b"a", b"", b"bcd"] * 300:
        good = b"".join(map(make().encode, before))
        expected = before, error, None if at is None else len(good) + at
        for pieces in [good + bad], each_byte(good + bad), [good + bad + good, b"x"]:
            assert outcome(make(), pieces) == expected


@pytest.mark.parametrize("make, bad, at", BAD.values(), ids=BAD)
def test_an_error_comes_with_the_next_call_and_stays(make, bad, at):
    good = make().encode(b"a")
    for calls in (["feed", b""], ["feed", b""]), (["feed", good],) * 2, (["feed_eof"],):
        framing = make()
        assert framing.feed(good + bad) == [b"a"]
        for name, *arguments in calls:
            with pytest.raises(LimitOverrunError if at is None else FramingError) as caught:
                getattr(framing, name)(*arguments)
            assert at is None or caught.value.position == len(good) + at
    assert framing.feed(good) == [b"a"]  # after its end, a new stream


@pytest.mark.parametrize("make, part, expected", [
    (Lines, b"hello", None), (partial(Lines, b"\r\n"), b"\r", None),
    (LengthPrefix, b"\0\0\0", None), (LengthPrefix, b"\0\0\0\5hell", 9),
    (partial(LengthPrefix, "!H", includes_header=True), b"\0\5a", 5),
    (Varint, b"\x80", None), (Varint, b"\x80\1", 130), (Netstring, b"5", None),
    (Netstring, b"5:hello", 8), (partial(Fixed, 5), b"hell", 5)])
def test_the_end_inside_a_message(make, part, expected):
    framing = make()
    assert outcome(framing, [framing.encode(b"12345")]) == ([b"12345"], None, None)
    assert framing.feed(framing.encode(b"12345") + part) == [b"12345"]
    with pytest.raises(IncompleteReadError) as caught:
        framing.feed_eof()
    assert (caught.value.partial, caught.value.expected) == (part, expected)
    assert framing.feed_eof() is None


@pytest.mark.parametrize("make", [
    "Lines()", "Lines(b'aab')", "LengthPrefix()", "Varint()", "Netstring()", "Fixed(40)"])
def test_a_new_stream_after_the_end_inside_a_message(python, make):
    # What was searched before is not searched now: behind it is nobody's memory.
    python(code=f"""if True:
        from fastsock.framing import *
        for size in 2, 39:
            framing = {make}
            assert framing.feed(framing.encode(b"x" * 40)[:size]) == []
            try:
                framing.feed_eof()
            except IncompleteReadError:
                pass
            payload = b"y" * 40 if isinstance(framing, Fixed) else b"y"
            found = framing.feed(framing.encode(payload) * 2)
            assert found == [payload] * 2, found
        """)


def test_positions_in_a_new_stream_start_again():
    framing = Netstring()
    framing.feed(b"5:hel")
    with pytest.raises(IncompleteReadError):
        framing.feed_eof()
    assert outcome(framing, [b"1:a,x"]) == ([b"a"], FramingError, 4)


@pytest.mark.parametrize("error, base", [
    (LimitOverrunError("too long", 7), ValueError), (FramingError("bad", 1 << 40), ValueError),
    (IncompleteReadError(b"abc", 5), EOFError), (IncompleteReadError(b"", None), EOFError)])
def test_errors_survive_pickling(error, base):
    assert type(error).__base__ is base and vars(error)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error) and vars(again) == vars(error)
        assert (str(again), again.args) == (str(error), error.args)


# -- arguments --------------------------------------------------------------------

@pytest.mark.parametrize("framing, payload", [
    (Lines(limit=3), b"abcd"), (Lines(), b"a\n"), (Lines(b"\r\r"), b"a\r"),
    (Lines(b"aba"), b"xab"), (LengthPrefix(limit=3), b"abcd"), (Varint(limit=3), b"abcd"),
    (LengthPrefix("b", includes_header=True), b"x" * 127), (Netstring(limit=3), b"abcd"),
    (Fixed(3), b"abcd"), (Fixed(3), b"")])
def test_what_encode_refuses(framing, payload):
    good, borrowed = framing.encode(b"xyz"), bytearray(payload)
    assert framing.feed(good[:2]) == []
    with pytest.raises(ValueError):
        framing.encode(borrowed)
    borrowed.append(0)  # it was given back
    assert framing.encode(b"xyz") == good
    assert framing.feed(good[2:]) == [b"xyz"]


@roomy
def test_any_bytes_like_object(make):
    framing, payload = make(), bytes(range(14, 139)) * 8
    stream, Bytes = framing.encode(payload), type("Bytes", (bytes,), {})
    for like in (bytearray, memoryview, partial(array.array, "d"), Bytes,
                 lambda data: memoryview(data).cast("B", (8, len(data) // 8))):
        assert framing.encode(like(payload)) == stream
        found = framing.feed(like(stream * 8))
        assert found == [payload] * 8 and {type(message) for message in found} == {bytes}
    for call in framing.encode, framing.feed:
        for wrong in "text", None, 3, [1]:
            with pytest.raises(TypeError):
                call(wrong)
        with pytest.raises(BufferError):
            call(memoryview(payload)[::2])
    assert framing.feed(b"") == []


@pytest.mark.parametrize("limit, error", [
    (0, ValueError), (-1, ValueError), (LARGEST_LIMIT + 1, ValueError), (1 << 63, ValueError),
    (-1 << 63, ValueError), (1.0, TypeError), ("1", TypeError), (b"1", TypeError)])
def test_bad_limits(limit, error):
    for kind in Fixed, Lines, partial(LengthPrefix, "!Q"), Varint, Netstring:
        name = "size" if kind is Fixed else "limit"
        with pytest.raises(error, match=f"^{name} must be .* not {limit!r}"):
            kind(**{name: limit})


@pytest.mark.parametrize("kind, argument, error", [
    *((LengthPrefix, format, ValueError) for format in (
        "2I", "f", "x", "?", "P", "", "!", "II", "I!", "!!I", " I", "I ", "I\n", "!n", "=N")),
    *((LengthPrefix, wrong, TypeError) for wrong in (b"!I", 3, None)),
    *((Lines, wrong, TypeError) for wrong in ("\n", 3, None, 1.5, THREE)),
    (Lines, b"", ValueError), (Lines, b"x" * 33, ValueError)])
def test_bad_formats_and_delimiters(kind, argument, error):
    with pytest.raises(error):
        kind(argument)


def test_settings():
    assert (Lines().limit, Lines().delimiter) == (65536, b"\n")
    assert (Lines(bytearray(b"x" * 32)).delimiter, Lines(limit=1).limit) == (b"x" * 32, 1)
    assert Varint().limit == Netstring().limit == LengthPrefix().limit == 16 * MIB
    assert (LengthPrefix().format, LengthPrefix().includes_header) == ("!I", False)
    assert Fixed(7).size == Fixed(7).limit == 7
    with pytest.raises(TypeError):
        Framing().feed(b"x")


@pytest.mark.parametrize("kind, name, before, other", [
    (Lines, "delimiter", b"\r\n", b"\n"), (Lines, "delimiter", b"\r\n", b""),
    (Lines, "delimiter", b"\r\n", 3), (Lines, "delimiter", b"\r\n", b"x" * 99),
    (LengthPrefix, "format", "!H", "<q"), (Fixed, "size", 3, 4)])
def test_settings_do_not_change(kind, name, before, other):
    framing = kind(before)
    for attribute in name, "limit":
        with pytest.raises(AttributeError):
            setattr(framing, attribute, other)
    with contextlib.suppress(Exception):  # it may be refused, or without effect
        framing.__init__(other)
    assert getattr(framing, name) == before


@pytest.mark.parametrize("kind", ["Lines", "LengthPrefix", "Varint", "Netstring", "Fixed"])
def test_a_framing_that_was_never_initialised(python, kind):
    # A loop without an end would end at the limit of memory, with a MemoryError.
    python(code=f"""if True:
        import resource
        from fastsock.framing import {kind}
        resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
        try:
            framing = {kind}.__new__({kind})
            framing.encode(b"")
            framing.feed(b"abc")
        except (TypeError, ValueError, AttributeError, RuntimeError):
            pass
        """)


@roomy
def test_threads_encode_with_one_framing(make):
    framing = make()
    payloads = [bytes([65 + number]) * (1000 if make is ROOMY["Fixed"] else 37 * number)
                for number in range(1, 7)]
    expected = [reference_encode(framing, payload) for payload in payloads]
    with concurrent.futures.ThreadPoolExecutor(len(payloads)) as pool:
        found = pool.map(lambda payload: {framing.encode(payload) for _ in range(5000)}, payloads)
        for payload, encoded in zip(payloads * 9, expected * 9):
            assert sum(map(framing.feed, each_byte(encoded)), []) == [payload]
    assert list(found) == [{encoded} for encoded in expected]
