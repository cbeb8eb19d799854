# A connection whose messages go to a function. Its rules are in `_handler.pyx`.

cimport cython

from fastsock._inbox cimport Inbox
from fastsock._service cimport Service
from fastsock._transport_methods cimport ServerTransport


@cython.final
cdef class HandlerTransport(ServerTransport):
    cdef Service service
    cdef Inbox inbox
    cdef Py_ssize_t searched
    cdef Py_ssize_t waiting         # its messages among those of the service's
    cdef bint is_draining           # to be closed when no message is on its way
    cdef bint is_refused            # it sent what is no message: to be closed
    cdef object refusal             # the exception that is the reason
    cdef bint has_replies           # those that the service holds are its own

    cdef int take_messages(self, Inbox *inbox) except -1
    cdef int collect_messages(self, Inbox *inbox) except -1
    cdef object take_one(self, Inbox *inbox)
    cdef int refuse(self, Inbox *inbox, object error) except -1
    cdef int say_incomplete(self) except -1
    cdef bint takes_whole(self) noexcept
    cdef int answer_whole(self, bytes message) except -1
    cdef int reply(self, object answer) except -1
    cdef int refuse_behind_a_file(self) except -1
    cdef int reply_with_buffer(self, object payload) except -1
    cdef int reply_with(self, object payload, const char *data, Py_ssize_t size) except -1
    cdef int send_apart(self, object message) except -1
    cdef int say_farewell(self, object reason) except -1
    cdef int send_out(self) except -1
    cdef int queue_out(self) except -1
    cdef int close_if_drained(self) except -1
    cdef int give_up(self, str what) except -1
