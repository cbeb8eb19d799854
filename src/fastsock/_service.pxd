# What the connections of one serve() share. Its rules are in `_service.pyx`.

from cpython.object cimport PyObject

from fastsock._framing cimport Framing


cdef class Service:
    cdef object handler
    cdef object on_connect          # or None
    cdef object on_disconnect       # or None
    cdef Framing framing            # or None: a message is whatever arrived
    cdef bint is_batch              # it is a BatchService
    cdef list messages              # of this wake-up, of a BatchService
    cdef list owners                # (connection, how many of them), in the same order
    cdef PyObject *current          # the connection whose function runs; borrowed, or NULL
    # Replies of one connection, until they are sent.
    cdef char *out
    cdef Py_ssize_t out_size
    cdef Py_ssize_t out_room

    cdef int answer_batch(self) except -1
    cdef str say_what(self, object answer)
    cdef int grow(self, Py_ssize_t size) except -1


cdef inline char *make_room(Service service, Py_ssize_t size) except NULL:
    """Where the replies end, with room for so many bytes."""
    if service.out_room - service.out_size < size:
        service.grow(size)
    return service.out + service.out_size


# Can it be several answers?
cdef bint is_iterable(object value) except -1
