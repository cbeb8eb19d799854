"""aiohttp's server and client under install(). Prints JSON.

Both halves run in one loop; the sockets of both must be fastsock's.
"""

import asyncio
import hashlib
import io
import json

import fastsock
from aiohttp import ClientSession, WSMsgType, web

UPLOAD = bytes(range(256)) * 40_000
result = {}


def check(transport):
    sock = transport.get_extra_info("socket")._sock
    assert type(sock) is fastsock.socket, type(sock)


async def upload(request):
    check(request.transport)
    digest = hashlib.sha256()
    async for piece in request.content.iter_any():
        digest.update(piece)
    return web.json_response(
        {"digest": digest.hexdigest(), "port": request.transport.get_extra_info("peername")[1]})


async def download(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for start in range(0, len(UPLOAD), 500_000):
        await response.write(UPLOAD[start:start + 500_000])
    await response.write_eof()
    return response


async def chat(request):
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        assert message.type is WSMsgType.TEXT
        await connection.send_str(message.data[::-1])
    return connection


async def main():
    application = web.Application(client_max_size=len(UPLOAD) + 1)
    application.add_routes([web.put("/", upload), web.get("/", download),
                            web.get("/chat", chat)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = "http://127.0.0.1:%d" % runner.addresses[0][1]
    async with ClientSession() as session:
        ports = set()
        for _ in range(3):
            async with session.put(base, data=io.BytesIO(UPLOAD)) as response:
                answer = await response.json()
                ports.add(answer["port"])
                result["upload"] = answer["digest"] == hashlib.sha256(UPLOAD).hexdigest()
        result["connections"] = len(ports)
        async with session.get(base) as response:
            result["download"] = await response.read() == UPLOAD
        async with session.ws_connect(f"{base}/chat") as connection:
            check(connection._response.connection.transport)
            await connection.send_str("websocket")
            result["chat"] = await connection.receive_str()
    await runner.cleanup()


asyncio.run(main())
print(json.dumps(result))
