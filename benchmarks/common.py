"""What several subjects need: the two implementations, and connected sockets."""

import socket as stdlib

import fastsock

IMPLEMENTATIONS = {"stdlib": stdlib, "fastsock": fastsock}


def unix_pair(socket, timeout=None):
    pair = socket.socketpair()
    for sock in pair:
        sock.settimeout(timeout)
    return pair


def tcp_pair(socket, timeout=None):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)
        sock.settimeout(timeout)
    return client, server
