# The platform header, as Cython sees it. Its rules are in `_platform.h`.

from libc.stdint cimport int64_t

from fastsock._libc cimport msghdr, nfds_t, off_t, pollfd, sockaddr, sockaddr_storage, socklen_t

cdef extern from "_platform.h" nogil:
    const bint FASTSOCK_LINUX
    const bint FASTSOCK_HAS_ABSTRACT_ADDRESSES, FASTSOCK_SHARES_PORTS
    const bint FASTSOCK_ACCEPT_INHERITS_NONBLOCK
    const int FASTSOCK_MSG_CMSG_CLOEXEC
    const int FASTSOCK_DONTWAIT
    const int FASTSOCK_IOV_MAX
    const int FASTSOCK_NOSIGNAL
    const int FASTSOCK_SIMPLE_FLAGS
    const int FASTSOCK_SO_BUSY_POLL
    const int FASTSOCK_TCP_ULP
    const int FASTSOCK_TYPE_FLAGS
    const int FASTSOCK_TYPE_NONBLOCK
    const int FASTSOCK_UDP_SEGMENT
    const int FASTSOCK_UDP_GRO

    ctypedef struct FastsockGroup:
        unsigned int gsr_interface
        sockaddr_storage gsr_group
        sockaddr_storage gsr_source

    ctypedef struct FastsockMessage:
        msghdr msg_hdr
        unsigned int msg_len

    const bint FASTSOCK_HAS_ATOMIC_FLAGS, FASTSOCK_HAS_MANY_DATAGRAMS, FASTSOCK_HAS_SPLICE
    const bint FASTSOCK_HAS_SENDFILE
    Py_ssize_t fastsock_splice(int from_fd, int to_fd, size_t most)
    int fastsock_splice_pipe(int *fds, int size)
    Py_ssize_t fastsock_recvmmsg(int fd, FastsockMessage *messages, unsigned int count,
                                 int flags)
    Py_ssize_t fastsock_sendmmsg(int fd, FastsockMessage *messages, unsigned int count,
                                 int flags)

    void FASTSOCK_SET_SA_LEN(void *address, size_t size)
    int fastsock_socket(int family, int type, int proto)
    int fastsock_accept(int fd, sockaddr *address, socklen_t *size)
    int fastsock_accept_nonblocking(int fd, sockaddr *address, socklen_t *size)
    int fastsock_socketpair(int family, int type, int proto, int *fds)
    void fastsock_no_sigpipe(int fd)
    int fastsock_poll_ns(pollfd *fds, nfds_t count, int64_t timeout_ns)
    int fastsock_peer_credentials(int fd, long *pid, long *uid, long *gid)
    int fastsock_set_nonblocking(int fd, bint nonblocking)
    int fastsock_is_nonblocking(int fd)
    Py_ssize_t fastsock_sendfile(int out_fd, int in_fd, off_t offset, size_t count)
