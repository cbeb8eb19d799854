"""Sending a fastsock socket to another process with multiprocessing.

Imported when multiprocessing first meets one. The fd travels as the stdlib's
does; the other process gets an object of the same class.
"""

from multiprocessing import reduction

from fastsock._socket_class import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def reduce_socket(sock: socket) -> tuple[object, tuple[object, ...]]:
    """For the pickler: how to make the socket again in the process that gets it."""
    descriptor = reduction.DupFd(sock.fileno())
    return rebuild_socket, (
        type(sock), descriptor, int(sock.family), int(sock.type), sock.proto)


def rebuild_socket(cls: type[socket], descriptor: "Any", family: int, type: int,
                   proto: int) -> socket:
    """The socket, in the process that got it."""
    # A DupFd of multiprocessing's, which has several classes for it.
    return cls(family, type, proto, fileno=descriptor.detach())
