"""An echo server with a thread for each client.

Terminal 1:  python echo_server_threads.py --port 4242
Terminal 2:  python echo_client.py --port 4242 --message hello

A thread may block in recv() and sendall() without holding up the others; to end
the server, its connections are shut down, which wakes the threads that wait there.
"""

import argparse
import contextlib
import signal
import sys
import threading

import fastsock as socket


def echo(connection, address, threads):
    """Send back all that comes, until the client has no more to send."""
    try:
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
    except OSError as error:
        print(f"lost {address[0]} {address[1]}: {error}", flush=True)
    finally:
        del threads[connection]


def serve(server, threads):
    while True:
        try:
            connection, address = server.accept()
        except ConnectionAbortedError:
            continue  # that client was gone before its turn came
        # Daemon, for the one that a second Ctrl-C keeps us from joining.
        thread = threading.Thread(
            target=echo, args=(connection, address, threads), daemon=True)
        threads[connection] = thread
        thread.start()


def main():
    parser = argparse.ArgumentParser(description="echo with a thread for each client")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4242, help="0: any free port")
    args = parser.parse_args()
    threads = {}  # connection: its thread
    with socket.create_server((args.host, args.port)) as server:
        print("listening on", *server.getsockname(), flush=True)
        try:
            serve(server, threads)
        finally:
            for connection, thread in list(threads.items()):
                with contextlib.suppress(OSError):  # it has just ended by itself
                    connection.shutdown(socket.SHUT_RDWR)
                if thread.is_alive():
                    thread.join()


if __name__ == "__main__":
    # SIGTERM, as sent by kill and systemd, ends us like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"echo server: {error}")
