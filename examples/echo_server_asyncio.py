"""An echo server of asyncio tasks that use sockets directly.

Terminal 1:  python echo_server_asyncio.py --port 4242
Terminal 2:  python echo_client.py --port 4242 --message hello

loop.sock_accept, sock_recv and sock_sendall take any non-blocking socket. Awaiting
sock_sendall before the next sock_recv is the back-pressure.
"""

import argparse
import asyncio
import signal
import sys

import fastsock as socket


async def echo(connection, address):
    """Send back all that comes, until the client has no more to send."""
    loop = asyncio.get_running_loop()
    with connection:
        try:
            while data := await loop.sock_recv(connection, 65536):
                await loop.sock_sendall(connection, data)
        except OSError as error:  # not to be raised: it would end the whole task group
            print(f"lost {address[0]} {address[1]}: {error}", flush=True)


async def serve(host, port):
    loop = asyncio.get_running_loop()
    # SIGTERM, as sent by kill and systemd, ends us as asyncio lets Ctrl-C do.
    loop.add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    with socket.create_server((host, port)) as server:
        server.setblocking(False)
        print("listening on", *server.getsockname(), flush=True)
        async with asyncio.TaskGroup() as clients:
            while True:
                try:
                    connection, address = await loop.sock_accept(server)
                except ConnectionAbortedError:
                    continue  # that client was gone before its turn came
                clients.create_task(echo(connection, address))


def main():
    parser = argparse.ArgumentParser(description="echo to many clients by asyncio")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4242, help="0: any free port")
    args = parser.parse_args()
    asyncio.run(serve(args.host, args.port))


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    except OSError as error:
        sys.exit(f"echo server: {error}")
