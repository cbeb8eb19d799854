"""asyncio, uvloop, trio, aiohttp and anyio with fastsock sockets.

First the libraries take sockets that are given to them, of both implementations;
then whole programs run on them under install(), each in a process of its own.
"""

import asyncio
import json
import os
import pathlib

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.servers import PEERS, client_context, server_context

DATA = bytes(range(256)) * 8192


def new_uvloop():
    return pytest.importorskip("uvloop").new_event_loop()


@pytest.fixture(scope="session")
def first_uvloop():
    """uvloop opens a pipe with its first loop and keeps it: not while a test is watched."""
    try:
        import uvloop
    except ImportError:
        return
    uvloop.new_event_loop().close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request, first_uvloop):
    """Run a coroutine in a loop of asyncio's or uvloop's, for TIMEOUT_S at most."""
    factory = asyncio.SelectorEventLoop if request.param == "asyncio" else new_uvloop

    def run(coroutine):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, TIMEOUT_S))
    return run


@pytest.fixture
def async_pair(socket, listener):
    """Two connected non-blocking TCP sockets: (client, server)."""
    with socket.create_connection(listener.getsockname(), timeout=TIMEOUT_S) as client:
        server, _ = listener.accept()
        with server:
            client.setblocking(False)
            server.setblocking(False)
            yield client, server


async def close(writer):
    writer.close()
    await writer.wait_closed()


# -- sockets that are given to a loop ------------------------------------------


def test_streams(run, async_pair):
    client, server = async_pair

    async def echo():
        reader, writer = await asyncio.open_connection(sock=server)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        await close(writer)

    async def main():
        serving = asyncio.create_task(echo())
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(DATA)
        writer.write_eof()
        assert await reader.read() == DATA
        await close(writer)
        await serving

    run(main())


def test_start_server_on_a_listener(run, socket, listener):
    async def answer(reader, writer):
        writer.write((await reader.readline())[::-1])
        await close(writer)

    async def main():
        listener.setblocking(False)
        async with await asyncio.start_server(answer, sock=listener) as server:
            sock = socket.socket()
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, server.sockets[0].getsockname())
            reader, writer = await asyncio.open_connection(sock=sock)
            writer.write(b"abc\n")
            assert await reader.read() == b"\ncba"
            await close(writer)

    run(main())


def test_protocol_hears_the_end(run, async_pair):
    client, server = async_pair

    async def main():
        loop = asyncio.get_running_loop()
        events, ended = [], loop.create_future()

        class Listening(asyncio.Protocol):
            def connection_made(self, transport):
                events.append("made")

            def data_received(self, data):
                events.append(data)

            def eof_received(self):
                events.append("eof")

            def connection_lost(self, error):
                ended.set_result(error)

        await loop.create_connection(Listening, sock=server)
        await loop.sock_sendall(client, b"hello")
        client.close()
        assert await ended is None
        assert events == ["made", b"hello", "eof"]

    run(main())


def test_sock_methods(run, socket, listener):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            listener.setblocking(False)
            (server, peer), _ = await asyncio.gather(
                loop.sock_accept(listener), loop.sock_connect(client, listener.getsockname()))
            with server:
                assert type(server) is socket.socket
                assert peer == client.getsockname()
                assert server.gettimeout() == 0
                sending = asyncio.create_task(loop.sock_sendall(client, DATA))
                received, room = bytearray(), bytearray(65536)
                while len(received) < len(DATA):
                    received += room[:await loop.sock_recv_into(server, room)]
                await sending
                assert received == DATA
                waiting = asyncio.create_task(loop.sock_recv(client, 10))
                await loop.sock_sendall(server, b"later")
                assert await waiting == b"later"

    run(main())


def test_sock_connect_to_nobody(run, socket):
    with socket.socket() as unused:  # bound, but not listening
        unused.bind(("127.0.0.1", 0))

        async def main():
            with socket.socket() as client:
                client.setblocking(False)
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.get_running_loop().sock_connect(
                        client, unused.getsockname())

        run(main())


def test_cancelled_sock_recv_takes_nothing(run, async_pair):
    client, server = async_pair

    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(loop.sock_recv(server, 10))
        await asyncio.sleep(0)  # one turn of the loop: the task has begun to wait
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await loop.sock_sendall(client, b"kept")
        assert await loop.sock_recv(server, 10) == b"kept"

    run(main())


def test_sock_datagram_methods(socket):
    async def main():
        loop = asyncio.get_running_loop()
        with (socket.socket(type=socket.SOCK_DGRAM) as a,
              socket.socket(type=socket.SOCK_DGRAM) as b):
            for sock in (a, b):
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
            assert await loop.sock_sendto(a, b"one", b.getsockname()) == 3
            assert await loop.sock_recvfrom(b, 10) == (b"one", a.getsockname())
            await loop.sock_sendto(b, b"three", a.getsockname())
            room = bytearray(10)
            assert await loop.sock_recvfrom_into(a, room) == (5, b.getsockname())
            assert room[:5] == b"three"

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))


def test_datagram_endpoint(run, socket):
    async def main():
        loop = asyncio.get_running_loop()
        heard = loop.create_future()

        class Listening(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                heard.set_result((data, address))

        with socket.socket(type=socket.SOCK_DGRAM) as client:
            server = socket.socket(type=socket.SOCK_DGRAM)
            server.bind(("127.0.0.1", 0))
            server.setblocking(False)
            client.bind(("127.0.0.1", 0))
            transport, _ = await loop.create_datagram_endpoint(Listening, sock=server)
            client.sendto(b"datagram", transport.get_extra_info("sockname"))
            assert await heard == (b"datagram", client.getsockname())
            transport.close()
            await asyncio.sleep(0)  # one turn of the loop: it closes the socket there

    run(main())


@pytest.mark.parametrize("offset, count", [(0, None), (1000, None), (5, 100_000)])
def test_sendfile(async_pair, tmp_path, offset, count):
    client, server = async_pair
    (tmp_path / "file").write_bytes(DATA)
    expected = DATA[offset:] if count is None else DATA[offset:offset + count]

    async def receive(loop):
        received = bytearray()
        while piece := await loop.sock_recv(server, 65536):
            received += piece
        return received

    async def main():
        loop = asyncio.get_running_loop()
        receiving = asyncio.create_task(receive(loop))
        with open(tmp_path / "file", "rb") as file:
            sent = await loop.sock_sendfile(client, file, offset, count, fallback=False)
            assert file.tell() == offset + sent
        client.close()
        assert sent == len(expected)
        assert await receiving == expected

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))


def test_tls(run, async_pair, certificates):
    client, server = async_pair

    async def echo():
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, sock=server, ssl=server_context(certificates))
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        writer.write(await reader.readexactly(len(DATA)))
        await writer.drain()
        await close(writer)

    async def main():
        serving = asyncio.create_task(echo())
        reader, writer = await asyncio.open_connection(
            sock=client, ssl=client_context(certificates), server_hostname="localhost")
        writer.write(DATA)
        assert await reader.readexactly(len(DATA)) == DATA
        assert writer.get_extra_info("cipher")
        await close(writer)
        await serving

    run(main())


def test_reader_and_writer_callbacks(run, async_pair):
    client, server = async_pair

    async def main():
        loop = asyncio.get_running_loop()
        readable, writable = loop.create_future(), loop.create_future()
        loop.add_writer(client, lambda: writable.done() or writable.set_result(True))
        await writable
        loop.remove_writer(client)
        loop.add_reader(server, lambda: readable.done() or readable.set_result(server.recv(9)))
        client.send(b"now")
        assert await readable == b"now"
        loop.remove_reader(server)

    run(main())


# -- trio and anyio ------------------------------------------------------------


def test_trio_takes_the_class_of_the_socket_module_only(socket, async_pair):
    """Why programs on trio need install(): it refuses every other class, also subclasses.

    tests/peers/trio_program.py hands it fastsock sockets where that is the class.
    """
    trio = pytest.importorskip("trio")
    client, _ = async_pair
    if socket is fastsock:
        with pytest.raises(TypeError, match="expected object of type 'socket.socket'"):
            trio.socket.from_stdlib_socket(client)
    else:
        assert trio.socket.from_stdlib_socket(client).fileno() == client.fileno()


def test_trio_waits_on_sockets(async_pair):
    trio = pytest.importorskip("trio")
    client, server = async_pair

    async def main():
        with trio.fail_after(TIMEOUT_S):
            await trio.lowlevel.wait_writable(client)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.wait_readable, server)
                client.send(b"now")
            assert server.recv(9) == b"now"

    trio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_waits_on_sockets(async_pair, backend):
    anyio = pytest.importorskip("anyio")
    if backend == "trio":
        pytest.importorskip("trio")
    client, server = async_pair

    async def main():
        with anyio.fail_after(TIMEOUT_S):
            await anyio.wait_writable(client)
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.wait_readable, server)
                client.send(b"now")
            assert server.recv(9) == b"now"

    anyio.run(main, backend=backend)


# -- whole programs under install() --------------------------------------------


@pytest.fixture
def program(python):
    """Run a program of tests/peers on fastsock; what it printed, decoded."""
    def run(script, *arguments):
        return json.loads(python("-W", "error::ResourceWarning", "-m", "fastsock", "run",
                                 PEERS / script, *arguments).stdout)
    return run


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_asyncio_program(program, certificates, loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    options = ["--uvloop"] if loop == "uvloop" else []
    folder = pathlib.Path(certificates.authority).parent
    assert program("asyncio_program.py", folder, *options) == {
        "TCP": True, "unix": True, "TLS": True, "datagrams": "margatad", "sent": len(DATA),
        "sendfile": True, "sock_sendall": True, "sock_recv": "back"}


def test_aiohttp_program(program):
    pytest.importorskip("aiohttp")
    assert program("aiohttp_program.py") == {
        "upload": True, "connections": 1, "download": True, "chat": "tekcosbew"}


def test_trio_program(program, certificates):
    pytest.importorskip("trio")
    assert program("trio_program.py", os.path.dirname(certificates.authority)) == {
        "TCP": True, "TLS": True, "given": True, "datagram": "datagram", "timed_out": True}
