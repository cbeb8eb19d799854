"""What a connection has to send: the queue, and the system calls that empty it.

Job: bytes and a part of a file, in order, as fast as the kernel takes them. When they
are gone, or fail, is for Transport (_transport.pyx) to act upon.

Rules: what is written inside a callback is sent when that returns, in one system call;
otherwise at once. Bytes objects are kept, everything else is sent or copied at once.
A send of more than some KiB gives the GIL away. The queue takes linear time: a piece is
taken from its front once, and joined with its neighbours at most once.
"""

import os

from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject

cimport fastsock._libc as libc
from fastsock._libc cimport EAGAIN, EINTR, EWOULDBLOCK, iovec, msghdr
from fastsock._platform cimport FASTSOCK_NOSIGNAL, fastsock_sendfile
from fastsock._python cimport PyBytes_AS_STRING, PyList_GET_ITEM
from fastsock._readiness cimport WRITABLE
from fastsock._traits cimport MOST_SENT_UNDER_GIL

cdef enum:
    MOST_PIECES = 64            # of one sendmsg(2)
    SMALL = 4096                # a piece that is joined with its neighbours, if they are many
    JOINED = 65536              # bytes joined at once
    MOST_OF_A_FILE = 1048576    # of one sendfile(2)
    MOST_SENDS = 8              # of so much, before other connections have their turn


cdef class FileRegion:
    """Internal: what is left to be sent of a file.

    It owns a duplicate of the caller's file descriptor and closes it when it is deallocated.
    Its one owner is a connection, which drops it in every way that a transfer can end.
    """

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:
            libc.close(self.fd)


cdef class Sender(Connection):
    """The sending part of a connection; no type to make objects of."""

    # What Transport says to these.

    cdef int set_interest(self) except -1:
        """Watch for what is wanted now."""
        raise NotImplementedError

    cdef int writing_paused(self, bint is_paused) except -1:
        """More waits to be sent than the high-water mark, or no more than the low one."""
        raise NotImplementedError

    cdef int nothing_pending(self) except -1:
        """All was sent."""
        raise NotImplementedError

    cdef int fail(self, object reason) except -1:
        """End it now, without sending what waits."""
        raise NotImplementedError

    cdef int fail_by(self, int error) except -1:
        return self.fail(OSError(error, os.strerror(error)))

    # Sending.

    cdef int queue(self, bytes data) except -1:
        """Put bytes behind those that wait."""
        if self.first is None:
            self.first = data
        elif self.others is None:
            self.others = [data]
        else:
            self.others.append(data)
        self.pending_size += PyBytes_GET_SIZE(data)
        return 0

    cdef int send_soon(self, bytes data) except -1:
        """Send bytes behind those that wait: now, or when the callback returns."""
        if PyBytes_GET_SIZE(data) == 0 or self.is_ending:
            return 0
        self.queue(data)
        if not self.is_dispatching or self.pending_size > self.high_water:
            # While it waits for room, more is no reason to try again.
            if not self.interest & WRITABLE:
                return self.flush()
            return self.adjust()
        return 0

    cdef int send_memory(self, const char *data, Py_ssize_t size) except -1:
        """Send bytes behind those that wait: at once, or copied."""
        cdef Py_ssize_t sent = 0
        if self.is_ending:
            return 0
        # While it is paused, flush() may call resume_writing(), whose writes come behind these.
        if self.pending_size and not (self.interest & WRITABLE or self.is_write_paused):
            self.flush()
        if self.pending_size == 0:
            sent = self.try_send(data, size)
        if sent < size and not self.is_ending:
            self.queue(PyBytes_FromStringAndSize(data + sent, size - sent))
            self.set_interest()
            self.adjust()
        return 0

    cdef Py_ssize_t try_send(self, const char *data, Py_ssize_t size) except -1:
        """send(2): how many bytes the kernel took, also none. Failing ends the connection."""
        cdef Py_ssize_t sent
        cdef int error = 0
        cdef int fd = self.fd
        while True:
            if size <= MOST_SENT_UNDER_GIL:
                sent = libc.send(fd, data, size, FASTSOCK_NOSIGNAL)
                error = libc.errno
            else:
                with nogil:
                    sent = libc.send(fd, data, size, FASTSOCK_NOSIGNAL)
                    error = libc.errno
            if sent >= 0:
                self.is_active()
                return sent
            if error in (EAGAIN, EWOULDBLOCK):
                return 0
            if error != EINTR:
                self.fail_by(error)
                return 0

    cdef Py_ssize_t send_several(self):
        """sendmsg(2) of the first pieces: bytes sent, or -1 and errno."""
        cdef iovec[MOST_PIECES] parts
        cdef msghdr message
        cdef Py_ssize_t sent
        cdef int fd = self.fd
        cdef int count = 1
        cdef int error
        cdef PyObject *piece
        message.msg_name = message.msg_control = NULL
        message.msg_namelen = 0
        message.msg_controllen = 0
        message.msg_flags = 0
        parts[0].iov_base = PyBytes_AS_STRING(<PyObject *>self.first) + self.offset
        parts[0].iov_len = PyBytes_GET_SIZE(self.first) - self.offset
        cdef Py_ssize_t index = self.start
        while count < MOST_PIECES and index < len(self.others):
            piece = PyList_GET_ITEM(self.others, index)
            parts[count].iov_base = PyBytes_AS_STRING(piece)
            parts[count].iov_len = PyBytes_GET_SIZE(<object>piece)
            index += 1
            count += 1
        message.msg_iov = parts
        message.msg_iovlen = count
        while True:
            if self.pending_size <= MOST_SENT_UNDER_GIL:
                sent = libc.sendmsg(fd, &message, FASTSOCK_NOSIGNAL)
                error = libc.errno
            else:
                with nogil:
                    sent = libc.sendmsg(fd, &message, FASTSOCK_NOSIGNAL)
                    error = libc.errno
            if sent >= 0:
                return sent
            if error in (EAGAIN, EWOULDBLOCK):
                return 0
            if error != EINTR:
                libc.errno = error
                return -1

    cdef int flush(self) except -1:
        """Send what waits, as much as the kernel takes."""
        cdef Py_ssize_t sent
        while self.pending_size and not self.is_ending:
            if self.others is not None and len(self.others) - self.start >= MOST_PIECES:
                self.join_small()
            if self.others is None:
                sent = self.try_send(PyBytes_AS_STRING(<PyObject *>self.first) + self.offset,
                                     self.pending_size)
            else:
                sent = self.send_several()
                if sent < 0:
                    return self.fail_by(libc.errno)
                if sent:
                    self.is_active()
            if sent == 0:
                break
            if sent == self.pending_size:
                self.first = self.others = None
                self.start = self.offset = self.pending_size = 0
            else:
                self.advance(sent)
        if self.region is not None and not self.pending_size:
            self.send_region()
        if self.pending_size or self.region is not None:
            self.set_interest()
        elif self.interest & WRITABLE or self.closing or self.is_eof_wanted:
            if not self.is_ending:
                if self.closing:
                    self.adjust()  # to go on writing comes before the end, as in asyncio
                self.nothing_pending()
        if self.is_write_paused or self.pending_size > self.high_water:
            return self.adjust()
        return 0

    cdef int send_region(self) except -1:
        """sendfile(2) of the file behind what waited, until the kernel takes no more."""
        cdef FileRegion region = self.region
        cdef Py_ssize_t sent
        cdef int fd = self.fd
        cdef int error
        cdef int _count
        for _count in range(MOST_SENDS):
            if not region.left or self.is_ending:
                break
            with nogil:
                sent = fastsock_sendfile(fd, region.fd, region.offset,
                                         min(region.left, MOST_OF_A_FILE))
                error = libc.errno
            if sent > 0:
                region.offset += sent
                region.left -= sent
                self.is_active()
            elif sent == 0:
                return self.fail(EOFError(
                    f"the file ended {region.left} bytes before what was to be sent"))
            elif error in (EAGAIN, EWOULDBLOCK):
                return 0
            elif error != EINTR:
                return self.fail_by(error)
        if not region.left:
            self.region = None
        return 0

    cdef int advance(self, Py_ssize_t sent) except -1:
        """Forget what was sent, which is not all."""
        cdef Py_ssize_t left
        self.pending_size -= sent
        left = PyBytes_GET_SIZE(self.first) - self.offset
        if sent < left:
            self.offset += sent
            return 0
        while sent >= left:
            sent -= left
            self.first = self.next_piece()
            left = PyBytes_GET_SIZE(self.first)
        self.offset = sent
        return 0

    cdef bytes next_piece(self):
        """Take the next piece of the others from the queue."""
        cdef bytes piece = <bytes>self.others[self.start]
        self.others[self.start] = None  # its memory is free as soon as it was sent
        self.start += 1
        if self.start == len(self.others):
            self.others = None
            self.start = 0
        elif self.start >= MOST_PIECES and self.start * 2 >= len(self.others):
            try:
                del self.others[:self.start]  # fewer move than were taken: linear in all
                self.start = 0
            except MemoryError:
                pass  # the next piece tries again
        return piece

    cdef int join_small(self) except -1:
        """Make one piece of the small ones at the front: a system call for each 64 lines
        would take longer than this copy."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.first) - self.offset
        cdef Py_ssize_t end = self.start
        cdef PyObject *piece
        if size >= SMALL:
            return 0
        while end < len(self.others) and size < JOINED:
            piece = PyList_GET_ITEM(self.others, end)
            if PyBytes_GET_SIZE(<object>piece) >= SMALL:
                break
            size += PyBytes_GET_SIZE(<object>piece)
            end += 1
        if end - self.start < MOST_PIECES:
            return 0  # sendmsg(2) takes these as they are
        joined = b"".join([self.first[self.offset:], *self.others[self.start:end]])
        for _ in range(end - self.start):
            self.next_piece()
        self.first = joined
        self.offset = 0
        return 0

    cdef int adjust(self) except -1:
        """Tell the protocol to pause or to go on writing."""
        if self.is_write_paused:
            if (self.pending_size <= self.low_water and self.region is None
                    and not self.is_ending):
                self.is_write_paused = False
                self.writing_paused(False)
        elif self.pending_size > self.high_water and self.is_open:
            self.is_write_paused = True
            self.writing_paused(True)
        return 0
