# Bytes that have arrived and were not taken yet. Its rules are in `_inbox.pyx`.

from libc.stdint cimport int64_t

cdef struct Inbox:
    char *memory
    Py_ssize_t start            # the first byte that was not taken
    Py_ssize_t end              # behind the last byte that arrived
    Py_ssize_t capacity
    int64_t taken               # how many in all: where `start` is in the stream


cdef inline Py_ssize_t length(const Inbox *inbox) noexcept nogil:
    return inbox.end - inbox.start


cdef inline char *front(const Inbox *inbox) noexcept nogil:
    return inbox.memory + inbox.start


cdef inline void take(Inbox *inbox, Py_ssize_t count) noexcept nogil:
    """Count the first bytes as taken; `front()` of before stays readable until the
    next call of `make_room` or `settle`."""
    inbox.start += count
    inbox.taken += count


cdef char *make_room(Inbox *inbox, Py_ssize_t room) except NULL
cdef int append(Inbox *inbox, const char *data, Py_ssize_t size) except -1
cdef int put_back(Inbox *inbox, const char *header, Py_ssize_t header_size, const char *data,
                  Py_ssize_t size) except -1
cdef void settle(Inbox *inbox) noexcept
cdef void free_inbox(Inbox *inbox) noexcept
