# Where a message ends. Its rules are in `_framing.pyx`.

from libc.stdint cimport int64_t

from fastsock._inbox cimport Inbox

# What is known of the message at the front.
cdef struct Frame:
    Py_ssize_t header           # bytes before the payload
    Py_ssize_t size             # of the payload
    Py_ssize_t total            # header, payload and what follows it; 0: not known yet


cdef class Framing:
    cdef readonly Py_ssize_t limit
    cdef Inbox fed              # what feed() was given and is no whole message yet
    cdef Py_ssize_t fed_searched
    cdef bint is_refused        # what feed() was given is no message, and never will be

    cdef int check_unmade(self) except -1
    cdef int set_limit(self, object limit, str name=*) except -1
    cdef int check_made(self) except -1
    cdef str settings(self)
    # Is the message at the front of `data` complete? If it is not, `frame.total` says
    # how long it is where that is known. `searched` is 0 for a message that is looked
    # at for the first time, and is kept between the looks: how far there is no end.
    # `position` is where data is in the stream, for messages of errors.
    cdef bint find(self, const char *data, Py_ssize_t size, Py_ssize_t *searched,
                   int64_t position, Frame *frame) except -1
    # What goes before a payload, written to `target` of MOST_HEADER bytes: its size.
    cdef Py_ssize_t write_header(self, Py_ssize_t payload_size, char *target) except -1
    # What goes behind it, also of at most MOST_HEADER bytes.
    cdef Py_ssize_t write_trailer(self, char *target) except -1
    # Does encoding refuse this payload? The framing's own rules beside the limit.
    cdef int check_payload(self, const char *payload, Py_ssize_t size) except -1

cdef enum:
    MOST_HEADER = 32

cdef object messages_in(Framing framing, Inbox *inbox, Py_ssize_t *searched, Py_ssize_t most)
cdef int raise_incomplete(Framing framing, Inbox *inbox) except -1
cdef int raise_overrun(Framing framing, object size, Py_ssize_t consumed) except -1
cdef int raise_malformed(str what, int64_t position) except -1
