# The C library, as Cython sees it: externs only, a block a header.
#
# Rule: nothing here is of our making, and nothing here has a branch.

from libc.stdint cimport int64_t, uint16_t, uint32_t

cdef extern from "<errno.h>" nogil:
    int errno
    const int EAGAIN, EWOULDBLOCK, EINTR, EINPROGRESS, EISCONN, ECONNABORTED, ECONNRESET
    const int EBADF, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOENT, ENOMEM, EPIPE

cdef extern from "<sys/types.h>" nogil:
    ctypedef long off_t
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    ctypedef int clockid_t
    const clockid_t CLOCK_MONOTONIC

    cdef struct timespec:
        time_t tv_sec
        long tv_nsec

    int clock_gettime(clockid_t clock, timespec *now)

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    const int AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX
    const int SOCK_STREAM, SOCK_DGRAM
    const int SOL_SOCKET, SO_ERROR, SO_TYPE
    const int SCM_RIGHTS
    const int MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_NOSIGNAL, MSG_CTRUNC
    const int SO_RCVLOWAT, SO_RCVTIMEO, SO_SNDTIMEO

    cdef struct sockaddr:
        sa_family_t sa_family
        char sa_data[14]

    cdef struct sockaddr_storage:
        sa_family_t ss_family

    cdef struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags

    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type

    size_t CMSG_LEN(size_t length)
    size_t CMSG_SPACE(size_t length)
    unsigned char *CMSG_DATA(cmsghdr *message)
    cmsghdr *CMSG_FIRSTHDR(msghdr *header)
    cmsghdr *CMSG_NXTHDR(msghdr *header, cmsghdr *message)

    int bind(int fd, const sockaddr *address, socklen_t size)
    int connect(int fd, const sockaddr *address, socklen_t size)
    int listen(int fd, int backlog)
    int shutdown(int fd, int how)
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int getpeername(int fd, sockaddr *address, socklen_t *size)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    Py_ssize_t recv(int fd, void *memory, size_t size, int flags)
    Py_ssize_t recvfrom(int fd, void *memory, size_t size, int flags,
                        sockaddr *address, socklen_t *address_size)
    Py_ssize_t recvmsg(int fd, msghdr *message, int flags)
    Py_ssize_t send(int fd, const void *memory, size_t size, int flags)
    Py_ssize_t sendto(int fd, const void *memory, size_t size, int flags,
                      const sockaddr *address, socklen_t address_size)
    Py_ssize_t sendmsg(int fd, const msghdr *message, int flags)

cdef extern from "<netinet/in.h>" nogil:
    cdef struct in_addr:
        uint32_t s_addr

    cdef struct in6_addr:
        unsigned char s6_addr[16]

    cdef struct sockaddr_in:
        sa_family_t sin_family
        uint16_t sin_port
        in_addr sin_addr

    cdef struct sockaddr_in6:
        sa_family_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id

    const uint32_t INADDR_ANY, INADDR_BROADCAST
    const int INET6_ADDRSTRLEN
    const in6_addr in6addr_any

cdef extern from "<sys/un.h>" nogil:
    cdef struct sockaddr_un:
        sa_family_t sun_family
        char sun_path[108]

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)
    uint32_t htonl(uint32_t value)
    uint32_t ntohl(uint32_t value)
    int inet_pton(int family, const char *text, void *address)
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)

cdef extern from "<netdb.h>" nogil:
    cdef struct addrinfo:
        int ai_flags
        int ai_family
        int ai_socktype
        int ai_protocol
        socklen_t ai_addrlen
        sockaddr *ai_addr
        addrinfo *ai_next

    const int EAI_SYSTEM
    int getaddrinfo(const char *host, const char *service,
                    const addrinfo *hints, addrinfo **found)
    void freeaddrinfo(addrinfo *found)
    const char *gai_strerror(int error)

cdef extern from "<poll.h>" nogil:
    ctypedef unsigned long nfds_t

    cdef struct pollfd:
        int fd
        short events
        short revents

    const short POLLIN, POLLOUT, POLLERR, POLLHUP
    int poll(pollfd *fds, nfds_t count, int timeout_ms)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    ssize_t write(int fd, const void *data, size_t size)

cdef extern from "<stddef.h>" nogil:
    size_t SUN_PATH_OFFSET "offsetof(struct sockaddr_un, sun_path)"

cdef extern from "<string.h>" nogil:
    size_t strnlen(const char *text, size_t most)
