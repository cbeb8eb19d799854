"""asyncio under install(): [--uvloop]. Every transport's socket must be fastsock's.

Prints one JSON object of what went there and back.
"""

import asyncio
import json
import os
import socket
import ssl
import sys
import tempfile

import fastsock

DATA = bytes(range(256)) * 8192
certificates, *options = sys.argv[1:]
uses_uvloop = "--uvloop" in options
result = {}


def check(transport):
    """uvloop makes the sockets itself, in C; asyncio takes them of the socket module."""
    sock = transport.get_extra_info("socket")
    if not uses_uvloop:
        sock = sock._sock  # of asyncio's TransportSocket
        assert type(sock) is fastsock.socket, type(sock)


async def echo(reader, writer):
    check(writer.transport)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def streams(name, context=None, **where):
    start = asyncio.start_unix_server if "path" in where else asyncio.start_server
    connect = asyncio.open_unix_connection if "path" in where else asyncio.open_connection
    server_side = None
    if context:
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_side.load_cert_chain(f"{certificates}/server.pem")
    async with await start(echo, ssl=server_side, **where) as server:
        if "port" in where:
            where["port"] = server.sockets[0].getsockname()[1]
            where["host"] = "localhost" if context else "127.0.0.1"
        reader, writer = await connect(ssl=context, **where)
        check(writer.transport)
        writer.write(DATA)
        result[name] = await reader.readexactly(len(DATA)) == DATA
        writer.close()
        await writer.wait_closed()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer
        self.received = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        check(transport)

    def datagram_received(self, data, address):
        if self.answer:
            self.transport.sendto(data[::-1], address)
        self.received.set_result(data)


async def datagrams():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(
        lambda: Datagrams(True), local_addr=("127.0.0.1", 0))
    client, protocol = await loop.create_datagram_endpoint(
        lambda: Datagrams(False), remote_addr=server.get_extra_info("sockname"))
    client.sendto(b"datagram")
    result["datagrams"] = (await protocol.received).decode()
    client.close()
    server.close()


class Collector(asyncio.Protocol):
    def __init__(self):
        self.data = bytearray()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        check(transport)

    def data_received(self, data):
        self.data += data

    def connection_lost(self, error):
        self.ended.set_result(error)


async def sendfile():
    loop = asyncio.get_running_loop()
    collector = Collector()
    server = await loop.create_server(lambda: collector, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(
        asyncio.Protocol, *server.sockets[0].getsockname())
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.flush()
        if uses_uvloop:  # which has no sendfile for its transports
            transport.write(DATA)
            result["sent"] = len(DATA)
        else:
            result["sent"] = await loop.sendfile(transport, file, fallback=False)
    transport.close()
    assert await collector.ended is None
    result["sendfile"] = collector.data == DATA
    server.close()
    await server.wait_closed()


async def low_level():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        assert type(listener) is type(client) is fastsock.socket
        listener.setblocking(False)
        client.setblocking(False)
        (server, _), _ = await asyncio.gather(
            loop.sock_accept(listener), loop.sock_connect(client, listener.getsockname()))
        with server:
            assert type(server) is fastsock.socket
            sending = asyncio.create_task(loop.sock_sendall(client, DATA))
            received, room = bytearray(), bytearray(65536)
            while len(received) < len(DATA):
                received += room[:await loop.sock_recv_into(server, room)]
            await sending
            result["sock_sendall"] = received == DATA
            await loop.sock_sendall(server, b"back")
            result["sock_recv"] = (await loop.sock_recv(client, 100)).decode()


async def main():
    await streams("TCP", host="127.0.0.1", port=0)
    with tempfile.TemporaryDirectory() as folder:
        await streams("unix", path=os.path.join(folder, "s"))
    await streams("TLS", ssl.create_default_context(cafile=f"{certificates}/ca.pem"),
                  host="127.0.0.1", port=0)
    await datagrams()
    await sendfile()
    await low_level()


assert socket.socket is fastsock.socket
if uses_uvloop:
    import uvloop
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
else:
    asyncio.run(main())
print(json.dumps(result))
