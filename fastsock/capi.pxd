# The C interface, for other Cython packages: `cimport fastsock`, or this file by name.
#
#     cdef fastsock.Handle handle
#     fastsock.borrow(sock, &handle)          # with the GIL
#     with nogil:
#         size = fastsock.recv(&handle, memory, room, 0)
#
# Rules: the socket object must live, and stay what it is, as long as its handle is used;
# a timeout that is set later counts for the next borrow(). One closed meanwhile raises
# OSError (EBADF). The GIL is taken only to sleep, to run signal handlers and to raise.

from libc.stdint cimport int64_t

ctypedef struct Handle:
    void *sock              # the socket object, borrowed
    int fd
    int64_t timeout_ns      # below 0: blocks; 0: non-blocking

# Take the socket's fd and timeout. TypeError for what is no socket, and for one whose class
# has a recv or send of its own (TLS), which this would go around.
cdef int borrow(object sock, Handle *handle) except -1

# recv(2): at least one byte, 0 at the end. Raises as sock.recv() does.
cdef Py_ssize_t recv(Handle *handle, void *memory, size_t room, int flags) except -1 nogil

# Exactly so many bytes, under one timeout. EOFError where the peer ends before.
cdef int recv_exactly(Handle *handle, void *memory, size_t size) except -1 nogil

# send(2): how many bytes the kernel took. Raises as sock.send() does.
cdef Py_ssize_t send(Handle *handle, const void *data, size_t size, int flags) except -1 nogil

# All of it, under one timeout.
cdef int sendall(Handle *handle, const void *data, size_t size) except -1 nogil
