/* The floor of a relay, and the bytes for all of them.
 *
 *   relay splice PORT         prints a port; relays the first connection there to PORT
 *                             by splice(2), one way, and ends
 *   relay sink                prints a port; reads what comes until its end
 *   relay source PORT BYTES   sends that much
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 1 << 18, PIPE_SIZE = 1 << 20 };

static void need(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static int accept_one(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int accepted;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(bind(listener, (struct sockaddr *)&address, length) == 0, "bind");
    need(listen(listener, 1) == 0, "listen");
    need(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    accepted = accept(listener, NULL, NULL);
    need(accepted >= 0, "accept");
    close(listener);
    return accepted;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
    return fd;
}

static void splice_all(int port)
{
    int source = accept_one();
    int target = connect_to(port);
    int pipes[2];
    ssize_t size;
    need(pipe(pipes) == 0, "pipe");
    (void)fcntl(pipes[1], F_SETPIPE_SZ, PIPE_SIZE);
    while ((size = splice(source, NULL, pipes[1], NULL, PIPE_SIZE, SPLICE_F_MOVE)) > 0) {
        while (size > 0) {
            ssize_t sent = splice(pipes[0], NULL, target, NULL, (size_t)size, SPLICE_F_MOVE);
            need(sent > 0, "splice");
            size -= sent;
        }
    }
}

int main(int argc, char **argv)
{
    static char piece[PIECE];
    if (argc == 3 && strcmp(argv[1], "splice") == 0)
        splice_all(atoi(argv[2]));
    else if (argc == 2 && strcmp(argv[1], "sink") == 0) {
        int fd = accept_one();
        while (recv(fd, piece, PIECE, 0) > 0)
            ;
    } else if (argc == 4 && strcmp(argv[1], "source") == 0) {
        int fd = connect_to(atoi(argv[2]));
        long long left = atoll(argv[3]);
        while (left > 0) {
            ssize_t sent = send(fd, piece, left < PIECE ? (size_t)left : PIECE, 0);
            need(sent > 0, "send");
            left -= sent;
        }
    } else
        return 2;
    return 0;
}
