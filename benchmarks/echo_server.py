"""Echo servers under load, the server alone on a processor: python -m benchmarks echo_server

CPU time of the server's process a message, 50 connections. FASTSOCK_BENCH_S: seconds a
server and size (30)."""

import importlib.util
import os

from benchmarks.measure import Figure, native
from benchmarks.servers import in_turns, python

ROUNDS = 5
SECONDS = float(os.environ.get("FASTSOCK_BENCH_S", "30")) / ROUNDS

PROTOCOL = """
import asyncio
class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)
"""
ON_ASYNCIO = PROTOCOL + """
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
"""
ON_SERVER = "import fastsock\n" + PROTOCOL + """
server = fastsock.Server(Echo, ("127.0.0.1", 0), max_connections=100_000)
print(server.addresses[0][1], flush=True)
server.serve_forever()
"""
SAY_PORT = "on_ready=lambda addresses: print(addresses[0][1], flush=True)"
SERVERS = {
    "asyncio": python(ON_ASYNCIO + "asyncio.run(main())"),
    "asyncio, installed": python(
        "import fastsock; fastsock.install()\n" + ON_ASYNCIO + "asyncio.run(main())"),
    "Server": python(ON_SERVER),
    "serve": python("import fastsock; fastsock.serve(lambda message: message, "
                    f"('127.0.0.1', 0), {SAY_PORT})"),
    "C": None,
}
LINES = {"batch": python("import fastsock; fastsock.serve_batches(lambda messages: messages, "
                         "('127.0.0.1', 0), framing=fastsock.framing.Lines(), "
                         f"{SAY_PORT})")}
ON_TRIO = """
import trio
async def echo(stream):
    async with stream:
        async for data in stream:
            await stream.send_all(data)
async def main():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(echo, listeners)
trio.run(main)
"""
ON_GEVENT = """
from gevent.server import StreamServer
def echo(connection, address):
    while data := connection.recv(65536):
        connection.sendall(data)
server = StreamServer(("127.0.0.1", 0), echo)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
"""
ON_AIOFASTNET = ON_ASYNCIO + """
import aiofastnet
aiofastnet.install_policy()
asyncio.run(main())
"""
#: Other libraries, where they are installed. Not picows, which speaks WebSocket only, and
#: not rloop, whose server (0.5.0) refused connections here to the port that it said.
for name, code in (("uvloop", ON_ASYNCIO + "import uvloop; uvloop.run(main())"),
                   ("aiofastnet", ON_AIOFASTNET),
                   ("trio", ON_TRIO), ("gevent", ON_GEVENT)):
    if importlib.util.find_spec(name):
        SERVERS[name] = python(code)
SELECT_LOOP = """
import select, socket
listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)
print(listener.getsockname()[1], flush=True)
epoll, connections = select.epoll(), {}
epoll.register(listener, select.EPOLLIN)
while True:
    for fd, events in epoll.poll():
        if fd == listener.fileno():
            try:
                while True:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    connections[connection.fileno()] = connection
                    epoll.register(connection, select.EPOLLIN)
            except BlockingIOError:
                continue
        connection = connections[fd]
        try:
            data = connection.recv(65536)
            if data:
                connection.send(data)
        except OSError:
            data = b""
        if not data:
            epoll.unregister(fd)
            connections.pop(fd).close()
"""
SERVERS["select.epoll loop"] = python(SELECT_LOOP)


def rows():
    if native("echo") is None:
        return
    SERVERS["C"] = [native("echo"), "serve"]
    for size in (64, 16384):
        # An installed asyncio is compared with asyncio, so both are there.
        found = in_turns(SERVERS, ROUNDS, seconds=SECONDS, size=size)
        user = {name: 1e6 * cpu.user_s / count for name, (cpu, count) in found.items()}
        total = {name: 1e6 * cpu.total_s / count for name, (cpu, count) in found.items()}
        for name in found:
            yield Figure(f"{size} B: {name}, user a message", user[name], "us")
            yield Figure(f"{size} B: {name}, user + system a message", total[name], "us")
        yield Figure(f"{size} B: Server, user + system of C's", total["Server"] / total["C"])
        yield Figure(f"{size} B: asyncio on fastsock, of asyncio's CPU",
                    total["asyncio, installed"] / total["asyncio"])
        if "uvloop" in user and size == 64:
            yield Figure("64 B: Server, user of uvloop's", user["Server"] / user["uvloop"])
            yield Figure("64 B: serve, user of uvloop's", user["serve"] / user["uvloop"])
    (cpu, count), = in_turns(LINES, ROUNDS, seconds=SECONDS / 2, size=64, lines=16).values()
    yield Figure("serve_batches, 16 lines of 64 B a write: user a line",
                1e6 * cpu.user_s / count, "us")
