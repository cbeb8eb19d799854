# Bytes that are to be sent. Its rules are in `_outbox.pyx`.

cdef enum:
    MOST_COPIED = 4096          # from here on an entry of its own costs less than a copy


cdef class Outbox:
    cdef list parts             # whole pieces, as bytes, in front of what is in `memory`
    cdef char *memory
    cdef Py_ssize_t filled
    cdef Py_ssize_t capacity
    cdef Py_ssize_t size        # of all

    cdef char *make_room(self, Py_ssize_t room) except NULL
    cdef int add(self, object data, const void *memory, Py_ssize_t size) except -1
    cdef int close_piece(self) except -1
    cdef list all_parts(self)
    cdef int forget(self, Py_ssize_t sent) except -1
