# The recv and send family. Its rules are in `_transfer.pyx`.

from fastsock._address cimport SocketAddress
from fastsock._object cimport SocketHead
from fastsock._wait cimport Budget

cdef enum:
    # Receives of at most this go through the C stack.
    STACK_SIZE = 4096

cdef char *borrow_scratch(size_t size) noexcept nogil
cdef void give_back_scratch(size_t used) noexcept nogil

cdef Py_ssize_t receive(SocketHead *sock, void *memory, Py_ssize_t size, int flags,
                        bint is_plain_memory, SocketAddress *address,
                        Budget *budget) except -1
cdef object recv(SocketHead *sock, Py_ssize_t size, int flags)
cdef Py_ssize_t recv_into(SocketHead *sock, void *memory, Py_ssize_t size, int flags,
                          bint is_plain_memory) except -1
cdef Py_ssize_t recv_by_scratch(SocketHead *sock, void *memory, Py_ssize_t size) except -1
cdef object recvfrom(SocketHead *sock, Py_ssize_t size, int flags)
cdef object recvfrom_into(SocketHead *sock, void *memory, Py_ssize_t size, int flags,
                          bint is_plain_memory)
cdef Py_ssize_t transmit(SocketHead *sock, const void *memory, Py_ssize_t size, int flags,
                         bint is_plain_memory, Budget *budget) except -1
cdef Py_ssize_t send(SocketHead *sock, const void *memory, Py_ssize_t size, int flags,
                     bint is_plain_memory) except -1
cdef int sendall(SocketHead *sock, const char *memory, Py_ssize_t size, int flags,
                 bint is_plain_memory) except -1
cdef Py_ssize_t sendto(SocketHead *sock, const void *memory, Py_ssize_t size, int flags,
                       bint is_plain_memory, object address) except -1
