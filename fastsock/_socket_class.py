"""The class `fastsock.socket`, and the stdlib's that it is derived from.

Rules: there is no field beyond the stdlib's, so that any stdlib socket can become
one of ours (`adopt`); nothing on the data path is overridden in Python.
"""

import _socket as _interpreter
import socket as stdlib_socket  # the module; under another name, since we may stand for it
import sys

from fastsock import _extras, _methods, _object, _self

__all__ = ["adopt", "socket", "stdlib_class", "stdlib_socket"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket as stdlib_class
    from typing import Any

    from fastsock import _datagrams
else:
    #: The interpreter's own class, also where gevent or eventlet replaced its name.
    stdlib_class = next(
        cls for cls in _interpreter.socket.__subclasses__()
        if cls.__module__ == "socket" and cls.__qualname__ == "socket")


class _Later:
    """A method that is imported when it is first asked for: few programs need it, and
    importing fastsock stays quick."""

    def __set_name__(self, owner: "type[socket]", name: str) -> None:
        self.owner, self.name = owner, name

    def __get__(self, instance: "socket | None", cls: "type[socket]") -> "Any":
        from fastsock import _datagrams
        method = getattr(_datagrams, self.name, None)
        if method is None:
            raise AttributeError(f"this system or build has no {self.name}()")
        setattr(self.owner, self.name, method)
        return method.__get__(instance, cls)


class socket(_methods.SocketMethods, _extras.ExtraMethods, stdlib_class):
    """A network endpoint: a stdlib socket whose methods are fastsock's.

    Parameters
    ----------
    family : AddressFamily or int
        AF_INET (default), AF_INET6, AF_UNIX, ...
    type : SocketKind or int
        SOCK_STREAM (default), SOCK_DGRAM, ..., with SOCK_NONBLOCK if wanted.
    proto : int
        0 chooses the usual protocol of the type.
    fileno : int, optional
        An open socket's fd to use instead of opening one; what is not given of
        the other parameters is then asked of the kernel.

    Sources: socket(2), socket(7), PEP 446, PEP 475.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        recvmmsg, recvmmsg_into = _datagrams.recvmmsg, _datagrams.recvmmsg_into
        sendmmsg, sendmmsg_from = _datagrams.sendmmsg, _datagrams.sendmmsg_from
        send_segmented, enable_gro = _datagrams.send_segmented, _datagrams.enable_gro
        join_group, leave_group = _datagrams.join_group, _datagrams.leave_group
        set_multicast = _datagrams.set_multicast
    else:
        # The stdlib's own, or "object is not safe to make" for ssl and subclasses.
        __new__ = stdlib_class.__new__

        recvmmsg, recvmmsg_into = _Later(), _Later()
        sendmmsg, sendmmsg_from = _Later(), _Later()
        send_segmented, enable_gro = _Later(), _Later()
        join_group, leave_group, set_multicast = _Later(), _Later(), _Later()

    def __repr__(self) -> str:
        # The stdlib's text, also in the ResourceWarning, by which test suites filter. A
        # subclass has its own name.
        text = super().__repr__()
        return text.replace("<fastsock.", "<socket.", 1) if type(self) is socket else text

    def __reduce_ex__(  # type: ignore[override]  # object's takes what is no int, too
            self, protocol: int) -> str | tuple[object, ...]:
        # Refused as in the stdlib, but for multiprocessing, which passes the fd. It
        # registers the stdlib's class when it is first imported; ours it meets here.
        caller = sys._getframe(1).f_globals.get("__name__")
        if caller == "multiprocessing.reduction" and type(self) is socket:
            from fastsock._multiprocessing import reduce_socket
            return reduce_socket(self)
        # The protocols 0 and 1 would copy by the type that has no fields.
        return super().__reduce_ex__(max(protocol, 2))


socket.__module__ = "fastsock"
_self.register(socket, stdlib_class)
_self.own_methods(socket)
_object.prove(socket)


def adopt(sock: stdlib_class) -> socket:
    """Turn a stdlib socket that other code made into a fastsock one, in place.

    Parameters
    ----------
    sock : socket.socket
        Exactly of the stdlib's class, or already a fastsock.socket.

    Returns
    -------
    fastsock.socket
        The same object; everything that refers to it now uses fastsock.

    Raises
    ------
    TypeError
        For what is no socket, such as an fd, and for a socket of another class, such as
        ssl.SSLSocket.
    """
    if type(sock) is stdlib_class:
        sock.__class__ = socket
        _methods.meet_adopted(sock)
    elif not isinstance(sock, _interpreter.socket):
        raise TypeError(f"adopt() takes a socket.socket, not {type(sock).__name__!r}"
                        + (f"; for an open fd use fastsock.socket(fileno={sock!r})"
                           if type(sock) is int else ""))
    elif type(sock) is not socket:
        raise TypeError(f"adopt() takes a socket.socket, not {type(sock).__name__!r}: "
                        "the methods of a class of its own would be lost")
    return sock  # type: ignore[return-value]  # it is ours now
