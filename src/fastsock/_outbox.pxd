# Bytes that are to be sent. Its rules are in `_outbox.pyx`.

cdef enum:
    MOST_COPIED = 4096          # from here on an entry of its own costs less than a copy


cdef class Outbox:
    cdef list parts             # whole pieces, as bytes, in front of what is in `memory`
    cdef Py_ssize_t first       # the first part that was not sent; those before are None
    cdef Py_ssize_t first_sent  # how many of its bytes were
    cdef char *memory
    cdef Py_ssize_t start       # the first byte of `memory` that was not sent
    cdef Py_ssize_t filled      # behind the last
    cdef Py_ssize_t capacity
    cdef Py_ssize_t size        # of all that was not sent

    cdef char *make_room(self, Py_ssize_t room) except NULL
    cdef int add(self, object data, const void *memory, Py_ssize_t size) except -1
    cdef int add_part(self, bytes part) except -1
    cdef int close_piece(self) except -1
    cdef tuple front_parts(self, Py_ssize_t most)
    cdef int take_back(self, Py_ssize_t parts, Py_ssize_t in_memory, Py_ssize_t size) except -1
    cdef void forget(self, Py_ssize_t sent) noexcept


cdef inline Py_ssize_t parts_left(Outbox outbox) noexcept:
    return len(outbox.parts) - outbox.first
