/* Generated from constants.txt by tools/generate_constants.py: do not edit.
 *
 * The system's headers come first; the value in the list is used where they are
 * older than the kernel's interface, on architectures with the generic one.
 */
#ifndef FASTSOCK_CONSTANTS_TABLE_H
#define FASTSOCK_CONSTANTS_TABLE_H

#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "_platform.h"

#if !defined(UDP_CORK) && FASTSOCK_GENERIC_ABI
#  define UDP_CORK 1
#endif
#if !defined(UDP_SEGMENT) && FASTSOCK_GENERIC_ABI
#  define UDP_SEGMENT 103
#endif
#if !defined(UDP_GRO) && FASTSOCK_GENERIC_ABI
#  define UDP_GRO 104
#endif
#if !defined(SOL_UDP) && FASTSOCK_GENERIC_ABI
#  define SOL_UDP 17
#endif
#if !defined(SO_REUSEPORT) && FASTSOCK_GENERIC_ABI
#  define SO_REUSEPORT 15
#endif
#if !defined(SO_RXQ_OVFL) && FASTSOCK_GENERIC_ABI
#  define SO_RXQ_OVFL 40
#endif
#if !defined(SO_PEEK_OFF) && FASTSOCK_GENERIC_ABI
#  define SO_PEEK_OFF 42
#endif
#if !defined(SO_BUSY_POLL) && FASTSOCK_GENERIC_ABI
#  define SO_BUSY_POLL 46
#endif
#if !defined(SO_MAX_PACING_RATE) && FASTSOCK_GENERIC_ABI
#  define SO_MAX_PACING_RATE 47
#endif
#if !defined(SO_INCOMING_CPU) && FASTSOCK_GENERIC_ABI
#  define SO_INCOMING_CPU 49
#endif
#if !defined(SO_INCOMING_NAPI_ID) && FASTSOCK_GENERIC_ABI
#  define SO_INCOMING_NAPI_ID 56
#endif
#if !defined(SO_COOKIE) && FASTSOCK_GENERIC_ABI
#  define SO_COOKIE 57
#endif
#if !defined(SO_PEERGROUPS) && FASTSOCK_GENERIC_ABI
#  define SO_PEERGROUPS 59
#endif
#if !defined(SO_ZEROCOPY) && FASTSOCK_GENERIC_ABI
#  define SO_ZEROCOPY 60
#endif
#if !defined(SO_TXTIME) && FASTSOCK_GENERIC_ABI
#  define SO_TXTIME 61
#endif
#if !defined(SO_PREFER_BUSY_POLL) && FASTSOCK_GENERIC_ABI
#  define SO_PREFER_BUSY_POLL 69
#endif
#if !defined(SO_BUSY_POLL_BUDGET) && FASTSOCK_GENERIC_ABI
#  define SO_BUSY_POLL_BUDGET 70
#endif
#if !defined(SO_PASSRIGHTS) && FASTSOCK_GENERIC_ABI
#  define SO_PASSRIGHTS 83
#endif
#if !defined(SO_TIMESTAMP) && FASTSOCK_GENERIC_ABI
#  define SO_TIMESTAMP 29
#endif
#if !defined(SO_TIMESTAMPNS) && FASTSOCK_GENERIC_ABI
#  define SO_TIMESTAMPNS 35
#endif
#if !defined(SO_TIMESTAMPING) && FASTSOCK_GENERIC_ABI
#  define SO_TIMESTAMPING 37
#endif
#if !defined(SCM_TIMESTAMP) && FASTSOCK_GENERIC_ABI
#  define SCM_TIMESTAMP 29
#endif
#if !defined(SCM_TIMESTAMPNS) && FASTSOCK_GENERIC_ABI
#  define SCM_TIMESTAMPNS 35
#endif
#if !defined(SCM_TIMESTAMPING) && FASTSOCK_GENERIC_ABI
#  define SCM_TIMESTAMPING 37
#endif
#if !defined(SCM_TXTIME) && FASTSOCK_GENERIC_ABI
#  define SCM_TXTIME 61
#endif
#if !defined(MSG_WAITFORONE) && FASTSOCK_GENERIC_ABI
#  define MSG_WAITFORONE 0x10000
#endif
#if !defined(MSG_BATCH) && FASTSOCK_GENERIC_ABI
#  define MSG_BATCH 0x40000
#endif
#if !defined(MSG_ZEROCOPY) && FASTSOCK_GENERIC_ABI
#  define MSG_ZEROCOPY 0x4000000
#endif
#if !defined(MSG_FASTOPEN) && FASTSOCK_GENERIC_ABI
#  define MSG_FASTOPEN 0x20000000
#endif
#if !defined(IP_PKTINFO) && FASTSOCK_GENERIC_ABI
#  define IP_PKTINFO 8
#endif
#if !defined(IP_RECVERR) && FASTSOCK_GENERIC_ABI
#  define IP_RECVERR 11
#endif
#if !defined(IP_MTU) && FASTSOCK_GENERIC_ABI
#  define IP_MTU 14
#endif
#if !defined(IP_FREEBIND) && FASTSOCK_GENERIC_ABI
#  define IP_FREEBIND 15
#endif
#if !defined(IP_MULTICAST_ALL) && FASTSOCK_GENERIC_ABI
#  define IP_MULTICAST_ALL 49
#endif
#if !defined(IP_LOCAL_PORT_RANGE) && FASTSOCK_GENERIC_ABI
#  define IP_LOCAL_PORT_RANGE 51
#endif
#if !defined(IP_RECVTTL) && FASTSOCK_GENERIC_ABI
#  define IP_RECVTTL 12
#endif
#if !defined(MCAST_JOIN_GROUP) && FASTSOCK_GENERIC_ABI
#  define MCAST_JOIN_GROUP 42
#endif
#if !defined(MCAST_LEAVE_GROUP) && FASTSOCK_GENERIC_ABI
#  define MCAST_LEAVE_GROUP 45
#endif
#if !defined(MCAST_JOIN_SOURCE_GROUP) && FASTSOCK_GENERIC_ABI
#  define MCAST_JOIN_SOURCE_GROUP 46
#endif
#if !defined(MCAST_LEAVE_SOURCE_GROUP) && FASTSOCK_GENERIC_ABI
#  define MCAST_LEAVE_SOURCE_GROUP 47
#endif
#if !defined(IPV6_MTU) && FASTSOCK_GENERIC_ABI
#  define IPV6_MTU 24
#endif
#if !defined(IPV6_RECVERR) && FASTSOCK_GENERIC_ABI
#  define IPV6_RECVERR 25
#endif
#if !defined(IPV6_FREEBIND) && FASTSOCK_GENERIC_ABI
#  define IPV6_FREEBIND 78
#endif
#if !defined(TCP_SAVE_SYN) && FASTSOCK_GENERIC_ABI
#  define TCP_SAVE_SYN 27
#endif
#if !defined(TCP_SAVED_SYN) && FASTSOCK_GENERIC_ABI
#  define TCP_SAVED_SYN 28
#endif
#if !defined(TCP_ULP) && FASTSOCK_GENERIC_ABI
#  define TCP_ULP 31
#endif
#if !defined(TCP_FASTOPEN_KEY) && FASTSOCK_GENERIC_ABI
#  define TCP_FASTOPEN_KEY 33
#endif
#if !defined(TCP_ZEROCOPY_RECEIVE) && FASTSOCK_GENERIC_ABI
#  define TCP_ZEROCOPY_RECEIVE 35
#endif
#if !defined(TCP_INQ) && FASTSOCK_GENERIC_ABI
#  define TCP_INQ 36
#endif
#if !defined(TCP_TX_DELAY) && FASTSOCK_GENERIC_ABI
#  define TCP_TX_DELAY 37
#endif

typedef struct { const char *name; long long value; } fastsock_constant;

static fastsock_constant fastsock_constants[] = {
#ifdef UDP_CORK
    {"UDP_CORK", (long long)(UDP_CORK)},
#endif
#ifdef UDP_SEGMENT
    {"UDP_SEGMENT", (long long)(UDP_SEGMENT)},
#endif
#ifdef UDP_GRO
    {"UDP_GRO", (long long)(UDP_GRO)},
#endif
#ifdef SOL_UDP
    {"SOL_UDP", (long long)(SOL_UDP)},
#endif
#ifdef SO_REUSEPORT
    {"SO_REUSEPORT", (long long)(SO_REUSEPORT)},
#endif
#ifdef SO_RXQ_OVFL
    {"SO_RXQ_OVFL", (long long)(SO_RXQ_OVFL)},
#endif
#ifdef SO_PEEK_OFF
    {"SO_PEEK_OFF", (long long)(SO_PEEK_OFF)},
#endif
#ifdef SO_BUSY_POLL
    {"SO_BUSY_POLL", (long long)(SO_BUSY_POLL)},
#endif
#ifdef SO_MAX_PACING_RATE
    {"SO_MAX_PACING_RATE", (long long)(SO_MAX_PACING_RATE)},
#endif
#ifdef SO_INCOMING_CPU
    {"SO_INCOMING_CPU", (long long)(SO_INCOMING_CPU)},
#endif
#ifdef SO_INCOMING_NAPI_ID
    {"SO_INCOMING_NAPI_ID", (long long)(SO_INCOMING_NAPI_ID)},
#endif
#ifdef SO_COOKIE
    {"SO_COOKIE", (long long)(SO_COOKIE)},
#endif
#ifdef SO_PEERGROUPS
    {"SO_PEERGROUPS", (long long)(SO_PEERGROUPS)},
#endif
#ifdef SO_ZEROCOPY
    {"SO_ZEROCOPY", (long long)(SO_ZEROCOPY)},
#endif
#ifdef SO_TXTIME
    {"SO_TXTIME", (long long)(SO_TXTIME)},
#endif
#ifdef SO_PREFER_BUSY_POLL
    {"SO_PREFER_BUSY_POLL", (long long)(SO_PREFER_BUSY_POLL)},
#endif
#ifdef SO_BUSY_POLL_BUDGET
    {"SO_BUSY_POLL_BUDGET", (long long)(SO_BUSY_POLL_BUDGET)},
#endif
#ifdef SO_PASSRIGHTS
    {"SO_PASSRIGHTS", (long long)(SO_PASSRIGHTS)},
#endif
#ifdef SO_TIMESTAMP
    {"SO_TIMESTAMP", (long long)(SO_TIMESTAMP)},
#endif
#ifdef SO_TIMESTAMPNS
    {"SO_TIMESTAMPNS", (long long)(SO_TIMESTAMPNS)},
#endif
#ifdef SO_TIMESTAMPING
    {"SO_TIMESTAMPING", (long long)(SO_TIMESTAMPING)},
#endif
#ifdef SCM_TIMESTAMP
    {"SCM_TIMESTAMP", (long long)(SCM_TIMESTAMP)},
#endif
#ifdef SCM_TIMESTAMPNS
    {"SCM_TIMESTAMPNS", (long long)(SCM_TIMESTAMPNS)},
#endif
#ifdef SCM_TIMESTAMPING
    {"SCM_TIMESTAMPING", (long long)(SCM_TIMESTAMPING)},
#endif
#ifdef SCM_TXTIME
    {"SCM_TXTIME", (long long)(SCM_TXTIME)},
#endif
#ifdef MSG_WAITFORONE
    {"MSG_WAITFORONE", (long long)(MSG_WAITFORONE)},
#endif
#ifdef MSG_BATCH
    {"MSG_BATCH", (long long)(MSG_BATCH)},
#endif
#ifdef MSG_ZEROCOPY
    {"MSG_ZEROCOPY", (long long)(MSG_ZEROCOPY)},
#endif
#ifdef MSG_FASTOPEN
    {"MSG_FASTOPEN", (long long)(MSG_FASTOPEN)},
#endif
#ifdef IP_PKTINFO
    {"IP_PKTINFO", (long long)(IP_PKTINFO)},
#endif
#ifdef IP_RECVERR
    {"IP_RECVERR", (long long)(IP_RECVERR)},
#endif
#ifdef IP_MTU
    {"IP_MTU", (long long)(IP_MTU)},
#endif
#ifdef IP_FREEBIND
    {"IP_FREEBIND", (long long)(IP_FREEBIND)},
#endif
#ifdef IP_MULTICAST_ALL
    {"IP_MULTICAST_ALL", (long long)(IP_MULTICAST_ALL)},
#endif
#ifdef IP_LOCAL_PORT_RANGE
    {"IP_LOCAL_PORT_RANGE", (long long)(IP_LOCAL_PORT_RANGE)},
#endif
#ifdef IP_RECVTTL
    {"IP_RECVTTL", (long long)(IP_RECVTTL)},
#endif
#ifdef MCAST_JOIN_GROUP
    {"MCAST_JOIN_GROUP", (long long)(MCAST_JOIN_GROUP)},
#endif
#ifdef MCAST_LEAVE_GROUP
    {"MCAST_LEAVE_GROUP", (long long)(MCAST_LEAVE_GROUP)},
#endif
#ifdef MCAST_JOIN_SOURCE_GROUP
    {"MCAST_JOIN_SOURCE_GROUP", (long long)(MCAST_JOIN_SOURCE_GROUP)},
#endif
#ifdef MCAST_LEAVE_SOURCE_GROUP
    {"MCAST_LEAVE_SOURCE_GROUP", (long long)(MCAST_LEAVE_SOURCE_GROUP)},
#endif
#ifdef IPV6_MTU
    {"IPV6_MTU", (long long)(IPV6_MTU)},
#endif
#ifdef IPV6_RECVERR
    {"IPV6_RECVERR", (long long)(IPV6_RECVERR)},
#endif
#ifdef IPV6_FREEBIND
    {"IPV6_FREEBIND", (long long)(IPV6_FREEBIND)},
#endif
#ifdef TCP_SAVE_SYN
    {"TCP_SAVE_SYN", (long long)(TCP_SAVE_SYN)},
#endif
#ifdef TCP_SAVED_SYN
    {"TCP_SAVED_SYN", (long long)(TCP_SAVED_SYN)},
#endif
#ifdef TCP_ULP
    {"TCP_ULP", (long long)(TCP_ULP)},
#endif
#ifdef TCP_FASTOPEN_KEY
    {"TCP_FASTOPEN_KEY", (long long)(TCP_FASTOPEN_KEY)},
#endif
#ifdef TCP_ZEROCOPY_RECEIVE
    {"TCP_ZEROCOPY_RECEIVE", (long long)(TCP_ZEROCOPY_RECEIVE)},
#endif
#ifdef TCP_INQ
    {"TCP_INQ", (long long)(TCP_INQ)},
#endif
#ifdef TCP_TX_DELAY
    {"TCP_TX_DELAY", (long long)(TCP_TX_DELAY)},
#endif
    {NULL, 0},
};

#endif /* FASTSOCK_CONSTANTS_TABLE_H */
