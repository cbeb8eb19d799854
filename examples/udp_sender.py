"""Send numbered datagrams to udp_receiver.py, and ask it how many were lost.

Terminal 1:  python udp_receiver.py --port 4244
Terminal 2:  python udp_sender.py --port 4244 --count 1000 --drop-every 10

With --drop-every N every Nth is left out, to see it counted. The question for the
report may get lost too, so it is repeated. Exit status: 0 if a report came, else 1.
"""

import argparse
import os
import struct
import sys
import time

import fastsock as socket

HEADER = struct.Struct("!8sII?")


def ask(sender, question, name, tries, timeout):
    """The receiver's report on this run."""
    sender.settimeout(timeout)
    for _ in range(tries):
        sender.send(question)
        try:
            answer = sender.recv(65535)
        except TimeoutError:
            continue
        if answer.startswith(name):
            return answer[len(name):].decode()
    raise TimeoutError(f"no report from the receiver after asking {tries} times")


def main():
    parser = argparse.ArgumentParser(description="send numbered datagrams")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4244)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--size", type=int, default=64, help="payload bytes of each")
    parser.add_argument("--interval", type=float, default=0.0, help="seconds between two")
    parser.add_argument("--drop-every", type=int, default=0, metavar="N")
    parser.add_argument("--tries", type=int, default=5, help="how often to ask for the report")
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds of each try")
    args = parser.parse_args()
    name = os.urandom(8)
    payload = bytes(args.size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        # Connected, so that we take only this peer's answers, and hear of it when
        # nobody listens there: the next call then raises ConnectionRefusedError.
        sender.connect((args.host, args.port))
        for sequence in range(args.count):
            if args.drop_every and sequence % args.drop_every == args.drop_every - 1:
                continue
            sender.send(HEADER.pack(name, sequence, args.count, False) + payload)
            if args.interval:
                time.sleep(args.interval)
        question = HEADER.pack(name, args.count, args.count, True)
        print(ask(sender, question, name, args.tries, args.timeout), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"udp sender: {error}")
