# Buffered reading. Its rules are in `_reader.pyx`.

from fastsock._framing cimport MOST_HEADER, Frame
from fastsock._inbox cimport Inbox
from fastsock._link cimport Link
from fastsock._wait cimport Budget

cdef extern from "_claim.h" nogil:
    bint fastsock_claim(int *flag)
    void fastsock_release(int *flag)

cdef enum:
    LARGE = 65536               # from here on a message is received where it will stay


cdef class Reader:
    cdef Link link
    cdef Inbox inbox
    cdef readonly Py_ssize_t limit
    cdef Py_ssize_t read_size
    cdef Py_ssize_t expected    # bytes of a large message that this call waits for; 0: none
    cdef Py_ssize_t searched    # how far there is no end of ...
    cdef object searched_for    # ... what this framing or separator looks for
    cdef bytes large            # a large message that is being received; it follows
    cdef char[MOST_HEADER] header   # this header
    cdef Py_ssize_t header_size
    cdef Py_ssize_t large_filled
    cdef bint large_is_message  # or what readexactly() asked for
    cdef readonly bint closed
    cdef int is_read            # claimed by a reader

    cdef int check_open(self) except -1
    cdef int begin_reading(self) except -1
    cdef void end_reading(self) noexcept
    cdef bint receive_more(self, Py_ssize_t wanted, Budget *budget,
                           bint may_keep_gil=*) except -1
    cdef bytes take_bytes(self, Py_ssize_t count)
    cdef int look_for(self, object wanted) except -1
    cdef bytes read_line(self)
    cdef bytes read_until(self, object separator)
    cdef bint goes_on(self, Py_ssize_t wanted) noexcept
    cdef int begin_large(self, Frame *frame, bint is_message) except -1
    cdef bytes finish_large(self, Budget *budget)
    cdef int unget_large(self) except -1
