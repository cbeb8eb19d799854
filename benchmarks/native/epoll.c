/* The floor of select(): epoll_wait(2) with READY of READY + OTHERS eventfds.
 *
 *   epoll READY OTHERS COUNT     prints the nanoseconds that COUNT calls took
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv)
{
    int ready = argc == 4 ? atoi(argv[1]) : 0;
    int others = argc == 4 ? atoi(argv[2]) : 0;
    long count = argc == 4 ? atol(argv[3]) : 0;
    int epfd = epoll_create1(0);
    struct epoll_event *events = calloc((size_t)(ready + others + 1), sizeof(*events));
    struct rlimit limit;
    long long began;
    if (ready < 1 || count < 1 || events == NULL) {
        fprintf(stderr, "usage: epoll READY OTHERS COUNT\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int index = 0; index < ready + others; index++) {
        struct epoll_event event = {.events = EPOLLIN};
        event.data.fd = eventfd(index < ready, 0);
        if (event.data.fd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, event.data.fd, &event) < 0) {
            perror("eventfd");
            return 1;
        }
    }
    began = now_ns();
    for (long turn = 0; turn < count; turn++)
        if (epoll_wait(epfd, events, ready + others, 0) != ready)
            return 1;
    printf("%lld\n", now_ns() - began);
    return 0;
}
