"""Measure the round trip to a host by ICMP echo requests.

Terminal 1:  sudo python ping.py --host 127.0.0.1 --count 3
(A second terminal is not needed: the kernel of the host answers.)

A raw socket takes root or CAP_NET_RAW. Without, a "ping socket" is tried, which Linux
grants to the groups in /proc/sys/net/ipv4/ping_group_range, and macOS to all.
Exit status: 0 if any answer came, 1 if none, 2 if neither socket is permitted.
"""

import argparse
import os
import struct
import sys
import time

import fastsock as socket

ECHO_REPLY, ECHO_REQUEST = 0, 8
HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence


def checksum(data):
    """The internet checksum: the complement of the one's complement sum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def request(sequence, token):
    identifier = os.getpid() & 0xFFFF  # a ping socket's is overwritten by the kernel
    unsummed = HEADER.pack(ECHO_REQUEST, 0, 0, identifier, sequence) + token
    return HEADER.pack(ECHO_REQUEST, 0, checksum(unsummed), identifier, sequence) + token


def open_socket(kinds):
    for kind in kinds:
        try:
            return socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        except PermissionError as error:
            print(f"no {kind.name} socket: {error}", file=sys.stderr, flush=True)
    print("ping: not permitted; run as root, with CAP_NET_RAW, or as a group within "
          "net.ipv4.ping_group_range", file=sys.stderr, flush=True)
    sys.exit(2)


def is_answer(packet, sequence, token):
    """Whether it is for us: a raw socket gets all the ICMP that the host gets."""
    if packet and packet[0] >> 4 == 4:  # raw sockets, and all on macOS, give the IP header
        packet = packet[(packet[0] & 15) * 4:]
    if len(packet) < HEADER.size or checksum(packet):
        return False
    kind, _, _, _, number = HEADER.unpack_from(packet)
    return (kind, number, packet[HEADER.size:]) == (ECHO_REPLY, sequence, token)


def round_trip(sock, address, sequence, timeout):
    """Seconds until the answer, or None."""
    token = os.urandom(16)  # tells our answer from those to other programs
    start = time.monotonic()
    sock.sendto(request(sequence, token), address)
    while (left := start + timeout - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            packet, source = sock.recvfrom(65535)
        except TimeoutError:
            break
        if source[0] == address[0] and is_answer(packet, sequence, token):
            return time.monotonic() - start
    return None


def main():
    parser = argparse.ArgumentParser(description="ICMP echo")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two")
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds for an answer")
    parser.add_argument("--datagram", action="store_true", help="do not try a raw socket")
    args = parser.parse_args()
    address = (socket.gethostbyname(args.host), 0)
    kinds = [socket.SOCK_RAW, socket.SOCK_DGRAM][args.datagram:]
    times = []
    with open_socket(kinds) as sock:
        for sequence in range(1, args.count + 1):
            if sequence > 1:
                time.sleep(args.interval)
            seconds = round_trip(sock, address, sequence & 0xFFFF, args.timeout)
            if seconds is None:
                print(f"sequence {sequence}: no answer", flush=True)
            else:
                times.append(seconds * 1000)
                print(f"sequence {sequence}: {times[-1]:.3f} ms from {address[0]}", flush=True)
    print(f"{args.count} sent, {len(times)} answered", flush=True)
    if not times:
        sys.exit(1)
    print(f"least {min(times):.3f}, mean {sum(times) / len(times):.3f}, "
          f"most {max(times):.3f} ms", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"ping: {error}")
