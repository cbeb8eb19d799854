/* Calls Python before and after a system call that may wait, if the GIL is released there.
 *
 * `interpose(before, after)` is for the thread that calls it; NULL ends it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

typedef void (*Hook)(const char *name);

static __thread Hook before_hook, after_hook;
static __thread int is_inside;

void interpose(Hook before, Hook after)
{
    before_hook = before;
    after_hook = after;
}

static int holds_gil(void)
{
    static int (*check)(void);
    if (check == NULL)
        *(void **)&check = dlsym(RTLD_DEFAULT, "PyGILState_Check");
    return check == NULL || check();
}

static void call(Hook hook, const char *name)
{
    const int error = errno;
    if (hook != NULL) {
        is_inside = 1;
        hook(name);
        is_inside = 0;
    }
    errno = error;
}

/* `waits` is 0 where a call can't wait: it is made as it is. */
#define INTERPOSE(type, name, parameters, arguments, waits) \
    type name parameters \
    { \
        static type (*real) parameters; \
        type result; \
        if (real == NULL) \
            *(void **)&real = dlsym(RTLD_NEXT, #name); \
        if (before_hook == NULL || is_inside || !(waits) || holds_gil()) \
            return real arguments; \
        call(before_hook, #name); \
        result = real arguments; \
        call(after_hook, #name); \
        return result; \
    }

INTERPOSE(ssize_t, recv, (int fd, void *memory, size_t size, int flags),
          (fd, memory, size, flags), !(flags & MSG_DONTWAIT))
INTERPOSE(ssize_t, recvfrom,
          (int fd, void *memory, size_t size, int flags, struct sockaddr *address,
           socklen_t *room),
          (fd, memory, size, flags, address, room), !(flags & MSG_DONTWAIT))
INTERPOSE(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags),
          !(flags & MSG_DONTWAIT))
INTERPOSE(ssize_t, send, (int fd, const void *memory, size_t size, int flags),
          (fd, memory, size, flags), !(flags & MSG_DONTWAIT))
INTERPOSE(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
          (fd, message, flags), !(flags & MSG_DONTWAIT))
/* Builds for systems without accept4(2) call the other. */
INTERPOSE(int, accept, (int fd, struct sockaddr *address, socklen_t *room),
          (fd, address, room), 1)
INTERPOSE(int, accept4, (int fd, struct sockaddr *address, socklen_t *room, int flags),
          (fd, address, room, flags), 1)
INTERPOSE(int, connect, (int fd, const struct sockaddr *address, socklen_t size),
          (fd, address, size), 1)
INTERPOSE(int, poll, (struct pollfd *watched, nfds_t count, int timeout),
          (watched, count, timeout), 1)
