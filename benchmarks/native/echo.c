/* The floor of an echo server, and the load for all of them.
 *
 *   echo serve                                prints its port, and serves until it is ended
 *   echo load PORT CONNECTIONS SIZE SECONDS [LINES]
 *
 * The load keeps one message on its way on each connection, SIZE bytes long (or LINES
 * lines of SIZE bytes), waits for as many bytes to come back, and prints how many
 * messages (or lines) came back.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, ROOM = 65536 };

static void need(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static void watch(int epfd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    need(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            continue; /* the peer reads always, so this ends */
        if (sent < 0)
            return;
        data += sent;
        size -= (size_t)sent;
    }
}

static void serve(void)
{
    static char room[ROOM];
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    struct epoll_event events[EVENTS];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int epfd = epoll_create1(0);
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    need(bind(listener, (struct sockaddr *)&address, length) == 0, "bind");
    need(listen(listener, 1024) == 0, "listen");
    need(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    watch(epfd, listener);
    for (;;) {
        int count = epoll_wait(epfd, events, EVENTS, -1);
        for (int index = 0; index < count; index++) {
            int fd = events[index].data.fd;
            if (fd == listener) {
                int accepted;
                while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                    watch(epfd, accepted);
                continue;
            }
            ssize_t size = recv(fd, room, ROOM, 0);
            if (size > 0)
                send_all(fd, room, (size_t)size);
            else if (size == 0 || errno != EAGAIN)
                close(fd);
        }
    }
}

static void load(int port, int connections, size_t size, double seconds, int lines)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct epoll_event events[EVENTS];
    size_t total = lines ? size * (size_t)lines : size;
    char *message = malloc(total);
    char *room = malloc(total + ROOM);
    int highest = 4096 + connections;
    size_t *missing = calloc((size_t)highest, sizeof(*missing));
    int *fds = calloc((size_t)connections, sizeof(*fds));
    int epfd = epoll_create1(0);
    int one = 1;
    long long came_back = 0;
    struct timespec now;
    double end;
    need(message != NULL && room != NULL && missing != NULL && fds != NULL, "malloc");
    memset(message, 'x', total);
    for (size_t at = size; lines && at <= total; at += size)
        message[at - 1] = '\n';
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int index = 0; index < connections; index++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        need(fd >= 0 && fd < highest, "socket");
        need(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        watch(epfd, fd);
        missing[fd] = total;
        fds[index] = fd;
    }
    for (int index = 0; index < connections; index++)
        need(send(fds[index], message, total, 0) == (ssize_t)total, "send");
    clock_gettime(CLOCK_MONOTONIC, &now);
    end = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec + seconds;
    for (;;) {
        int count = epoll_wait(epfd, events, EVENTS, 1000);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((double)now.tv_sec + 1e-9 * (double)now.tv_nsec >= end)
            break;
        for (int index = 0; index < count; index++) {
            int fd = events[index].data.fd;
            ssize_t received = recv(fd, room, missing[fd], MSG_DONTWAIT);
            if (received < 0 && errno == EAGAIN)
                continue;
            need(received > 0, "recv");
            missing[fd] -= (size_t)received;
            if (missing[fd] == 0) {
                came_back += lines ? lines : 1;
                missing[fd] = total;
                need(send(fd, message, total, 0) == (ssize_t)total, "send");
            }
        }
    }
    /* Ended gently: a reset is an error to some servers, which they report at length. */
    for (int index = 0; index < connections; index++)
        (void)shutdown(fds[index], SHUT_WR);
    for (int index = 0; index < connections; index++)
        while (recv(fds[index], room, ROOM, 0) > 0)
            ;
    printf("%lld\n", came_back);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "serve") == 0)
        serve();
    else if (argc >= 6 && strcmp(argv[1], "load") == 0)
        load(atoi(argv[2]), atoi(argv[3]), (size_t)atol(argv[4]), atof(argv[5]),
             argc > 6 ? atoi(argv[6]) : 0);
    else {
        fprintf(stderr, "usage: echo serve | echo load PORT CONNECTIONS SIZE SECONDS [LINES]\n");
        return 2;
    }
    return 0;
}
