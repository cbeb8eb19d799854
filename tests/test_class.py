"""What fastsock promises beyond behaviour: classes, names, adopt(), misuse of its methods."""

import errno
import inspect
import re
import socket as stdlib_socket
import sys
import types

import pytest

import fastsock
from fastsock._socket_class import stdlib_class
from tests.conftest import TIMEOUT_S

SocketMethods, ExtraMethods = fastsock.socket.__mro__[1:3]


def public(kind):
    """Names of SocketMethods' own methods, or properties, that a caller can reach."""
    return sorted(name for name, value in vars(SocketMethods).items()
                  if isinstance(value, kind) and not name.startswith("__"))


METHODS = public((types.FunctionType, type(SocketMethods.recv), types.BuiltinFunctionType,
                  types.MethodDescriptorType))
PROPERTIES = public((property, types.GetSetDescriptorType, types.MemberDescriptorType))

#: Good arguments of each method, so that nothing but self is wrong.
ARGUMENTS = {
    "accept": (), "bind": (("127.0.0.1", 0),), "close": (), "connect": (("127.0.0.1", 9),),
    "connect_ex": (("127.0.0.1", 9),), "getpeername": (), "getsockname": (),
    "getsockopt": (1, 2), "listen": (), "recv": (1,), "recv_into": (bytearray(1),),
    "recvfrom": (1,), "recvfrom_into": (bytearray(1),), "recvmsg": (1,),
    "recvmsg_into": ([bytearray(1)],), "send": (b"x",), "sendall": (b"x",),
    "sendmsg": ([b"x"],), "sendto": (b"x", ("127.0.0.1", 9)), "setblocking": (True,),
    "setsockopt": (1, 2, 1), "settimeout": (None,), "shutdown": (2,),
}


# -- classes -----------------------------------------------------------------------

def test_it_is_a_stdlib_socket():
    with fastsock.socket() as sock:
        assert isinstance(sock, stdlib_class) and isinstance(sock, SocketMethods)
    assert fastsock.socket.__bases__ == (SocketMethods, ExtraMethods, stdlib_class)
    assert SocketMethods.__name__ == "SocketMethods"
    assert fastsock.socket.__name__ == fastsock.socket.__qualname__ == "socket"
    assert fastsock.socket.__module__ == "fastsock"


def test_it_has_no_fields_of_its_own():
    assert fastsock.socket.__slots__ == ()
    assert fastsock.socket.__basicsize__ == stdlib_class.__basicsize__
    with fastsock.socket() as sock:
        assert not hasattr(sock, "__dict__")


def test_what_is_made_is_of_the_class():
    first, second = fastsock.socketpair()
    with fastsock.create_server(("127.0.0.1", 0)) as server, first, second:
        server.settimeout(TIMEOUT_S)
        with fastsock.create_connection(server.getsockname(), TIMEOUT_S) as client:
            accepted, address = server.accept()
            with accepted, client.dup() as duplicate, \
                    fastsock.fromfd(first.fileno(), first.family, first.type) as copied:
                made = (first, second, server, client, accepted, duplicate, copied)
                assert {type(sock) for sock in made} == {fastsock.socket}
                assert address == client.getsockname()


def test_fields_of_accepted_sockets_and_pairs():
    first, second = fastsock.socketpair(fastsock.AF_UNIX, fastsock.SOCK_DGRAM)
    with first, second:
        for sock in first, second:
            assert (sock.family, sock.type, sock.proto) == (
                fastsock.AF_UNIX, fastsock.SOCK_DGRAM, 0)
            assert sock.gettimeout() is None and sock._io_refs == 0 and sock._closed is False
    with fastsock.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT_S)
        with fastsock.create_connection(server.getsockname(), TIMEOUT_S):
            sock, _ = server.accept()
            with sock:
                # As the kernel has them, and as the inherited methods read them.
                assert sock.family is fastsock.AF_INET and sock.type is fastsock.SOCK_STREAM
                assert sock.proto == server.proto and sock.fileno() > 0
                assert sock.timeout is None and sock._io_refs == 0 and sock._closed is False
                assert stdlib_class.getsockname(sock) == server.getsockname()
                assert stdlib_class.family.__get__(sock) is fastsock.AF_INET


def test_signatures_are_the_stdlibs():
    for name in ("accept", "makefile", "sendfile", "dup", "close"):
        ours = inspect.signature(getattr(fastsock.socket, name))
        theirs = inspect.signature(getattr(stdlib_class, name))
        assert list(ours.parameters) == list(theirs.parameters), name
    assert list(inspect.signature(fastsock.socket).parameters) == [
        "family", "type", "proto", "fileno"]


def test_signatures_of_classes_of_ones_own(socket):
    class Plain(socket.socket):
        pass

    class Own(socket.socket):
        def __init__(self, extra, *, named=None):
            pass

    assert list(inspect.signature(Plain).parameters) == [
        "family", "type", "proto", "fileno"]
    assert list(inspect.signature(Own).parameters) == ["extra", "named"]


def test_a_user_class_with_new():
    class Own(fastsock.socket):
        def __new__(cls, *arguments, **keywords):
            self = super().__new__(cls, *arguments, **keywords)
            self.made_by = "new"
            return self

        def __init__(self, extra, *arguments):
            super().__init__(*arguments)
            self.extra = extra

    with Own(5, fastsock.AF_UNIX) as own:
        assert own.made_by == "new" and own.extra == 5
        assert own.family == fastsock.AF_UNIX and isinstance(own, stdlib_class)


def test_a_user_class_of_several():
    class Mixin:
        def recv(self, size):
            return b"mine:" + super().recv(size)

    class Own(Mixin, fastsock.socket):
        __slots__ = ()

    first, second = fastsock.socketpair()
    with second, Own(fileno=first.detach()) as own:
        second.sendall(b"x")
        assert own.recv(9) == b"mine:x"


HIDING = """
import sys
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *arguments):
        if name == {hidden!r}:
            return None
        find = getattr(self.finder, "find_spec", None)
        return find and find(name, *arguments)
sys.meta_path[:] = map(Hiding, sys.meta_path)
try:
    import fastsock
except ImportError as error:
    print(type(error).__name__, error.name, error)
"""


def test_extension_modules_that_are_not_there(python):
    # As in a checkout that was not built.
    shown = python(code=HIDING.format(hidden="fastsock._methods")).stdout
    assert re.match("ImportError None fastsock's extension modules are not beside this file", shown)
    assert "python -m pip install -e ." in shown
    # What else is missing is said as it is.
    shown = python(code=HIDING.format(hidden="fastsock._wait")).stdout
    assert shown == "ModuleNotFoundError fastsock._wait No module named 'fastsock._wait'\n"


# -- adopt() and __class__ ------------------------------------------------------------

def test_adopt():
    first, second = stdlib_socket.socketpair()
    with first, second:
        first.settimeout(2.5)
        adopted = fastsock.adopt(first)
        assert adopted is first and type(first) is fastsock.socket
        assert first.gettimeout() == 2.5
        assert type(second) is stdlib_class
        second.sendall(b"x")
        assert first.recv(9) == b"x"
        first.sendall(b"y")
        assert second.recv(9) == b"y"
        assert fastsock.adopt(first) is first


def test_adopt_keeps_everything():
    with stdlib_socket.socket(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        file = sock.makefile("rb")
        before = (sock.fileno(), sock.family, sock.type, sock.proto, sock.getsockname(),
                  sock._io_refs)
        fastsock.adopt(sock)
        assert before == (sock.fileno(), sock.family, sock.type, sock.proto,
                          sock.getsockname(), sock._io_refs)
        file.close()


def test_adopt_of_a_closed_socket():
    sock = stdlib_socket.socket()
    sock.close()
    assert fastsock.adopt(sock) is sock
    sock.close()
    with pytest.raises(OSError) as caught:
        sock.recv(1)
    assert caught.value.errno == errno.EBADF


def test_adopt_refuses_other_classes():
    class OfTheStdlibs(stdlib_class):
        pass

    class OfOurs(fastsock.socket):
        pass

    class LikeTLS(stdlib_class):
        """As ssl.SSLSocket: other methods, and other fields."""

        def __init__(self):
            super().__init__()
            self._sslobj = None

    for cls in (OfTheStdlibs, OfOurs, LikeTLS, stdlib_class.__base__):
        with_close = cls()
        try:
            with pytest.raises(TypeError):
                fastsock.adopt(with_close)
            assert type(with_close) is cls
        finally:
            with_close.close()
    for other in (None, object(), fastsock.socket, sys.stdout, [], "socket", True):
        with pytest.raises(TypeError) as caught:
            fastsock.adopt(other)
        assert str(caught.value) == (
            f"adopt() takes a socket.socket, not {type(other).__name__!r}")
    with pytest.raises(TypeError, match=r"not 'int'; for an open fd use "
                                        r"fastsock.socket\(fileno=3\)"):
        fastsock.adopt(3)


def test_class_assignment():
    sock = stdlib_class()
    with sock:
        sock.__class__ = fastsock.socket
        assert type(sock) is fastsock.socket
        sock.bind(("127.0.0.1", 0))
        sock.__class__ = stdlib_class
        assert type(sock) is stdlib_class and sock.getsockname()[1] > 0
        for other in (object, SocketMethods, stdlib_class.__base__):
            with pytest.raises(TypeError):
                sock.__class__ = other


# -- misuse ---------------------------------------------------------------------------

def test_the_methods_alone_are_no_socket():
    with pytest.raises(TypeError):
        SocketMethods()
    with pytest.raises(TypeError):
        SocketMethods(2, 1, 0)
    bare = SocketMethods.__new__(SocketMethods)
    for name in METHODS:
        if name in ARGUMENTS:
            with pytest.raises(TypeError):
                getattr(bare, name)(*ARGUMENTS[name])
    for name in PROPERTIES:
        with pytest.raises(TypeError):
            getattr(bare, name)


def test_the_tables_are_complete():
    assert set(ARGUMENTS) == {name for name in METHODS if not name.startswith("_")} - {
        "sendfile"}
    assert set(PROPERTIES) == {"family", "type"}


def other_selves():
    class OnAList(SocketMethods, list):
        pass

    class OnNothing(SocketMethods):
        pass

    selves = [object(), None, 5, [], stdlib_class, fastsock.socket, bytearray(200),
              list.__new__(OnAList), OnNothing.__new__(OnNothing)]
    return {type(value).__name__ + str(number): value for number, value in enumerate(selves)}


@pytest.mark.parametrize("name", METHODS)
def test_methods_refuse_another_self(name, tmp_path):
    # Its memory would be read as a socket's.
    (tmp_path / "file").write_bytes(b"x")
    with open(tmp_path / "file", "rb") as file:
        arguments = {**ARGUMENTS, "sendfile": (file,), "_real_close": (),
                     "_sendfile_use_sendfile": (file,)}[name]
        for label, other in other_selves().items():
            if isinstance(other, SocketMethods):
                with pytest.raises((TypeError, AttributeError) if "sendfile" in name
                                   else TypeError):
                    getattr(other, name)(*arguments)
            with pytest.raises((TypeError, AttributeError) if "sendfile" in name
                               else TypeError):
                getattr(SocketMethods, name)(other, *arguments)


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_refuse_another_self(name):
    for other in other_selves().values():
        with pytest.raises(TypeError):
            getattr(SocketMethods, name).__get__(other)
        if isinstance(other, SocketMethods):
            with pytest.raises(TypeError):
                getattr(other, name)


def test_the_initialiser_refuses_another_self():
    for other in other_selves().values():
        for arguments in ((), (2, 1, 0), (2, 1, 0, 0)):
            with pytest.raises(TypeError):
                SocketMethods.__init__(other, *arguments)


def test_methods_refuse_a_stdlib_socket_as_well():
    # It has the fields, but is none of theirs: adopt() makes it so.
    first, second = stdlib_socket.socketpair()
    with first, second:
        with pytest.raises(TypeError):
            SocketMethods.sendall(first, b"x")
        fastsock.adopt(first)
        SocketMethods.sendall(first, b"x")
        assert second.recv(9) == b"x"


# -- names ----------------------------------------------------------------------------

def test_every_name_of_the_stdlib_is_there():
    assert [name for name in stdlib_socket.__all__ if not hasattr(fastsock, name)] == []
    assert set(stdlib_socket.__all__) <= set(fastsock.__all__)
    hidden = [name for name in vars(stdlib_socket)
              if not name.startswith("__") and not hasattr(fastsock, name)]
    assert hidden == []


def test_all_is_right():
    assert len(fastsock.__all__) == len(set(fastsock.__all__))
    assert [name for name in fastsock.__all__ if not hasattr(fastsock, name)] == []
    namespace = {}
    exec("from fastsock import *", namespace)
    assert namespace["socket"] is fastsock.socket and "adopt" in namespace


def test_what_is_not_ours_is_the_same_object():
    # Python functions are bound anew to the names of fastsock; all else is as it was.
    other = [name for name, value in vars(stdlib_socket).items()
             if not name.startswith("__") and not isinstance(value, types.FunctionType)
             and getattr(fastsock, name) is not value]
    # socket.py imports selectors; here the name is our module's.
    assert [name for name in other if name != "selectors"] == ["socket", "SocketIO"]
    rebound = [name for name, value in vars(stdlib_socket).items()
               if isinstance(value, types.FunctionType)]
    assert "create_connection" in rebound
    for name in rebound:
        ours = getattr(fastsock, name)
        if name not in ("socketpair", "create_connection"):  # these two are our own
            assert ours.__module__ == "fastsock", name
            assert ours.__code__ is getattr(stdlib_socket, name).__code__, name


def test_exceptions_are_the_stdlibs():
    for name in ("error", "herror", "gaierror", "timeout"):
        assert getattr(fastsock, name) is getattr(stdlib_socket, name)
    assert fastsock.error is OSError and fastsock.timeout is TimeoutError
    for call in (lambda: fastsock.getaddrinfo("\0", 9), lambda: fastsock.socket(9999)):
        with pytest.raises((OSError, ValueError, TypeError)):
            call()


def test_constants_do_not_override_the_interpreters():
    from fastsock import _constants
    table = _constants.table()
    assert table and all(type(value) is int for value in table.values())
    for name, value in table.items():
        assert getattr(fastsock, name) == getattr(stdlib_socket, name, value)
        if hasattr(stdlib_socket, name):
            assert getattr(fastsock, name) is getattr(stdlib_socket, name)
        else:
            assert name in fastsock.__all__


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers of Linux")
def test_constants_of_linux():
    assert fastsock.UDP_SEGMENT == 103 and fastsock.UDP_GRO == 104
    assert fastsock.SO_ZEROCOPY == 60 and fastsock.SO_TXTIME == fastsock.SCM_TXTIME == 61
    assert fastsock.MSG_ZEROCOPY == 0x4000000 and fastsock.IP_PKTINFO == 8
    assert fastsock.SO_REUSEPORT == 15 and fastsock.TCP_ULP == 31


# -- names are looked up when they are used ----------------------------------------------

def test_functions_use_the_class_of_the_module(monkeypatch):
    class Own(fastsock.socket):
        pass

    with fastsock.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(fastsock, "socket", Own)
        with fastsock.create_connection(server.getsockname(), TIMEOUT_S) as client, \
                fastsock.create_server(("127.0.0.1", 0)) as other, \
                fastsock.fromfd(client.fileno(), client.family, client.type) as copied:
            assert type(client) is type(other) is type(copied) is Own


def test_functions_use_the_getaddrinfo_of_the_module(monkeypatch):
    asked = []

    def getaddrinfo(host, port, *arguments, **keywords):
        asked.append((host, port))
        return stdlib_socket.getaddrinfo("127.0.0.1", port, *arguments, **keywords)

    with fastsock.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(fastsock, "getaddrinfo", getaddrinfo)
        with fastsock.create_connection(("no-such-name.invalid", port), TIMEOUT_S) as client:
            assert client.getpeername() == server.getsockname()
    assert asked == [("no-such-name.invalid", port)]


def test_patching_the_stdlib_does_not_reach_us(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("the stdlib's name was used")

    with fastsock.create_server(("127.0.0.1", 0)) as server:
        for name in ("socket", "getaddrinfo", "create_connection", "socketpair"):
            monkeypatch.setattr(stdlib_socket, name, refuse)
        with fastsock.create_connection(server.getsockname(), TIMEOUT_S) as client:
            assert type(client) is fastsock.socket
        first, second = fastsock.socketpair()
        first.close()
        second.close()
