/* The floor: the system calls that a case needs, and nothing else.
 *
 *   calls CASE SIZE COUNT     prints the nanoseconds that COUNT operations took
 *
 * CASE: unix, tcp: send and receive SIZE bytes on one pair; bulk: COUNT pieces of
 * SIZE bytes over TCP, sent by a thread.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <pthread.h>
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

static void *send_all(void *fd)
{
    char *piece = calloc(1, size);
    for (long i = 0; i < count; i++) {
        size_t sent = 0;
        while (sent < size) {
            ssize_t n = send(*(int *)fd, piece + sent, size - sent, 0);
            need(n > 0, "send");
            sent += (size_t)n;
        }
    }
    free(piece);
    return NULL;
}

static void bulk(int fds[2])
{
    pthread_t sender;
    char *piece = calloc(1, size);
    size_t left = size * (size_t)count;
    pthread_create(&sender, NULL, send_all, &fds[0]);
    while (left > 0) {
        ssize_t n = recv(fds[1], piece, size, 0);
        need(n > 0, "recv");
        left -= (size_t)n;
    }
    pthread_join(sender, NULL);
    free(piece);
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
    started = now_ns();
    if (strcmp(argv[1], "bulk") == 0) {
        bulk(fds);
    } else {
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
