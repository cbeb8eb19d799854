"""Who is there? A question to a multicast group, and an answer from each member.

    python multicast_roll_call.py --interface lo member printer
    python multicast_roll_call.py --interface lo ask

A member joins the group on one interface and answers the sender of each question. Asking needs
no membership: `set_multicast()` sets the interface that the question leaves by, and its TTL.
With a TTL of 1, the default, no router forwards it. Any number of members may answer, so the
program collects answers for a while.
"""

import argparse
import signal
import sys
import time

import fastsock

QUESTION = b"who is there?"


def answer(options):
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        # Bound to the group's address: bound to "", it would receive other groups' datagrams.
        sock.setsockopt(fastsock.SOL_SOCKET, fastsock.SO_REUSEADDR, 1)
        sock.bind((options.group, options.port))
        sock.join_group(options.group, options.interface)
        print("member of", *sock.getsockname(), flush=True)
        while True:
            for question, address in sock.recvmmsg(64):
                if question == QUESTION:
                    sock.sendto(options.name.encode(), address)


def ask(options):
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        sock.set_multicast(interface=options.interface, ttl=options.ttl, loopback=True)
        sock.sendto(QUESTION, (options.group, options.port))
        deadline_s = time.monotonic() + options.wait
        found = 0
        while found != options.count:
            sock.settimeout(max(0.001, deadline_s - time.monotonic()))
            try:
                name, address = sock.recvfrom(1024)
            except TimeoutError:
                break
            print(name.decode(errors="replace"), "at", address[0], flush=True)
            found += 1
        return 0 if found else 1


def main():
    parser = argparse.ArgumentParser(description="Ask the members of a multicast group.")
    parser.add_argument("--group", default="239.255.77.20")
    parser.add_argument("--port", type=int, default=4247)
    parser.add_argument("--interface", default="lo", help="name, index or IPv4 address")
    commands = parser.add_subparsers(dest="command", required=True)
    member = commands.add_parser("member", help="join the group, and answer")
    member.add_argument("name")
    asking = commands.add_parser("ask", help="ask, and print who answers")
    asking.add_argument("--ttl", type=int, default=1)
    asking.add_argument("--wait", type=float, default=1.0, help="seconds to collect answers")
    asking.add_argument("--count", type=int, help="end after so many answers")
    options = parser.parse_args()

    def end(number, frame):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return answer(options) if options.command == "member" else ask(options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        sys.exit(f"multicast roll call: {error}")
