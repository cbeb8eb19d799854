/* The floor: the system calls that a case needs, and nothing else.
 *
 *   calls CASE SIZE COUNT     prints the nanoseconds that COUNT operations took
 *
 * CASE: unix, tcp: send and receive SIZE bytes on one pair; bulk: COUNT pieces of
 * SIZE bytes over TCP, sent by a process on another processor.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static size_t size;
static long count;

static void need(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(bind(listener, (struct sockaddr *)&address, length) == 0, "bind");
    need(listen(listener, 1) == 0, "listen");
    need(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(fds[0], (struct sockaddr *)&address, length) == 0, "connect");
    fds[1] = accept(listener, NULL, NULL);
    need(fds[1] >= 0, "accept");
    close(listener);
}

static void stay_on(int processor)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    (void)sched_setaffinity(0, sizeof(one), &one);
}

/* Sends as many pieces as it is asked to, until the other end closes. */
static void send_pieces(int fd)
{
    char *piece = calloc(1, size);
    long pieces;
    stay_on(1);
    while (recv(fd, &pieces, sizeof(pieces), MSG_WAITALL) == sizeof(pieces)) {
        while (pieces-- > 0) {
            for (size_t sent = 0; sent < size;) {
                ssize_t n = send(fd, piece + sent, size - sent, 0);
                need(n > 0, "send");
                sent += (size_t)n;
            }
        }
    }
}

static void receive_pieces(int fd, char *piece, long pieces)
{
    size_t left = size * (size_t)pieces;
    need(send(fd, &pieces, sizeof(pieces), 0) == sizeof(pieces), "send");
    while (left > 0) {
        ssize_t n = recv(fd, piece, size, 0);
        need(n > 0, "recv");
        left -= (size_t)n;
    }
}

int main(int argc, char **argv)
{
    int fds[2];
    long long started;
    char *piece;
    need(argc == 4, "usage: calls CASE SIZE COUNT");
    size = (size_t)atol(argv[2]);
    count = atol(argv[3]);
    piece = calloc(1, size);
    if (strcmp(argv[1], "unix") == 0)
        need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "socketpair");
    else
        tcp_pair(fds);
    if (strcmp(argv[1], "bulk") == 0) {
        if (fork() == 0) {
            close(fds[0]);
            send_pieces(fds[1]);
            _exit(0);
        }
        stay_on(0);
        receive_pieces(fds[0], piece, count / 4); /* the connection finds its window */
        started = now_ns();
        receive_pieces(fds[0], piece, count);
    } else {
        started = now_ns();
        for (long i = 0; i < count; i++) {
            need(send(fds[0], piece, size, 0) == (ssize_t)size, "send");
            for (size_t got = 0; got < size;) {
                ssize_t n = recv(fds[1], piece, size, 0);
                need(n > 0, "recv");
                got += (size_t)n;
            }
        }
    }
    printf("%lld\n", now_ns() - started);
    return 0;
}
