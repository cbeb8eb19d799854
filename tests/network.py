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
