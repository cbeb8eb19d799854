/* The floor of `python -m fastsock bench`: the same system calls, and nothing else.
 *
 *   floor CASE COUNT     prints the nanoseconds that COUNT operations took
 *
 * CASE: unix (send and receive 64 bytes), datagrams (recvmmsg of 64 off a full queue, a
 * datagram), epoll (epoll_wait of 200 ready pipes).
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READY = 200, BATCH = 64, SIZE = 64 };

static char piece[SIZE];

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void need(int ok)
{
    if (!ok) {
        perror("floor");
        exit(1);
    }
}

static void over_unix(long count)
{
    int fds[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    while (count--) {
        need(send(fds[0], piece, SIZE, 0) == SIZE);
        need(recv(fds[1], piece, SIZE, 0) == SIZE);
    }
}

static long long datagrams(long count)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    static char room[BATCH][2048];
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int receiver = socket(AF_INET, SOCK_DGRAM, 0);
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    long long spent_ns = 0;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(bind(receiver, (struct sockaddr *)&address, length) == 0);
    need(getsockname(receiver, (struct sockaddr *)&address, &length) == 0);
    need(connect(sender, (struct sockaddr *)&address, length) == 0);
    memset(messages, 0, sizeof(messages));
    for (int index = 0; index < BATCH; index++) {
        parts[index].iov_base = room[index];
        parts[index].iov_len = sizeof(room[index]);
        messages[index].msg_hdr.msg_iov = &parts[index];
        messages[index].msg_hdr.msg_iovlen = 1;
    }
    while (count > 0) {
        long long began_ns;
        for (int index = 0; index < BATCH; index++)
            need(send(sender, piece, SIZE, 0) == SIZE);
        began_ns = now_ns();
        need(recvmmsg(receiver, messages, BATCH, MSG_WAITFORONE, NULL) == BATCH);
        spent_ns += now_ns() - began_ns;
        count -= BATCH;
    }
    return spent_ns;
}

static void ready_pipes(long count)
{
    struct epoll_event events[READY];
    int epfd = epoll_create1(0);
    for (int index = 0; index < READY; index++) {
        struct epoll_event event = {.events = EPOLLIN};
        int fds[2];
        need(pipe(fds) == 0);
        need(write(fds[1], piece, 1) == 1);
        need(epoll_ctl(epfd, EPOLL_CTL_ADD, fds[0], &event) == 0);
    }
    while (count--)
        need(epoll_wait(epfd, events, READY, 0) == READY);
}

int main(int argc, char **argv)
{
    long count = argc == 3 ? atol(argv[2]) : 0;
    long long began_ns = now_ns();
    if (count < 1)
        return 2;
    if (strcmp(argv[1], "unix") == 0)
        over_unix(count);
    else if (strcmp(argv[1], "datagrams") == 0) {
        printf("%lld\n", datagrams(count));
        return 0;
    } else if (strcmp(argv[1], "epoll") == 0)
        ready_pipes(count);
    else
        return 2;
    printf("%lld\n", now_ns() - began_ns);
    return 0;
}
