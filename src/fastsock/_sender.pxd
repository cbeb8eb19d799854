# What a connection has to send. Its rules are in `_sender.pyx`.

from fastsock._hub cimport Connection


# What is left to be sent of a file.
cdef class FileRegion:
    cdef int fd                         # a duplicate, which it owns
    cdef long long offset
    cdef long long left


cdef class Sender(Connection):
    # A first piece, from `offset` on, and the others, from `start` on.
    cdef bytes first
    cdef list others                    # or None
    cdef Py_ssize_t start
    cdef Py_ssize_t offset
    cdef Py_ssize_t pending_size
    cdef FileRegion region              # of a file, sent behind these; or None
    cdef Py_ssize_t high_water
    cdef Py_ssize_t low_water
    cdef unsigned char is_dispatching   # inside a callback: what is written waits for its end
    cdef unsigned char is_open          # the protocol knows of it
    cdef unsigned char is_write_paused  # the protocol was told to pause
    cdef unsigned char is_eof_wanted
    cdef unsigned char closing          # close() was called: nothing is read any more
    cdef unsigned char is_ending        # its end was called for

    # What Transport says to these.
    cdef int set_interest(self) except -1
    cdef int writing_paused(self, bint is_paused) except -1
    cdef int nothing_pending(self) except -1
    cdef int fail(self, object reason) except -1
    cdef int fail_by(self, int error) except -1

    cdef int queue(self, bytes data) except -1
    cdef int send_soon(self, bytes data) except -1
    cdef int send_memory(self, const char *data, Py_ssize_t size) except -1
    cdef Py_ssize_t try_send(self, const char *data, Py_ssize_t size) except -1
    cdef int flush(self) except -1
    cdef int advance(self, Py_ssize_t sent) except -1
    cdef int join_small(self) except -1
    cdef bytes next_piece(self)
    cdef Py_ssize_t send_several(self)
    cdef int send_region(self) except -1
    cdef int adjust(self) except -1
