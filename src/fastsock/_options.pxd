# Socket options. Its rules are in `_options.pyx`.

from fastsock._object cimport SocketHead

cdef object get_option(SocketHead *sock, int level, int name, int size)
cdef int set_option(SocketHead *sock, int level, int name, object value) except -1
