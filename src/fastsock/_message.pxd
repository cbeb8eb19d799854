# recvmsg and sendmsg. Its rules are in `_message.pyx`.

from fastsock._object cimport SocketHead

cdef object recvmsg(SocketHead *sock, Py_ssize_t size, Py_ssize_t control_size, int flags)
cdef object recvmsg_into(SocketHead *sock, object buffers, Py_ssize_t control_size, int flags)
cdef object sendmsg(SocketHead *sock, object buffers, object messages, int flags,
                    object address)
