# What may be done with one call, read from its socket, flags and memory.
#
# Rule: when in doubt, nothing. A trait is a promise about the kernel: that
# MSG_DONTWAIT changes nothing but waiting, and that the call is then short.

from fastsock._libc cimport AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_STREAM
from fastsock._object cimport SocketHead
from fastsock._platform cimport FASTSOCK_DONTWAIT, FASTSOCK_SIMPLE_FLAGS

cdef enum Traits:
    PLAIN = 0
    MAY_TRY_FIRST = 1       # MSG_DONTWAIT gives the result that the call would have
    MAY_KEEP_GIL = 2        # and with it the call is short
    MAY_BUSY_POLL = 4            # it may, but this system has no MSG_DONTWAIT: poll(2) is asked

cdef enum:
    # A call that keeps the GIL receives at most this: some 10 microseconds.
    MOST_UNDER_GIL = 65536
    # A send over loopback also does the receiver's part, and wakes it, and the woken
    # thread may get the processor: with 64 KiB, a third thread was seen to wait twice as
    # long for the GIL.
    MOST_SENT_UNDER_GIL = 16384

cdef enum:
    IPPROTO_TCP = 6
    IPPROTO_UDP = 17


cdef inline bint is_known_protocol(SocketHead *sock) noexcept nogil:
    """TCP, UDP or AF_UNIX, whose calls are known."""
    if sock.family == AF_UNIX:
        return True
    if sock.family != AF_INET and sock.family != AF_INET6:
        return False
    if sock.type == SOCK_STREAM:
        return sock.proto == 0 or sock.proto == IPPROTO_TCP
    return sock.type == SOCK_DGRAM and (sock.proto == 0 or sock.proto == IPPROTO_UDP)


cdef inline int traits_of(SocketHead *sock, int flags, Py_ssize_t size,
                          bint is_plain_memory) noexcept nogil:
    """May a transfer be tried first, and then under the GIL?

    Not with MSG_WAITALL, or MSG_DONTWAIT itself. Memory that is not plain may be a
    mapped file, whose page faults take as long as the disk.
    """
    if flags & ~FASTSOCK_SIMPLE_FLAGS or not is_known_protocol(sock):
        return PLAIN
    if FASTSOCK_DONTWAIT == 0:
        return MAY_BUSY_POLL
    if is_plain_memory and size <= MOST_UNDER_GIL:
        return MAY_TRY_FIRST | MAY_KEEP_GIL
    return MAY_TRY_FIRST
