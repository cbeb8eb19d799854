"""inspect.signature() of everything public, and repr() of what a program makes.

tests/test_types.py compares the signatures with the stubs. Here: there is one, and it is what
can be called.
"""

import inspect

import pytest

import fastsock
from fastsock import framing
from fastsock._handler import HandlerTransport
from fastsock._protocol import ProtocolTransport

#: Without a signature, and why.
WITHOUT = {
    "fastsock.TruncatedDatagram": "a bytes, of which the interpreter shows none",
    "ProtocolTransport": "made by a Server: the class refuses to make an object",
    "HandlerTransport": "made by serve(): the class refuses to make an object",
}

CLASSES = {
    **{f"fastsock.{name}": getattr(fastsock, name) for name in fastsock.__all__},
    **{f"fastsock.framing.{name}": getattr(framing, name) for name in framing.__all__},
    **{f"fastsock.{module.__name__.rpartition('.')[2]}.{name}": getattr(module, name)
       for module in (fastsock.select, fastsock.selectors) for name in dir(module)},
    "ProtocolTransport": ProtocolTransport, "HandlerTransport": HandlerTransport,
}


def is_ours(value):
    """Not the stdlib's very object, of which some have no signature."""
    module = getattr(value, "__module__", None) or getattr(value, "__objclass__", type).__module__
    return module is not None and module.partition(".")[0] == "fastsock"


def public_callables():
    """{name: callable} of ours: functions, classes, and the methods that these define."""
    found = {}
    for name, value in CLASSES.items():
        if not callable(value) or not is_ours(value):
            continue
        found[name] = value
        for base in value.__mro__ if isinstance(value, type) else ():
            for method in vars(base) if is_ours(base) else ():
                member = getattr(value, method, None)  # None: a build without it
                if not method.startswith("_") and callable(member):
                    found[f"{name}.{method}"] = member
    return found


CALLABLES = public_callables()


def test_there_are_many():
    assert len(CALLABLES) > 150
    assert {"fastsock.Stream", "fastsock.Stream.readline", "fastsock.socket.recv",
            "fastsock.socket.join_group", "fastsock.framing.Lines.feed", "fastsock.serve",
            "fastsock.DatagramBatch.clear", "fastsock.Relay.shutdown", "fastsock.socketpair",
            "fastsock.select.poll", "ProtocolTransport.write"} <= CALLABLES.keys()
    assert WITHOUT.keys() <= CALLABLES.keys()


@pytest.mark.parametrize("name", CALLABLES)
def test_it_has_a_signature(name):
    if name in WITHOUT:
        with pytest.raises(ValueError):
            inspect.signature(CALLABLES[name])
        return
    parameters = list(inspect.signature(CALLABLES[name]).parameters)
    # An extension's constructor without one of its own would show just these.
    assert parameters[-2:] != ["args", "kwargs"]
    assert "--" not in (CALLABLES[name].__doc__ or "").splitlines()[:3]


@pytest.fixture
def pair():
    a, b = fastsock.socketpair()
    with a, b:
        yield a, b


MADE = [framing.Lines, framing.LengthPrefix, framing.Varint, framing.Netstring, framing.Fixed,
        fastsock.Stream, fastsock.DatagramBatch]


@pytest.mark.parametrize("cls", MADE, ids=lambda cls: cls.__name__)
def test_a_constructor_takes_what_its_signature_shows(cls, pair):
    parameters = inspect.signature(cls).parameters.values()
    given = {"sock": pair[0], "size": 8, "count": 3}
    required = {one.name: given[one.name] for one in parameters if one.default is one.empty}
    by_default = {one.name: one.default for one in parameters if one.default is not one.empty}
    made, spelt_out = cls(**required), cls(**required, **by_default)
    assert repr(made) == repr(spelt_out)
    positional = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    cls(*[(required | by_default)[name] for name in positional])
    with pytest.raises(TypeError):
        cls(*[(required | by_default)[name] for name in positional], 1)


def test_a_class_of_a_users_own():
    class Plain(fastsock.Stream):
        pass

    class Own(framing.Lines):
        def __init__(self, extra):
            pass

    assert list(inspect.signature(Plain).parameters) == [
        "sock", "framing", "limit", "read_size", "high_water"]
    assert list(inspect.signature(Own).parameters) == ["extra"]


def test_defaults_are_the_stdlibs(socket):
    """A constant of C is none that can be read."""
    assert inspect.signature(socket.socketpair).parameters["type"].default is socket.SOCK_STREAM
    assert str(inspect.signature(socket.socket)) == "(family=-1, type=-1, proto=-1, fileno=None)"


# -- repr() ----------------------------------------------------------------------------

@pytest.mark.parametrize("text", [
    r"Lines(b'\n', limit=65536)", r"Lines(b'\r\n', limit=9)", "Varint(limit=16777216)",
    "LengthPrefix('!I', limit=16777216, includes_header=False)", "Netstring(limit=7)",
    "LengthPrefix('<H', limit=100, includes_header=True)", "Fixed(8)",
    "LengthPrefix('b', limit=127, includes_header=False)"])
def test_a_framings_repr_makes_it_again(text):
    made = eval(text, vars(framing))
    assert repr(made) == str(made) == text
    again = eval(repr(made), vars(framing))
    assert again.encode(b"12345678"[:again.limit]) == made.encode(b"12345678"[:made.limit])


def test_reprs_of_classes_of_ones_own():
    class Semicolons(framing.Lines):
        pass

    assert repr(Semicolons(b";")) == "Semicolons(b';', limit=65536)"
    assert repr(Semicolons.__new__(Semicolons)) == "<Semicolons, not initialised>"
    assert repr(framing.Framing()) == "<Framing, not initialised>"


def test_the_repr_of_a_stream(pair):
    stream = fastsock.Stream(pair[0], framing=framing.Netstring(limit=5))
    pair[1].sendall(b"12\n3456")
    assert stream.readline() == b"12\n"
    stream.write(b"abc")
    assert repr(stream) == (f"<fastsock.Stream over {pair[0]!r}, framing=Netstring(limit=5), "
                            "4 bytes to read, 3 to send>")
    stream.close()
    assert repr(stream).endswith("framing=Netstring(limit=5), closed>")
    assert "framing=None" in repr(fastsock.Stream(pair[1]))
    assert repr(fastsock.Stream.__new__(fastsock.Stream)) == "<fastsock.Stream, not initialised>"


def test_the_repr_of_a_batch():
    batch = fastsock.DatagramBatch(3, size=100)
    assert repr(batch) == "<fastsock.DatagramBatch count=3 size=100, 0 datagrams>"
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.sendto(b"x", sock.getsockname())
        sock.recvmmsg_into(batch)
    assert repr(batch).endswith(" 1 datagrams>")
    unmade = fastsock.DatagramBatch.__new__(fastsock.DatagramBatch)
    assert repr(unmade) == "<fastsock.DatagramBatch, not initialised>"
