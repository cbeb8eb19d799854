"""Beat to heartbeat_server.py, notice when it is dead or silent, and reconnect.

Terminal 1:  python heartbeat_server.py --port 4245
Terminal 2:  python heartbeat_client.py --port 4245

Stop the server (Ctrl-C: it is dead; Ctrl-Z: it is silent) and watch. After --retries
reconnections in a row without one answered beat we give up, with exit status 1.
"""

import argparse
import sys
import time

import fastsock as socket


def set_keepalive(connection, seconds):
    """Let the kernel too notice a peer that is unreachable, within about `seconds`.

    It cannot notice a process that hangs, as the peer's kernel goes on
    acknowledging; for that there are our own beats.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in [("TCP_KEEPIDLE", max(1, int(seconds / 2))),
                        ("TCP_KEEPINTVL", 1),
                        ("TCP_USER_TIMEOUT", int(seconds * 1000))]:
        if hasattr(socket, name):  # not all systems have each of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def answered_beats(connection, interval, missed):
    """Beat each `interval` seconds, and yield the number of each beat as it is answered."""
    sent = answered = 0
    received = b""
    while True:
        due = time.monotonic() + interval
        sent += 1
        connection.settimeout(interval)
        connection.sendall(b"beat %d\n" % sent)
        while (left := due - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                data = connection.recv(4096)
            except TimeoutError:
                break
            if not data:
                raise ConnectionError("the server closed the connection")
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                answered += 1
                if line != b"ok %d" % answered or answered > sent:
                    raise ConnectionError(f"not a heartbeat's answer: {line[:40]!r}")
                yield answered
            if len(received) > 100:
                raise ConnectionError("not a heartbeat server")
        if sent - answered >= missed:
            raise TimeoutError(f"{sent - answered} beats missed")


def main():
    parser = argparse.ArgumentParser(description="send heartbeats")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4245)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between beats")
    parser.add_argument("--missed", type=int, default=3, help="beats until the peer is lost")
    parser.add_argument("--retries", type=int, default=3, help="reconnections in a row")
    parser.add_argument("--count", type=int, default=0, help="answered beats, then end")
    args = parser.parse_args()
    patience = args.interval * args.missed
    retries = total = 0
    while True:
        try:
            with socket.create_connection((args.host, args.port), patience) as connection:
                print("connected", flush=True)
                set_keepalive(connection, patience)
                for number in answered_beats(connection, args.interval, args.missed):
                    retries = 0
                    total += 1
                    print(f"beat {number} answered", flush=True)
                    if total == args.count:
                        return
        except OSError as error:
            print(f"peer lost: {error}", flush=True)
        if retries == args.retries:
            sys.exit(f"heartbeat client: gave up after {retries} reconnections")
        retries += 1
        time.sleep(args.interval)  # or a server that is down would be asked in a busy loop


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
