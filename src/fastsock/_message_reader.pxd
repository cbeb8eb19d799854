# Receiving messages. Its rules are in `_message_reader.pyx`.

from fastsock._framing cimport Frame, Framing
from fastsock._reader cimport Reader
from fastsock._wait cimport Budget


cdef class MessageReader(Reader):
    cdef readonly Framing framing
    cdef bint gives_up          # the large message at the front was put back before

    cdef Framing need_framing(self)
    cdef bytes next_message(self)
    cdef bint find_frame(self, Framing framing, Frame *frame) except -1
    cdef bint receive_frame(self, Frame *frame, Budget *budget) except -1
    cdef list next_messages(self, Py_ssize_t most)
    cdef Py_ssize_t next_message_into(self, char *target, Py_ssize_t room,
                                      bint is_plain_memory) except -1
    cdef Py_ssize_t receive_into(self, Frame *frame, char *target, bint is_plain_memory,
                                 Budget *budget) except -1
