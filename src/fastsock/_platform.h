/* What differs between the systems: the only file with an #ifdef on a platform.
 *
 * Rules: every other file calls what is declared here without asking where it
 * runs. A facility that a system lacks is either replaced by calls that have
 * the same result, or its FASTSOCK_HAS_ switch is 0 and the name is not
 * exported. Nothing here pretends to succeed. Nothing here knows of Python.
 *
 * FASTSOCK_PORTABLE builds as on a POSIX system without Linux's additions.
 */
#ifndef FASTSOCK_PLATFORM_H
#define FASTSOCK_PLATFORM_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#if defined(__linux__)
#  include <sys/epoll.h>
#  include <sys/sendfile.h>
#endif
#if defined(__sun)
#  include <sys/filio.h>
#endif

#if defined(__linux__) && !defined(FASTSOCK_PORTABLE)
#  define FASTSOCK_LINUX 1
#else
#  define FASTSOCK_LINUX 0
#endif

/* Linux's numbers that most architectures share: where the C library's headers are older
 * than the kernel, constants.txt has them. */
#if defined(__linux__) && (defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) \
    || defined(__arm__) || defined(__riscv))
#  define FASTSOCK_GENERIC_ABI 1
#else
#  define FASTSOCK_GENERIC_ABI 0
#endif

/* accept4(2) and the SOCK_CLOEXEC and SOCK_NONBLOCK bits of socket(2). */
#if FASTSOCK_LINUX && defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
#  define FASTSOCK_HAS_ATOMIC_FLAGS 1
#else
#  define FASTSOCK_HAS_ATOMIC_FLAGS 0
#endif

/* epoll(7). Where there is none the names are declared, so that what is never called
 * there compiles, and fail. */
#if FASTSOCK_LINUX
#  define FASTSOCK_HAS_EPOLL 1
#else
#  define FASTSOCK_HAS_EPOLL 0
#  if !defined(__linux__)
typedef union {
    int fd;
    void *ptr;
} epoll_data_t;
struct epoll_event {
    unsigned int events;
    epoll_data_t data;
};
enum { EPOLLIN = 1, EPOLLPRI = 2, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 16,
       EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3, EPOLL_CLOEXEC = 0 };
static inline int epoll_create1(int flags)
{
    (void)flags;
    errno = ENOSYS;
    return -1;
}
static inline int epoll_ctl(int epfd, int what, int fd, struct epoll_event *event)
{
    (void)epfd; (void)what; (void)fd; (void)event;
    errno = ENOSYS;
    return -1;
}
static inline int epoll_wait(int epfd, struct epoll_event *events, int count, int timeout_ms)
{
    (void)epfd; (void)events; (void)count; (void)timeout_ms;
    errno = ENOSYS;
    return -1;
}
#  endif
#endif

/* Addresses of AF_UNIX without a place in the file system: unix(7). */
#define FASTSOCK_HAS_ABSTRACT_ADDRESSES FASTSOCK_LINUX

/* BSD systems hand the listener's O_NONBLOCK to an accepted socket. */
#if defined(__linux__)
#  define FASTSOCK_ACCEPT_INHERITS_NONBLOCK 0
#else
#  define FASTSOCK_ACCEPT_INHERITS_NONBLOCK 1
#endif

/* The bits that the type argument of socket(2) can carry besides the type. */
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
#  define FASTSOCK_TYPE_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)
#  define FASTSOCK_TYPE_NONBLOCK SOCK_NONBLOCK
#else
#  define FASTSOCK_TYPE_FLAGS 0
#  define FASTSOCK_TYPE_NONBLOCK 0
#endif

/* A flag that keeps one call from waiting; 0: there is none, and no call is tried
 * before it may wait.
 *
 * Other systems have MSG_DONTWAIT, too, but there a send heeds it only for the lock of
 * the buffer: with a full one it sleeps, unless the file is O_NONBLOCK (XNU's
 * sosendcheck(), older FreeBSD's sosend_generic()). We would sleep with the GIL. */
#if FASTSOCK_LINUX && defined(MSG_DONTWAIT)
#  define FASTSOCK_DONTWAIT MSG_DONTWAIT
#else
#  define FASTSOCK_DONTWAIT 0
#endif

/* No SIGPIPE where servers and relays write. CPython ignores that signal; an embedding
 * program may not. send() and the like pass on the flags that they were given, as the
 * stdlib's do, which sets no SO_NOSIGPIPE either. */
#if defined(MSG_NOSIGNAL) && !defined(__APPLE__)
#  define FASTSOCK_NOSIGNAL MSG_NOSIGNAL
#else
#  define FASTSOCK_NOSIGNAL 0
#endif

/* The same for a socket, where there is no flag for a call: macOS, whose newer headers
 * have the flag, but whose older kernels don't know it. */
static inline void fastsock_no_sigpipe(int fd)
{
#if FASTSOCK_NOSIGNAL == 0 && defined(SO_NOSIGPIPE)
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
#else
    (void)fd;
#endif
}

/* Flags that change nothing about when a call returns. */
#ifdef MSG_NOSIGNAL
#  define FASTSOCK_SIMPLE_FLAGS (MSG_PEEK | MSG_TRUNC | MSG_NOSIGNAL)
#else
#  define FASTSOCK_SIMPLE_FLAGS (MSG_PEEK | MSG_TRUNC)
#endif

/* Do listeners of one port (SO_REUSEPORT) share the connections out? Linux, since 3.9;
 * BSD systems give them all to one. */
#define FASTSOCK_SHARES_PORTS FASTSOCK_LINUX

/* Entries that one sendmsg(2) takes. */
#ifdef IOV_MAX
#  define FASTSOCK_IOV_MAX IOV_MAX
#else
#  define FASTSOCK_IOV_MAX 1024
#endif

/* Busy polling of the network device under a socket: socket(7). -1: none. */
#if FASTSOCK_LINUX && defined(SO_BUSY_POLL)
#  define FASTSOCK_SO_BUSY_POLL SO_BUSY_POLL
#else
#  define FASTSOCK_SO_BUSY_POLL (-1)
#endif

/* What TCP_ULP (kernel TLS) is called; -1: none. */
#if FASTSOCK_LINUX && defined(TCP_ULP)
#  define FASTSOCK_TCP_ULP TCP_ULP
#else
#  define FASTSOCK_TCP_ULP (-1)
#endif

/* 4.4BSD put a length byte in front of the family. */
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) \
    || defined(__OpenBSD__) || defined(__DragonFly__)
#  define FASTSOCK_SET_SA_LEN(address, size) \
       (((struct sockaddr *)(address))->sa_len = (unsigned char)(size))
#else
#  define FASTSOCK_SET_SA_LEN(address, size) ((void)0)
#endif

/* poll(2) with a limit in nanoseconds, 0 or more. Without ppoll(2), of milliseconds that
 * are rounded up, and of at most 24 days: an end before the time is the caller's. */
static inline int fastsock_poll_ns(struct pollfd *fds, nfds_t count, int64_t timeout_ns)
{
#if FASTSOCK_LINUX
    struct timespec limit;
    limit.tv_sec = (time_t)(timeout_ns / 1000000000);
    limit.tv_nsec = (long)(timeout_ns % 1000000000);
    return ppoll(fds, count, &limit, NULL);
#else
    int64_t limit_ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    return poll(fds, count, limit_ms < INT_MAX ? (int)limit_ms : INT_MAX);
#endif
}

/* Who is at the other end of a local connection: 0, or -1 and errno. What a system does
 * not tell is -1. unix(7), getpeereid(3). */
static inline int fastsock_peer_credentials(int fd, long *pid, long *uid, long *gid)
{
#if defined(__linux__)
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return -1;
    if (peer.pid == 0) { /* Linux has an answer for what has no peer, too */
        errno = ENOTCONN;
        return -1;
    }
    *pid = (long)peer.pid;
    *uid = (long)peer.uid;
    *gid = (long)peer.gid;
    return 0;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) \
    || defined(__OpenBSD__) || defined(__DragonFly__)
    uid_t peer_uid;
    gid_t peer_gid;
    if (getpeereid(fd, &peer_uid, &peer_gid) < 0)
        return -1;
    *pid = -1;
#  if defined(LOCAL_PEERPID) && defined(SOL_LOCAL)
    pid_t peer_pid;
    socklen_t size = sizeof(peer_pid);
    if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &peer_pid, &size) == 0)
        *pid = (long)peer_pid;
#  endif
    *uid = (long)peer_uid;
    *gid = (long)peer_gid;
    return 0;
#else
    (void)fd; (void)pid; (void)uid; (void)gid;
    errno = ENOPROTOOPT;
    return -1;
#endif
}

/* Multicast groups by interface and source (RFC 3678). Its members' places differ: macOS
 * packs them. */
#if defined(MCAST_JOIN_SOURCE_GROUP)
typedef struct group_source_req FastsockGroup;
#else
typedef struct { /* for no option: without a name for it, none is set */
    unsigned int gsr_interface;
    struct sockaddr_storage gsr_group;
    struct sockaddr_storage gsr_source;
} FastsockGroup;
#endif

/* Without accept4(2) and SOCK_CLOEXEC: the flag comes with a call of its own. */
static inline int fastsock_close_on_exec(int fd)
{
    return ioctl(fd, FIOCLEX, NULL);
}

static inline int fastsock_keep_or_close(int fd)
{
    if (fd >= 0 && fastsock_close_on_exec(fd) < 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* socket(2) whose fd is not inherited by exec (PEP 446). */
static inline int fastsock_socket(int family, int type, int proto)
{
#if FASTSOCK_HAS_ATOMIC_FLAGS
    return socket(family, type | SOCK_CLOEXEC, proto);
#else
    return fastsock_keep_or_close(socket(family, type, proto));
#endif
}

/* Received descriptors are then not inherited; macOS has no such flag. */
#ifdef MSG_CMSG_CLOEXEC
#define FASTSOCK_MSG_CMSG_CLOEXEC MSG_CMSG_CLOEXEC
#else
#define FASTSOCK_MSG_CMSG_CLOEXEC 0
#endif

/* accept(2) whose fd is not inherited by exec. */
static inline int fastsock_accept(int fd, struct sockaddr *address,
                                  socklen_t *size)
{
#if FASTSOCK_HAS_ATOMIC_FLAGS
    return accept4(fd, address, size, SOCK_CLOEXEC);
#else
    return fastsock_keep_or_close(accept(fd, address, size));
#endif
}

/* accept(2) whose fd is not inherited by exec and does not block. */
static inline int fastsock_accept_nonblocking(int fd, struct sockaddr *address,
                                              socklen_t *size)
{
#if FASTSOCK_HAS_ATOMIC_FLAGS
    return accept4(fd, address, size, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    int on = 1;
    int accepted = fastsock_keep_or_close(accept(fd, address, size));
    if (accepted >= 0 && ioctl(accepted, FIONBIO, &on) < 0) {
        int error = errno;
        (void)close(accepted);
        errno = error;
        return -1;
    }
    return accepted;
#endif
}

/* socketpair(2) whose fds are not inherited by exec. */
static inline int fastsock_socketpair(int family, int type, int proto,
                                      int fds[2])
{
#if FASTSOCK_HAS_ATOMIC_FLAGS
    return socketpair(family, type | SOCK_CLOEXEC, proto, fds);
#else
    if (socketpair(family, type, proto, fds) < 0)
        return -1;
    if (fastsock_close_on_exec(fds[0]) < 0
        || fastsock_close_on_exec(fds[1]) < 0) {
        int error = errno;
        (void)close(fds[0]);
        (void)close(fds[1]);
        errno = error;
        return -1;
    }
    return 0;
#endif
}

/* Set or clear O_NONBLOCK in one system call, as the interpreter does. */
static inline int fastsock_set_nonblocking(int fd, int nonblocking)
{
    return ioctl(fd, FIONBIO, &nonblocking);
}

/* Is O_NONBLOCK set on the open file? 1, 0, or -1 and errno. */
static inline int fastsock_is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : (flags & O_NONBLOCK) != 0;
}

/* sendfile(2) with Linux's arguments: bytes sent, or -1 and errno. A partial
 * transfer that BSD reports as an error with a count is reported as the count:
 * the next call meets the error again. */
#if defined(__linux__) || defined(__APPLE__) || defined(__FreeBSD__) \
    || defined(__DragonFly__)
#  define FASTSOCK_HAS_SENDFILE 1
#else
#  define FASTSOCK_HAS_SENDFILE 0
#endif

static inline ssize_t fastsock_sendfile(int out_fd, int in_fd, off_t offset,
                                        size_t count)
{
#if defined(__linux__)
    return sendfile(out_fd, in_fd, &offset, count);
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__DragonFly__)
    off_t sent = (off_t)count;
    int failed;
    if (count == 0)
        return 0; /* which would be all of the file */
#  if defined(__APPLE__)
    failed = sendfile(in_fd, out_fd, offset, &sent, NULL, 0);
#  else
    sent = 0;
    failed = sendfile(in_fd, out_fd, offset, count, NULL, &sent, 0);
#  endif
    /* With other errors macOS may leave the count that it was given. */
    if (failed && (sent == 0 || (errno != EAGAIN && errno != EINTR)))
        return -1;
    return (ssize_t)sent;
#else
    (void)out_fd; (void)in_fd; (void)offset; (void)count;
    errno = ENOSYS; /* the caller then sends what it reads */
    return -1;
#endif
}

/* splice(2): bytes from a file to a file without copying them out; one is a pipe. */
#if FASTSOCK_LINUX
#  define FASTSOCK_HAS_SPLICE 1
#else
#  define FASTSOCK_HAS_SPLICE 0
#endif

static inline ssize_t fastsock_splice(int from, int to, size_t most)
{
#if FASTSOCK_LINUX
    return splice(from, NULL, to, NULL, most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
#else
    (void)from; (void)to; (void)most;
    errno = ENOSYS; /* the caller then copies */
    return -1;
#endif
}

/* A pipe for splice(2), with room for `size` bytes if the system allows. 0, or -1 and
 * errno. */
static inline int fastsock_splice_pipe(int fds[2], int size)
{
#if FASTSOCK_LINUX
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    (void)fcntl(fds[1], F_SETPIPE_SZ, size);
    return 0;
#else
    (void)fds; (void)size;
    errno = ENOSYS;
    return -1;
#endif
}

/* Many datagrams a system call: recvmmsg(2), sendmmsg(2). Elsewhere loops over the
 * single calls have the same results. */
#define FASTSOCK_HAS_MANY_DATAGRAMS FASTSOCK_LINUX
#if FASTSOCK_LINUX
typedef struct mmsghdr FastsockMessage;
#else
typedef struct {
    struct msghdr msg_hdr;
    unsigned int msg_len;
} FastsockMessage;
#endif

/* Receive at least one datagram, waiting for that one as the socket does, and then as
 * many of `count` as are there. How many, or -1 and errno. */
static inline ssize_t fastsock_recvmmsg(int fd, FastsockMessage *messages, unsigned int count,
                                        int flags)
{
#if FASTSOCK_LINUX
    return recvmmsg(fd, messages, count, flags | MSG_WAITFORONE, NULL);
#else
    unsigned int received;
    int has_slept = 0; /* the number may be another file's by then */
    for (received = 0; received < count && !has_slept; received++) {
        ssize_t length;
        struct pollfd watched = {.fd = fd, .events = POLLIN};
        if (poll(&watched, 1, 0) != 1) {
            if (received)
                break; /* the next would wait */
            has_slept = 1;
        }
        length = recvmsg(fd, &messages[received].msg_hdr,
                         received ? flags | FASTSOCK_DONTWAIT : flags);
        if (length < 0)
            return received ? (ssize_t)received : -1;
        messages[received].msg_len = (unsigned int)length;
    }
    return (ssize_t)received;
#endif
}

/* Send datagrams in order until one fails. How many went, or -1 and errno if none did. */
static inline ssize_t fastsock_sendmmsg(int fd, FastsockMessage *messages, unsigned int count,
                                        int flags)
{
#if FASTSOCK_LINUX
    return sendmmsg(fd, messages, count, flags);
#else
    unsigned int sent;
    int has_slept = 0;
    for (sent = 0; sent < count && !has_slept; sent++) {
        ssize_t length;
        struct pollfd watched = {.fd = fd, .events = POLLOUT};
        has_slept = poll(&watched, 1, 0) != 1;
        length = sendmsg(fd, &messages[sent].msg_hdr, flags);
        if (length < 0)
            return sent ? (ssize_t)sent : -1;
        messages[sent].msg_len = (unsigned int)length;
    }
    return (ssize_t)sent;
#endif
}

/* Segmentation offload: udp(7). -1: the system has none. */
#if FASTSOCK_LINUX
#  define FASTSOCK_UDP_SEGMENT 103
#  define FASTSOCK_UDP_GRO 104
#else
#  define FASTSOCK_UDP_SEGMENT (-1)
#  define FASTSOCK_UDP_GRO (-1)
#endif

#endif /* FASTSOCK_PLATFORM_H */
