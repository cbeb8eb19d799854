"""Whose method is it: checks of self, and the classes that are known.

Rules: no method reads the memory of an object that is not a socket. A method that
is built on another's system call must not go around a class with a recv,
recv_into, send or sendall of its own (TLS has them): it asks `overrides` first,
and then goes through the class's methods, or refuses.
"""

import _socket

base_type = <PyTypeObject *><PyObject *>_socket.socket
socket_type = NULL
cdef object socket_class = None
cdef object stdlib_class = None

TRANSFERS = ("recv", "recv_into", "send", "sendall")


def register(cls, parent):
    """Tell the extension which class it makes on accept (fastsock.socket), and
    the stdlib's class that it is derived from."""
    global socket_class, stdlib_class, socket_type
    socket_class = cls
    stdlib_class = parent
    socket_type = <PyTypeObject *><PyObject *>cls


cdef int refuse(object self) except -1:
    raise TypeError(f"a socket is required as self, not {type(self).__name__!r}: "
                    "use fastsock.socket, which has these methods")


cdef object class_of_sockets():
    return socket_class


cdef object class_of_stdlib():
    return stdlib_class


cdef bint overrides(object self) except -1:
    """Does the class of `self` have a recv, recv_into, send or sendall of its own?"""
    cls = type(self)
    if cls is socket_class:
        return False
    for name in TRANSFERS:
        if getattr(cls, name) is not getattr(socket_class, name):
            return True
    return False
