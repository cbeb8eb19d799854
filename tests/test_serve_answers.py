"""serve(): which objects are one answer, several, or none, and what handlers may not be.

An object with the buffer protocol is one answer, as it is one message to send(2): the stdlib's
sendall() of the same object is what the peer must get.
"""

import array
import ctypes
import functools
import mmap
import socket

import pytest

from fastsock._serve import HandlerServer
from fastsock.framing import LengthPrefix, Lines, Netstring

from tests.conftest import TIMEOUT_S
from tests.servers import certificates, client_context, server_context  # noqa: F401
from tests.serving import LOOPBACK, answering, errors, receive, receive_all

COUNT = 10_000  # four bytes each: above what is copied


class Pair(ctypes.Structure):
    _fields_ = [("first", ctypes.c_uint16), ("second", ctypes.c_uint16)]


def mapped(size=12):
    memory = mmap.mmap(-1, size)
    memory[:] = (b"abcdefghijkl" * size)[:size]
    return memory


def numpy_array(**options):
    numpy = pytest.importorskip("numpy")
    return numpy.arange(12, dtype="int32", **options).reshape(3, 4)


BUFFERS = {
    "bytes": lambda: b"abcd", "bytearray": lambda: bytearray(b"abcd"),
    "memoryview": lambda: memoryview(b"abcd"),
    "memoryview of numbers": lambda: memoryview(array.array("I", range(5))),
    "memoryview of two dimensions": lambda: memoryview(bytes(12)).cast("B", (3, 4)),
    "mmap": mapped, "array": lambda: array.array("H", [1, 2, 3]),
    "bytes in an array": lambda: array.array("B", b"abcd"),
    "large array": lambda: array.array("I", range(COUNT)),
    "large mmap": lambda: mapped(40_000),
    "ctypes": lambda: (ctypes.c_uint16 * 3)(1, 2, 3),
    "large ctypes": lambda: (ctypes.c_uint32 * COUNT)(*range(COUNT)),
    "structure": lambda: Pair(1, 2), "structures": lambda: (Pair * COUNT)(),
    "char array": lambda: ctypes.create_string_buffer(b"abc", 4),
    "numpy": numpy_array, "empty array": lambda: array.array("I"),
    "empty bytes": lambda: b"", "empty memoryview": lambda: memoryview(b""),
}


def as_sent(buffer):
    """What the stdlib's sendall() makes of it."""
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        near.settimeout(TIMEOUT_S)
        near.sendall(buffer)
        near.shutdown(socket.SHUT_WR)
        return receive_all(far)


WAYS = {
    "alone": (lambda make: lambda _: make(), {}, 1),
    "among others": (lambda make: lambda _: [make(), make()], {}, 2),
    "yielded": (lambda make: lambda _: (make() for _ in range(2)), {}, 2),
    "batch": (lambda make: lambda messages: [make() for _ in messages], {"batch": True}, 1),
    "among others of a batch": (
        lambda make: lambda messages: [(make(), make()) for _ in messages], {"batch": True}, 2),
}


@pytest.mark.parametrize("framing", [None, LengthPrefix()], ids=["plain", "framed"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", BUFFERS.values(), ids=BUFFERS)
def test_a_buffer_is_one_answer(make, way, framing, log):
    wrap, options, count = way
    message = as_sent(make())
    expected = message if framing is None else framing.encode(message)
    with answering(wrap(make), framing=framing, **options) as served:
        question = b"x" if framing is None else framing.encode(b"x")
        assert served.ask(question) == count * expected
    assert errors(log) == []


@pytest.mark.parametrize("name", ["large ctypes", "structures", "large array", "ctypes", "numpy",
                                  "empty array", "memoryview of two dimensions"])
def test_a_buffer_is_one_answer_under_tls(name, certificates, log):  # noqa: F811
    expected = Netstring().encode(as_sent(BUFFERS[name]()))
    with answering(lambda _: BUFFERS[name](), framing=Netstring(),
                   ssl_context=server_context(certificates)) as served:
        with client_context(certificates).wrap_socket(
                served.connect(), server_hostname="localhost") as client:
            client.sendall(Netstring().encode(b"x"))
            assert receive(client, len(expected)) == expected
    assert errors(log) == []


def test_an_answer_that_changes_afterwards():
    """It is sent or copied before the handler runs again."""
    memory = mapped(100_000)

    def handler(line):
        memory[:] = line * len(memory)
        return memory

    with answering(handler, framing=Lines(limit=200_000)) as served:
        assert served.ask(b"a\nb\nc\n") == b"".join(
            bytes([letter]) * 100_000 + b"\n" for letter in b"abc")


def apart():
    return memoryview(b"abcdef")[::2]


@pytest.mark.parametrize("make", [apart, lambda: numpy_array().T], ids=["view", "numpy"])
@pytest.mark.parametrize("is_several", [False, True])
def test_a_buffer_that_is_not_contiguous(make, is_several, log):
    """The stdlib's send() raises the same."""
    near, far = socket.socketpair()
    with near, far, pytest.raises((BufferError, ValueError)) as expected:
        near.send(make())
    with answering(lambda _: [make()] if is_several else make()) as served:
        assert served.ask(b"x") == b""
    assert errors(log) == [expected.type]


class Ints:
    def __getitem__(self, index):
        return [b"a", b"b"][index]


def test_an_iterable_by_getitem():
    with answering(lambda _: Ints()) as served:
        assert served.ask(b"x") == b"ab"


class Wrong:
    def __repr__(self):
        return "x" * 1000


def wrong_answers(text):
    """The errors' texts that were logged, without what is the same in all."""
    return [line for line in text.splitlines() if line.startswith("TypeError")]


REFUSED = {
    "int": (5, "'int' (5, "), "text": ("text", "'str' ('text', "),
    "dict": ({b"a": b"b"}, "'dict' ({b'a': b'b'}, "), "bool": (True, "'bool' (True, "),
    "float": (1.5, "'float' (1.5, "), "long": (Wrong(), f"'Wrong' ({'x' * 60}, "),
}


@pytest.mark.parametrize("answer, said", REFUSED.values(), ids=REFUSED)
def test_what_is_no_answer(answer, said, log):
    def answer_it(_):
        return answer

    with answering(answer_it) as served:
        assert served.ask(b"x") == b""
    (line,) = wrong_answers(log.text)
    assert line == ("TypeError: a handler returns bytes, None or an iterable of bytes, "
                    f"not {said}from answer_it())")


@pytest.mark.parametrize("answer, said", REFUSED.values(), ids=REFUSED)
def test_what_is_no_answer_of_a_batch(answer, said, log):
    with answering(lambda messages: [answer for _ in messages], batch=True) as served:
        assert served.ask(b"x") == b""
    (line,) = wrong_answers(log.text)
    assert line == ("TypeError: a handler returns bytes, None or an iterable of bytes, "
                    f"not {said}from <lambda>())")


@pytest.mark.parametrize("answer, said", [*REFUSED.values(), (None, "'NoneType' (None, ")],
                         ids=[*REFUSED, "None"])
def test_what_is_none_of_several_answers(answer, said, log):
    with answering(functools.partial(lambda more, _: [b"first", more], answer)) as served:
        assert served.ask(b"x") == b"first"
    (line,) = wrong_answers(log.text)
    assert line == ("TypeError: the iterable that a handler returns consists of bytes, "
                    f"not {said}from partial())")


@pytest.mark.parametrize("answer", [b"x", 5, None, "x", {b"x": b"x"}, array.array("B", b"x")],
                         ids=["bytes", "int", "None", "text", "dict", "array"])
def test_what_is_no_list_of_answers(answer, log):
    """Also bytes of as many elements as there were messages."""
    with answering(lambda messages: answer, batch=True) as served:
        assert served.ask(b"x") == b""
    (line,) = wrong_answers(log.text)
    assert line.startswith("TypeError: a handler of batches returns a list of answers, "
                           f"not {type(answer).__name__!r}")


# -- coroutine functions ----------------------------------------------------------------


async def coroutine_function(message):
    return message


async def asynchronous_generator(message):
    yield message


class Methods:
    async def method(self, message):
        return message

    async def __call__(self, message):
        return message


ASYNCHRONOUS = {
    "function": coroutine_function, "generator": asynchronous_generator,
    "method": Methods().method, "object": Methods(),
    "partial": functools.partial(functools.partial(coroutine_function), b"x"),
}


@pytest.mark.parametrize("handler", ASYNCHRONOUS.values(), ids=ASYNCHRONOUS)
@pytest.mark.parametrize("batch", [False, True])
def test_a_coroutine_function_is_refused_at_once(handler, batch):
    with pytest.raises(TypeError, match="^handler must be a plain function, not the "
                                        "coroutine function "):
        with answering(handler, batch=batch):
            pytest.fail("it is served")


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_handler_that_returns_a_coroutine(log):
    with answering(lambda message: coroutine_function(message)) as served:
        assert served.ask(b"x") == b""
    assert "not 'coroutine' (<coroutine object coroutine_function" in log.text


def test_a_generator_function_is_a_handler():
    def handler(line):
        yield from (line, line.upper())

    with answering(handler, framing=Lines()) as served:
        assert served.ask(b"a\nb\n") == b"a\nA\nb\nB\n"


def test_a_callable_that_has_everything():
    """Such as a mock, whose every attribute is something."""
    class Anything:
        def __getattr__(self, name):
            return Anything()

        def __call__(self, message):
            return message

    HandlerServer(Anything(), LOOPBACK).close()
