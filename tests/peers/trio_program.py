"""trio under install(): streams, TLS, datagrams, and a timeout. FOLDER. Prints JSON.

trio makes its sockets by the class that it finds in the socket module, and takes
only those of exactly this class: install() makes that fastsock's.
"""

import json
import socket
import ssl
import sys

import fastsock
import trio

DATA = bytes(range(256)) * 8192
certificates = sys.argv[1]
result = {}


def check(stream):
    sock = getattr(stream, "transport_stream", stream).socket._sock
    assert type(sock) is fastsock.socket, type(sock)


async def echo(stream):
    async with stream:
        check(stream)
        async for data in stream:
            await stream.send_all(data)


async def exchange(stream, name):
    check(stream)
    received = bytearray()
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, DATA)
        while len(received) < len(DATA):
            received += await stream.receive_some()
    result[name] = received == DATA


async def given_sockets():
    """Sockets that the program made itself, by both names of the class."""
    with fastsock.create_server(("127.0.0.1", 0)) as plain_listener, \
            socket.create_connection(plain_listener.getsockname()) as plain_client:
        listener = trio.socket.from_stdlib_socket(plain_listener)
        server, _ = await listener.accept()
        client = trio.SocketStream(trio.socket.from_stdlib_socket(plain_client))
        assert type(server._sock) is type(plain_client) is fastsock.socket
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, trio.SocketStream(server))
            await exchange(client, "given")
        room = bytearray(10)
        a, b = trio.socket.socketpair()
        with a, b:
            assert type(a._sock) is fastsock.socket
            await a.send(b"hello")
            assert await b.recv_into(room) == 5


async def main():
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(f"{certificates}/server.pem")
    client_side = ssl.create_default_context(cafile=f"{certificates}/ca.pem")
    with trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(
                lambda task_status: trio.serve_tcp(
                    echo, 0, host="127.0.0.1", task_status=task_status))
            port = listener.socket.getsockname()[1]
            await exchange(await trio.open_tcp_stream("127.0.0.1", port), "TCP")
            (listener,) = await nursery.start(
                lambda task_status: trio.serve_ssl_over_tcp(
                    echo, 0, server_side, host="127.0.0.1", https_compatible=True,
                    task_status=task_status))
            port = listener.transport_listener.socket.getsockname()[1]
            await exchange(await trio.open_ssl_over_tcp_stream(
                "localhost", port, https_compatible=True, ssl_context=client_side), "TLS")
            nursery.cancel_scope.cancel()
        await given_sockets()
        a, b = (trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
                for _ in range(2))
        with a, b:
            assert type(a._sock) is fastsock.socket
            await a.bind(("127.0.0.1", 0))
            await b.sendto(b"datagram", a.getsockname())
            result["datagram"] = (await a.recvfrom(100))[0].decode()
            with trio.move_on_after(0.05) as scope:
                await a.recv(1)
            result["timed_out"] = scope.cancelled_caught


trio.run(main)
print(json.dumps(result))
