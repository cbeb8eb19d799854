# Bytes from one socket to another, one direction. Its rules are in `_pump.pyx`.

from libc.stdint cimport int64_t

# What a pump waits for, or how it ended.
cdef enum PumpState:
    PUMP_READS = 0              # until there is something to read
    PUMP_WRITES = 1             # until there is room to write
    PUMP_ENDED = 2              # all was moved, and its end told
    PUMP_FAILED = 3             # `error` says why

cdef struct Pump:
    int source
    int target
    PumpState state
    int error
    int failed_fd               # of the socket that `error` is from; -1: of neither
    int source_error            # of the source, reported by another call than recv(2); or 0
    Pump *reverse               # the pump of the other direction
    int64_t moved               # bytes that the target took
    char *rest                  # read, and not yet written
    Py_ssize_t rest_start
    Py_ssize_t rest_end
    int pipe_in                 # -1: no pipe
    int pipe_out
    Py_ssize_t piped            # bytes in the pipe
    int full_reads              # reads in a row that filled the room
    bint may_splice
    bint has_ended              # the source has

cdef enum:
    FAILURE = 0x08              # POLLERR, EPOLLERR: the connection failed
    HANG_UP = 0x10              # POLLHUP, EPOLLHUP: both of its directions are over


cdef void start_pump(Pump *pump, int source, int target, Pump *reverse) noexcept nogil
cdef void run_pump(Pump *pump, char *room, Py_ssize_t size) noexcept nogil
cdef void end_pump(Pump *pump) noexcept nogil
cdef void drain_pump(Pump *pump, char *room, Py_ssize_t size) noexcept nogil
cdef void remember(Pump *pump, int error) noexcept nogil
cdef int error_of(int fd) noexcept nogil
cdef int failure_of(Pump *pump) noexcept nogil
cdef void reset_on_close(int fd) noexcept nogil
