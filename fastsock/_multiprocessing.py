"""Sending a fastsock socket to another process with multiprocessing.

Imported when multiprocessing first meets one. The fd travels as the stdlib's
does; the other process gets an object of the same class.
"""

from multiprocessing import reduction


def reduce_socket(sock):
    """For the pickler: how to make the socket again in the process that gets it."""
    descriptor = reduction.DupFd(sock.fileno())
    return rebuild_socket, (
        type(sock), descriptor, int(sock.family), int(sock.type), sock.proto)


def rebuild_socket(cls, descriptor, family, type, proto):
    """The socket, in the process that got it."""
    return cls(family, type, proto, fileno=descriptor.detach())
