"""An echo server for one client at a time: the shortest right use of a socket.

Terminal 1:  python echo_server_single.py --port 4242
Terminal 2:  python echo_client.py --port 4242 --message hello

Other clients wait in the listen queue until the present one is done; so a client
that stays silent for --idle seconds is let go.
"""

import argparse
import signal
import sys

import fastsock as socket


def echo(connection):
    """Send back all that comes, until the client has no more to send."""
    while data := connection.recv(65536):
        connection.sendall(data)


def main():
    parser = argparse.ArgumentParser(description="echo to one client at a time")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4242, help="0: any free port")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of silence allowed")
    args = parser.parse_args()
    with socket.create_server((args.host, args.port)) as server:
        print("listening on", *server.getsockname(), flush=True)
        while True:
            try:
                connection, address = server.accept()
            except ConnectionAbortedError:
                continue  # that client was gone before its turn came
            with connection:
                connection.settimeout(args.idle)
                try:
                    echo(connection)
                except OSError as error:  # reset, timed out: the next one is not to blame
                    print(f"lost {address[0]} {address[1]}: {error}", flush=True)


if __name__ == "__main__":
    # SIGTERM, as sent by kill and systemd, ends us like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"echo server: {error}")
