/* System calls that fail when they are told to: a library to be preloaded.
 *
 * Job: stands before the C library's functions, counts the calls of each kind, and lets the
 * n-th one fail, be cut short, or fail after it was made. Python tells it through ctypes.
 *
 * Rules: only calls of threads that asked to be watched count, so that the other end of a
 * connection is never hit. One fault is armed at a time. A call that fails is not made,
 * unless the mode says otherwise: so what is on its way afterwards is known exactly. A
 * datagram is never cut, since the kernel cuts none without being asked for less.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { FAILS = 0, IS_SHORT = 1, FAILS_AFTER = 2 };

/* X(name): everything that is counted. */
#define KINDS(X) \
    X(recv) X(recvfrom) X(recvmsg) X(recvmmsg) X(send) X(sendto) X(sendmsg) X(sendmmsg) \
    X(accept) X(accept4) X(connect) X(poll) X(ppoll) X(epoll_wait) X(epoll_ctl) \
    X(epoll_create1) X(socket) X(socketpair) X(close) X(fcntl) X(ioctl) X(setsockopt) \
    X(getsockopt) X(getsockname) X(getpeername) X(splice) X(pipe2) X(sendfile) X(shutdown) \
    X(bind) X(listen) X(malloc)

#define NUMBER(name) KIND_##name,
enum kind { KINDS(NUMBER) KIND_COUNT };
#define NAME(name) #name,
static const char *const names[] = { KINDS(NAME) };

static long seen[KIND_COUNT];
static int armed_kind = -1;
static long armed_n;
static int armed_mode;
static int armed_errno;
static int has_fired;
/* Static: the first access must not allocate, which is one of the calls counted here. */
static __thread unsigned char is_watched __attribute__((tls_model("initial-exec")));

/* -- for Python ------------------------------------------------------------------- */

/* Of this thread: 1 there has its calls watched. */
unsigned char *inject_watched(void)
{
    return &is_watched;
}

/* Let the n-th call of a kind (from 1 on) fail; a name of NULL only counts. -1: no such name. */
int inject_arm(const char *name, long n, int mode, int error)
{
    int kind;
    armed_kind = -1;
    has_fired = 0;
    memset(seen, 0, sizeof(seen));
    if (name == NULL)
        return 0;
    for (kind = 0; kind < KIND_COUNT; kind++)
        if (strcmp(names[kind], name) == 0) {
            armed_n = n;
            armed_mode = mode;
            armed_errno = error;
            __atomic_store_n(&armed_kind, kind, __ATOMIC_RELEASE);
            return 0;
        }
    return -1;
}

/* Calls of a kind since inject_arm(); -1: no such name. */
long inject_seen(const char *name)
{
    int kind;
    for (kind = 0; kind < KIND_COUNT; kind++)
        if (strcmp(names[kind], name) == 0)
            return __atomic_load_n(&seen[kind], __ATOMIC_RELAXED);
    return -1;
}

int inject_fired(void)
{
    return __atomic_load_n(&has_fired, __ATOMIC_ACQUIRE);
}

/* The name of the i-th kind, or NULL. */
const char *inject_name(int index)
{
    return index >= 0 && index < KIND_COUNT ? names[index] : NULL;
}

/* Bytes of malloc() that are in use. */
size_t inject_heap(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

/* -- the decision ----------------------------------------------------------------- */

/* Count a call: is it the one? */
static int is_due(int kind)
{
    long number;
    if (!is_watched)
        return 0;
    number = __atomic_add_fetch(&seen[kind], 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&armed_kind, __ATOMIC_ACQUIRE) != kind || number != armed_n)
        return 0;
    __atomic_store_n(&has_fired, 1, __ATOMIC_RELEASE);
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (real == NULL) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define FAIL() do { errno = armed_errno; return -1; } while (0)

/* A function whose result is below 0 where it fails. */
#define WRAP(result, name, parameters, arguments) \
    result name parameters \
    { \
        REAL(name); \
        if (is_due(KIND_##name)) { \
            if (armed_mode == FAILS) \
                FAIL(); \
            if (armed_mode == FAILS_AFTER) { \
                (void)real arguments; \
                FAIL(); \
            } \
        } \
        return real arguments; \
    }

WRAP(int, accept, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
WRAP(int, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
     (fd, address, size, flags))
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
WRAP(int, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout))
WRAP(int, ppoll, (struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                  const sigset_t *mask), (fds, count, timeout, mask))
WRAP(int, epoll_wait, (int epfd, struct epoll_event *events, int count, int timeout),
     (epfd, events, count, timeout))
WRAP(int, epoll_ctl, (int epfd, int what, int fd, struct epoll_event *event),
     (epfd, what, fd, event))
WRAP(int, epoll_create1, (int flags), (flags))
WRAP(int, socket, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, socketpair, (int family, int type, int protocol, int fds[2]),
     (family, type, protocol, fds))
WRAP(int, close, (int fd), (fd))
WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size))
WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size))
WRAP(int, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
WRAP(int, getpeername, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
WRAP(int, pipe2, (int fds[2], int flags), (fds, flags))
WRAP(int, shutdown, (int fd, int how), (fd, how))
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
WRAP(int, listen, (int fd, int backlog), (fd, backlog))

/* With _FORTIFY_SOURCE the compiler calls these in their place. */
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room)
{
    (void)room;
    return poll(fds, count, timeout);
}

int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                const sigset_t *mask, size_t room)
{
    (void)room;
    return ppoll(fds, count, timeout, mask);
}

/* One argument at most, as wide as a pointer: what Linux's calls take. */
#define WRAP_VARIADIC(function, kind, second) \
    int function(int fd, second what, ...) \
    { \
        void *argument; \
        va_list more; \
        REAL(function); \
        va_start(more, what); \
        argument = va_arg(more, void *); \
        va_end(more); \
        if (is_due(kind)) \
            FAIL(); \
        return real(fd, what, argument); \
    }

WRAP_VARIADIC(ioctl, KIND_ioctl, unsigned long)
WRAP_VARIADIC(fcntl, KIND_fcntl, int)
WRAP_VARIADIC(fcntl64, KIND_fcntl, int)

/* -- what can be cut short ----------------------------------------------------------- */

static int is_stream(int fd)
{
    static __typeof__(&getsockopt) real;
    int type = 0;
    socklen_t size = sizeof(type);
    if (real == NULL)
        real = (__typeof__(&getsockopt))dlsym(RTLD_NEXT, "getsockopt");
    return real(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* One byte: the shortest result that is a result. */
#define WRAP_CUT(result, name, kind, parameters, arguments, size, may_cut) \
    result name parameters \
    { \
        REAL(name); \
        if (is_due(kind)) { \
            if (armed_mode != IS_SHORT) \
                FAIL(); \
            if (size > 1 && (may_cut)) \
                size = 1; \
        } \
        return real arguments; \
    }

WRAP_CUT(ssize_t, recv, KIND_recv, (int fd, void *memory, size_t size, int flags),
         (fd, memory, size, flags), size, is_stream(fd))
WRAP_CUT(ssize_t, send, KIND_send, (int fd, const void *memory, size_t size, int flags),
         (fd, memory, size, flags), size, is_stream(fd))
WRAP_CUT(ssize_t, recvfrom, KIND_recvfrom,
         (int fd, void *memory, size_t size, int flags, struct sockaddr *address,
          socklen_t *address_size),
         (fd, memory, size, flags, address, address_size), size, is_stream(fd))
WRAP_CUT(ssize_t, sendto, KIND_sendto,
         (int fd, const void *memory, size_t size, int flags, const struct sockaddr *address,
          socklen_t address_size),
         (fd, memory, size, flags, address, address_size), size, is_stream(fd))
WRAP_CUT(int, recvmmsg, KIND_recvmmsg,
         (int fd, struct mmsghdr *messages, unsigned int count, int flags,
          struct timespec *timeout),
         (fd, messages, count, flags, timeout), count, 1)
WRAP_CUT(int, sendmmsg, KIND_sendmmsg,
         (int fd, struct mmsghdr *messages, unsigned int count, int flags),
         (fd, messages, count, flags), count, 1)
WRAP_CUT(ssize_t, splice, KIND_splice,
         (int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
          unsigned int flags),
         (from, from_offset, to, to_offset, size, flags), size, 1)
WRAP_CUT(ssize_t, sendfile, KIND_sendfile, (int to, int from, off_t *offset, size_t size),
         (to, from, offset, size), size, 1)
WRAP_CUT(ssize_t, sendfile64, KIND_sendfile, (int to, int from, off64_t *offset, size_t size),
         (to, from, offset, size), size, 1)

ssize_t __recv_chk(int fd, void *memory, size_t size, size_t room, int flags)
{
    (void)room;
    return recv(fd, memory, size, flags);
}

ssize_t __recvfrom_chk(int fd, void *memory, size_t size, size_t room, int flags,
                       struct sockaddr *address, socklen_t *address_size)
{
    (void)room;
    return recvfrom(fd, memory, size, flags, address, address_size);
}

/* Of several pieces, one byte of the first that has any. */
static void cut_message(struct msghdr *message, struct iovec *part)
{
    size_t index;
    for (index = 0; index < message->msg_iovlen; index++)
        if (message->msg_iov[index].iov_len > 0) {
            part->iov_base = message->msg_iov[index].iov_base;
            part->iov_len = 1;
            message->msg_iov = part;
            message->msg_iovlen = 1;
            return;
        }
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(recvmsg);
    if (is_due(KIND_recvmsg)) {
        if (armed_mode != IS_SHORT)
            FAIL();
        if (is_stream(fd)) {
            struct msghdr cut = *message;
            struct iovec part;
            ssize_t result;
            cut_message(&cut, &part);
            result = real(fd, &cut, flags);
            message->msg_namelen = cut.msg_namelen;
            message->msg_controllen = cut.msg_controllen;
            message->msg_flags = cut.msg_flags;
            return result;
        }
    }
    return real(fd, message, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    if (is_due(KIND_sendmsg)) {
        if (armed_mode != IS_SHORT)
            FAIL();
        if (is_stream(fd)) {
            struct msghdr cut = *message;
            struct iovec part;
            cut_message(&cut, &part);
            return real(fd, &cut, flags);
        }
    }
    return real(fd, message, flags);
}

/* -- memory ------------------------------------------------------------------------- */

/* By their inner names: dlsym() may allocate. Another C library has them not, and its
 * malloc() is left alone. */
#ifdef __GLIBC__
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static int has_none(void)
{
    if (!is_due(KIND_malloc))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return has_none() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return has_none() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return has_none() ? NULL : __libc_realloc(memory, size);
}
#endif
