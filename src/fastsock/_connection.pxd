# Naming, connecting and accepting. Its rules are in `_connection.pyx`.

from fastsock._object cimport SocketHead

cdef int bind(SocketHead *sock, object address) except -1
cdef int connect(SocketHead *sock, object address) except -1
cdef int connect_ex(SocketHead *sock, object address) except? -1
cdef int listen(SocketHead *sock, int backlog) except -1
cdef tuple accept(SocketHead *sock, object cls)
cdef list accept_many(SocketHead *sock, object cls, Py_ssize_t limit)
cdef int shutdown(SocketHead *sock, int how) except -1
cdef object getsockname(SocketHead *sock)
cdef object getpeername(SocketHead *sock)
