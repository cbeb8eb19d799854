"""Round trips to another process over a socketpair, asleep and busy-polling.

    python round_trips.py --count 2000 --busy-poll-us 200

Shows what fastsock has beyond the standard library: exact receives, several buffers in
one call, busy-polling before a wait, and the counters of what it did.
"""

import argparse
import os
import struct
import time

import fastsock


def send_message(sock, payload):
    sock.sendmsg_all([struct.pack("!I", len(payload)), payload])


def recv_message(sock):
    (size,) = struct.unpack("!I", sock.recv_exactly(4))
    return sock.recv_exactly(size)


def answer(sock):
    """The other process: send each message back until the peer ends."""
    try:
        while True:
            send_message(sock, recv_message(sock))
    except fastsock.IncompleteReadError as error:
        assert not error.partial, "the peer ended inside a message"


def round_trips(count, busy_poll_us):
    """Microseconds a round trip."""
    ours, theirs = fastsock.socketpair()
    ours.set_busy_poll(busy_poll_us)
    theirs.set_busy_poll(busy_poll_us)
    child = os.fork()
    if child == 0:
        ours.close()
        answer(theirs)
        os._exit(0)
    theirs.close()
    with ours:
        ours.settimeout(5)
        began_s = time.perf_counter()
        for number in range(count):
            send_message(ours, b"%d" % number)
            assert recv_message(ours) == b"%d" % number
        took_s = time.perf_counter() - began_s
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit("the answering process failed")
    return took_s / count * 1e6


def main():
    parser = argparse.ArgumentParser(description="Time round trips, asleep and busy-polling.")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--busy-poll-us", type=int, default=200)
    options = parser.parse_args()
    print(f"asleep: {round_trips(options.count, 0):.1f} us a round trip")
    print(f"busy-polling: {round_trips(options.count, options.busy_poll_us):.1f} us a round trip")
    counts = fastsock.stats()
    print(f"{counts['system_calls']['recv']} receives, {counts['waits']} waits, "
          f"{counts['busy_polls_won']} ended while busy-polling, "
          f"{counts['gil_kept']} calls that kept the GIL")


if __name__ == "__main__":
    main()
