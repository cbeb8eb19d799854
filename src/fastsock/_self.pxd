# Whose method is it? Its rules are in `_self.pyx`.

from cpython.object cimport Py_TYPE, PyObject, PyTypeObject

from fastsock._object cimport SocketHead
from fastsock._python cimport PyObject_TypeCheck

cdef tuple TRANSFERS                # the methods that move data
cdef PyTypeObject *base_type        # _socket.socket
cdef PyTypeObject *socket_type      # fastsock.socket, once it is registered


cdef inline SocketHead *head_of(object self) except NULL:
    """The fields of a socket object; TypeError for anything else."""
    if Py_TYPE(self) == socket_type or PyObject_TypeCheck(self, base_type):
        return <SocketHead *><PyObject *>self
    return refuse(self)


cdef inline bint is_socket(object candidate) noexcept:
    """Is it a socket object, of whatever class?"""
    return PyObject_TypeCheck(candidate, base_type)


cdef SocketHead *refuse(object self) except NULL
cdef object class_of_sockets()
cdef object class_of_stdlib()
cdef bint overrides(object self) except -1
