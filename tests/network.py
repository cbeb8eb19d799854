"""What the network of this machine has."""

import socket as stdlib_socket


def has_ipv6():
    """Can ::1 be bound?"""
    try:
        with stdlib_socket.socket(stdlib_socket.AF_INET6, stdlib_socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def link_local_address():
    """(host, scope_id) of a link-local address of this machine, or None."""
    with open("/proc/net/if_inet6") as table:
        for line in table:
            digits, scope_id, *_ = line.split()
            if digits.startswith("fe80"):
                host = stdlib_socket.inet_ntop(stdlib_socket.AF_INET6, bytes.fromhex(digits))
                return host, int(scope_id, 16)
    return None
