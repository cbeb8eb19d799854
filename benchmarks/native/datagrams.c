/* The floor of batches of datagrams over loopback.
 *
 *   datagrams CASE SIZE COUNT     prints the nanoseconds that COUNT datagrams took
 *
 * CASE: recvfrom, recvmmsg: COUNT datagrams of SIZE bytes are in the queue already;
 * recvmmsg_gro: sent by UDP_SEGMENT, received glued; sendto, sendmmsg: only the
 * sending is timed.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#  define UDP_SEGMENT 103
#  define UDP_GRO 104
#endif

enum { BATCH = 64, ROOM = 2048, GLUED = 65536 };

static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static struct sockaddr_storage names[BATCH];
static char controls[BATCH][64];
static char *memory;

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

static void prepare(size_t room, int glued)
{
    for (int i = 0; i < BATCH; i++) {
        parts[i].iov_base = memory + (size_t)i * room;
        parts[i].iov_len = room;
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &names[i];
        messages[i].msg_hdr.msg_namelen = sizeof(names[i]);
        messages[i].msg_hdr.msg_control = glued ? controls[i] : NULL;
        messages[i].msg_hdr.msg_controllen = glued ? sizeof(controls[i]) : 0;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    const int receiver = socket(AF_INET, SOCK_DGRAM, 0);
    const int sender = socket(AF_INET, SOCK_DGRAM, 0);
    int large = 8 << 20, on = 1;
    size_t size;
    long count, done = 0;
    char *data;
    long long started;
    need(argc == 4, "usage: datagrams CASE SIZE COUNT");
    size = (size_t)atol(argv[2]);
    count = atol(argv[3]);
    data = calloc(1, GLUED);
    memory = calloc(BATCH, GLUED);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(setsockopt(receiver, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)) == 0
         || setsockopt(receiver, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large)) == 0, "SO_RCVBUF");
    need(bind(receiver, (struct sockaddr *)&address, length) == 0, "bind");
    need(getsockname(receiver, (struct sockaddr *)&address, &length) == 0, "getsockname");
    need(connect(sender, (struct sockaddr *)&address, length) == 0, "connect");

    if (strncmp(argv[1], "send", 4) == 0) {
        prepare(size, 0);
        started = now_ns();
        if (strcmp(argv[1], "sendto") == 0) {
            for (; done < count; done++)
                need(send(sender, data, size, 0) >= 0, "send");
        } else {
            for (int i = 0; i < BATCH; i++)
                messages[i].msg_hdr.msg_name = NULL, messages[i].msg_hdr.msg_namelen = 0;
            while (done < count) {
                const int n = sendmmsg(sender, messages, BATCH, 0);
                need(n > 0, "sendmmsg");
                done += n;
            }
        }
        printf("%lld\n", now_ns() - started);
        return 0;
    }
    if (strcmp(argv[1], "recvmmsg_gro") == 0) {
        const long a_call = (long)(60000 / size);
        int segment = (int)size;
        need(setsockopt(receiver, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0, "UDP_GRO");
        need(setsockopt(sender, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) == 0,
             "UDP_SEGMENT");
        for (long sent = 0; sent < count; sent += a_call)
            need(send(sender, data, size * (size_t)a_call, 0) > 0, "send");
        count = count / a_call * a_call;
    } else {
        for (long sent = 0; sent < count; sent++)
            need(send(sender, data, size, 0) >= 0, "send");
    }
    started = now_ns();
    if (strcmp(argv[1], "recvfrom") == 0) {
        for (; done < count; done++) {
            socklen_t room = sizeof(names[0]);
            need(recvfrom(receiver, memory, ROOM, 0, (struct sockaddr *)&names[0], &room) >= 0,
                 "recvfrom");
        }
    } else {
        const int glued = strcmp(argv[1], "recvmmsg_gro") == 0;
        while (done < count) {
            int n;
            prepare(glued ? GLUED : ROOM, glued);
            n = recvmmsg(receiver, messages, BATCH, MSG_WAITFORONE, NULL);
            need(n > 0, "recvmmsg");
            for (int i = 0; i < n; i++)
                done += glued ? (long)((messages[i].msg_len + size - 1) / size) : 1;
        }
    }
    printf("%lld\n", now_ns() - started);
    return 0;
}
