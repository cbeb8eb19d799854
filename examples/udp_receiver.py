"""Count what arrives, twice, or never of the datagrams of udp_sender.py.

Terminal 1:  python udp_receiver.py --port 4244
Terminal 2:  python udp_sender.py --port 4244 --count 1000

A datagram is: 8 bytes that name the sender's run, a sequence number, how many there
are in all, and whether it asks for the report. The report goes back to who asked.
"""

import argparse
import signal
import struct
import sys

import fastsock as socket

HEADER = struct.Struct("!8sII?")
MOST_RUNS = 64  # to remember; the oldest is forgotten first


class Run:
    """What has come of one sender's datagrams."""

    def __init__(self):
        self.seen = set()
        self.repeated = 0
        self.late = 0  # came after one with a higher number
        self.highest = -1

    def add(self, sequence):
        if sequence in self.seen:
            self.repeated += 1
        elif sequence < self.highest:
            self.late += 1
        self.seen.add(sequence)
        self.highest = max(self.highest, sequence)

    def report(self, total):
        received = len(self.seen)
        return (f"received {received} of {total}, lost {total - received}, "
                f"repeated {self.repeated}, late {self.late}")


def receive(server, once):
    runs = {}
    while True:
        data, address = server.recvfrom(65535)
        if len(data) < HEADER.size:
            print(f"not ours, from {address[0]} {address[1]}", flush=True)
            continue
        name, sequence, total, asks = HEADER.unpack_from(data)
        run = runs.setdefault(name, Run())
        if len(runs) > MOST_RUNS:
            del runs[next(iter(runs))]
        if not asks:
            if sequence < total:
                run.add(sequence)
            continue
        report = run.report(total)
        print(report, flush=True)
        server.sendto(name + report.encode(), address)
        if once:
            return


def main():
    parser = argparse.ArgumentParser(description="count the datagrams of udp_sender.py")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4244, help="0: any free port")
    parser.add_argument("--once", action="store_true", help="end after the first report")
    args = parser.parse_args()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        # A burst that finds this buffer full is lost. The kernel may grant less.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        server.bind((args.host, args.port))
        print("listening on", *server.getsockname(), flush=True)
        receive(server, args.once)


if __name__ == "__main__":
    # SIGTERM, as sent by kill and systemd, ends us like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"udp receiver: {error}")
