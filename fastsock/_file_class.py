"""The class `fastsock.SocketIO`: the raw file under `makefile()`."""

from fastsock import _rawio, _self
from fastsock._socket_class import stdlib_socket


class SocketIO(_rawio.RawMethods, stdlib_socket.SocketIO):
    """A raw file over a socket, as `socket.SocketIO`, whose reads and writes are ours."""


SocketIO.__module__ = "fastsock"
_self.own_methods(SocketIO)
