# The recv and send family. Its rules are in `_transfer.pyx`.

from fastsock._object cimport SocketHead

cdef object recv(SocketHead *sock, Py_ssize_t size, int flags)
cdef Py_ssize_t recv_into(SocketHead *sock, void *memory, Py_ssize_t size, int flags) except -1
cdef object recvfrom(SocketHead *sock, Py_ssize_t size, int flags)
cdef object recvfrom_into(SocketHead *sock, void *memory, Py_ssize_t size, int flags)
cdef Py_ssize_t send(SocketHead *sock, const void *memory, Py_ssize_t size,
                     int flags) except -1
cdef int sendall(SocketHead *sock, const char *memory, Py_ssize_t size, int flags) except -1
cdef Py_ssize_t sendto(SocketHead *sock, const void *memory, Py_ssize_t size, int flags,
                       object address) except -1
