"""Which of the platform's facilities this build uses: the switches of `_platform.h`."""

from fastsock._epoll cimport FASTSOCK_HAS_EPOLL
from fastsock._platform cimport (
    FASTSOCK_DONTWAIT, FASTSOCK_HAS_ABSTRACT_ADDRESSES, FASTSOCK_HAS_ATOMIC_FLAGS,
    FASTSOCK_HAS_MANY_DATAGRAMS, FASTSOCK_HAS_SPLICE, FASTSOCK_SHARES_PORTS,
    FASTSOCK_SO_BUSY_POLL, FASTSOCK_UDP_SEGMENT,
)


def facts():
    """The facilities by name.

    Returns
    -------
    dict of str to bool
        dontwait (MSG_DONTWAIT), atomic_flags (accept4, SOCK_CLOEXEC), many_datagrams
        (recvmmsg), segmentation (UDP_SEGMENT, UDP_GRO), epoll, splice, busy_poll
        (SO_BUSY_POLL), abstract_addresses (of AF_UNIX), shared_ports (SO_REUSEPORT shares
        connections out).
    """
    return {
        "dontwait": FASTSOCK_DONTWAIT != 0,
        "atomic_flags": bool(FASTSOCK_HAS_ATOMIC_FLAGS),
        "many_datagrams": bool(FASTSOCK_HAS_MANY_DATAGRAMS),
        "segmentation": FASTSOCK_UDP_SEGMENT >= 0,
        "epoll": bool(FASTSOCK_HAS_EPOLL),
        "splice": bool(FASTSOCK_HAS_SPLICE),
        "busy_poll": FASTSOCK_SO_BUSY_POLL >= 0,
        "abstract_addresses": bool(FASTSOCK_HAS_ABSTRACT_ADDRESSES),
        "shared_ports": bool(FASTSOCK_SHARES_PORTS),
    }
