"""The classes that programs use have the methods that they inherit from ours as their own:
the interpreter calls a method of an extension straight away only where the class that
defines it is the very class of self.
"""

import types

import pytest

import fastsock
import fastsock.selectors
from fastsock._handler import HandlerTransport
from fastsock._protocol import ProtocolTransport
from tests.polling import OUR_CLASSES

CLASSES = [fastsock.socket, fastsock.SocketIO, fastsock.Stream, ProtocolTransport,
           HandlerTransport, *[getattr(fastsock.selectors, name) for name in OUR_CLASSES]]


def inherited(cls):
    """(name, method) of what its bases in our extensions define."""
    for base in cls.__mro__[1:]:
        if not base.__module__.startswith("fastsock."):
            break
        for name, method in vars(base).items():
            if type(method) is types.MethodDescriptorType:
                yield name, method


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_inherited_methods_are_its_own(cls):
    names = dict(inherited(cls))
    assert names
    for name in names:
        assert vars(cls)[name].__objclass__ is cls or type(vars(cls)[name]) is not type(names[name])


@pytest.mark.parametrize("name", ["recv", "send", "sendall", "recv_into", "close"])
def test_another_self_is_refused(name):
    method = getattr(fastsock.socket, name)
    for other in (object(), b"", None):
        with pytest.raises(TypeError, match=r"'socket' objects"):
            method(other, 1)


def test_a_class_of_a_user_inherits_them():
    class Mine(fastsock.socket):
        def recv(self, size):
            return b"mine " + super().recv(size)

    a, b = fastsock.socketpair()
    with a, Mine(fileno=b.detach()) as mine:
        a.send(b"x")
        assert mine.recv(5) == b"mine x"
        assert Mine.send is fastsock.socket.send
