"""Whose method is it: checks of self, and the classes that are known.

Rules: no method reads the memory of an object that is not a socket. A method that
is built on another's system call must not go around a class with a recv,
recv_into, send or sendall of its own (TLS has them): it asks `overrides` first,
and then goes through the class's methods, or refuses. A class that programs use has
its inherited methods as its own.
"""

import _socket

from cpython.object cimport PyTypeObject

cdef extern from "Python.h":
    ctypedef struct MethodDescriptor "PyMethodDescrObject":
        void *d_method
    ctypedef struct TypeWithDict "PyTypeObject":
        PyObject *tp_dict
    PyTypeObject PyMethodDescr_Type
    object PyDescr_NewMethod(PyTypeObject *cls, void *method)
    void PyType_Modified(PyTypeObject *cls)

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


def own_methods(cls):
    """Give a class the methods that it inherits from ours, as its own.

    The interpreter calls a method of an extension straight away where the class that
    defines it is the very class of self, and else takes the long way, which costs as much
    as what recv() does itself.
    """
    cdef PyTypeObject *cls_type = <PyTypeObject *><PyObject *>cls
    cdef dict names = <dict>(<TypeWithDict *>cls_type).tp_dict
    for base in [base for base in cls.__mro__[1:] if base.__module__.startswith("fastsock.")]:
        for name, method in base.__dict__.items():
            if name not in names and Py_TYPE(method) == &PyMethodDescr_Type:
                names[name] = PyDescr_NewMethod(
                    cls_type, (<MethodDescriptor *><PyObject *>method).d_method)
    PyType_Modified(cls_type)


cdef SocketHead *refuse(object self) except NULL:
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
