"""What the import proves of the interpreter's socket objects, and what it refuses: another
layout is an ImportError that names the interpreter, and never memory that is read wrong."""

import _socket

import pytest

import fastsock
from fastsock import _object


class Stranger(_socket.socket):
    """As large as the interpreter's own, whose objects say something else of themselves."""
    __slots__ = ()


class StrangeFd(Stranger):
    __slots__ = ()

    def fileno(self):
        return super().fileno() + 1


class StrangeFamily(Stranger):
    __slots__ = ()
    family = -7


class StrangeTimeout(Stranger):
    """Whose blocking sockets would have another mark."""
    __slots__ = ()

    def settimeout(self, timeout):
        if timeout is not None:
            super().settimeout(timeout)


class Larger(_socket.socket):
    __slots__ = ("more",)


@pytest.mark.parametrize("cls, named", [
    (StrangeFd, "the field 'fd'"), (StrangeFamily, "the field 'family'"),
    (StrangeTimeout, "the field 'timeout' of a blocking socket"),
    (Larger, "the size of _socket.socket")])
def test_another_layout_is_refused(monkeypatch, cls, named):
    monkeypatch.setattr(_socket, "socket", cls)
    with pytest.raises(ImportError, match="fastsock can't run on .* should be .*, and is") as caught:
        _object.prove(fastsock.socket)
    assert named in str(caught.value)


class Refused(Stranger):
    """As in a sandbox."""
    __slots__ = ()

    def __init__(self, *arguments):
        raise PermissionError(13, "not here")


def test_without_any_socket_nothing_can_be_proved(monkeypatch):
    monkeypatch.setattr(_socket, "socket", Refused)
    with pytest.raises(ImportError, match="no socket can be made: .*not here"):
        _object.prove(fastsock.socket)


class RefusedOfIPv6(Stranger):
    __slots__ = ()

    def __init__(self, family, *arguments):
        if family == _socket.AF_INET6:
            raise OSError(97, "no such family")
        super().__init__(family, *arguments)


def test_one_family_is_enough(monkeypatch):
    monkeypatch.setattr(_socket, "socket", RefusedOfIPv6)
    assert _object.prove(fastsock.socket) is None


def test_an_interpreter_that_was_built_without_a_family(monkeypatch):
    monkeypatch.delattr(_socket, "AF_INET6")
    assert _object.prove(fastsock.socket) is None
    with fastsock.socket() as sock:
        assert sock.fileno() >= 0
