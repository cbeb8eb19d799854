"""Answer the beats of heartbeat_client.py, and notice a client that falls silent.

Terminal 1:  python heartbeat_server.py --port 4245
Terminal 2:  python heartbeat_client.py --port 4245

A beat is the line "beat N", its answer "ok N". A client whose beats do not come for
--missed intervals is given up, even if its machine still acknowledges at TCP level.
"""

import argparse
import contextlib
import signal
import sys
import threading

import fastsock as socket


def answer_beats(connection):
    """Answer until the client closes; TimeoutError when it is silent for too long."""
    received = b""
    while data := connection.recv(4096):
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            if not line.startswith(b"beat "):
                raise ConnectionError("it does not speak our protocol")
            connection.sendall(b"ok " + line.removeprefix(b"beat ") + b"\n")
        if len(received) > 100:
            raise ConnectionError("it does not speak our protocol")


def serve_client(connection, address, patience, threads):
    name = f"{address[0]} {address[1]}"
    print(f"{name} came", flush=True)
    try:
        with connection:
            connection.settimeout(patience)
            answer_beats(connection)
        print(f"{name} left", flush=True)
    except TimeoutError:
        print(f"{name} lost: no beat for {patience:g} s", flush=True)
    except OSError as error:
        print(f"{name} lost: {error}", flush=True)
    finally:
        del threads[connection]


def serve(server, patience, threads):
    while True:
        try:
            connection, address = server.accept()
        except ConnectionAbortedError:
            continue  # that client was gone before its turn came
        # Daemon, for the one that a second Ctrl-C keeps us from joining.
        thread = threading.Thread(
            target=serve_client, args=(connection, address, patience, threads), daemon=True)
        threads[connection] = thread
        thread.start()


def main():
    parser = argparse.ArgumentParser(description="answer heartbeats")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4245, help="0: any free port")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds of the clients'")
    parser.add_argument("--missed", type=int, default=3, help="beats that may be missed")
    args = parser.parse_args()
    threads = {}  # connection: its thread
    with socket.create_server((args.host, args.port)) as server:
        print("listening on", *server.getsockname(), flush=True)
        try:
            serve(server, args.interval * args.missed, threads)
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
        sys.exit(f"heartbeat server: {error}")
