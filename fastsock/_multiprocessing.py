"""Sending a fastsock socket to another process with multiprocessing.

Imported when multiprocessing first meets one. The fd travels as the stdlib's
does; the other process gets a fastsock.socket.
"""

from multiprocessing import reduction

from fastsock._socket_class import socket


def reduce_socket(sock):
    """For the pickler: how to make the socket again in the process that gets it."""
    descriptor = reduction.DupFd(sock.fileno())
    return rebuild_socket, (descriptor, int(sock.family), int(sock.type), sock.proto)


def rebuild_socket(descriptor, family, type, proto):
    """The socket, in the process that got it."""
    return socket(family, type, proto, fileno=descriptor.detach())


reduction.register(socket, reduce_socket)
