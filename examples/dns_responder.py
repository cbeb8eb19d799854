"""A small DNS server over a batch of datagrams: answers A questions for names it knows.

    python dns_responder.py --port 5300 --name host.example=192.0.2.7
    dig @127.0.0.1 -p 5300 host.example

Receives up to 64 questions in one system call and sends their answers in another, in the
memory that they came in. RFC 1035; every other type of question gets an empty answer,
every other name NXDOMAIN.
"""

import argparse
import signal
import struct

import fastsock

HEADER = struct.Struct("!HHHHHH")
QUESTION_TAIL = struct.Struct("!HH")
A, ANY, IN = 1, 255, 1
RESPONSE, AUTHORITATIVE, RECURSION_WANTED = 0x8000, 0x0400, 0x0100
FORMAT_ERROR, NO_SUCH_NAME, NOT_IMPLEMENTED = 1, 3, 4


def question_of(query):
    """(name in lower case with its lengths, where the question ends, its type)."""
    position = 12
    while query[position]:
        if query[position] > 63:
            raise ValueError("a compressed name in a question")
        position += 1 + query[position]
    kind, kind_class = QUESTION_TAIL.unpack_from(query, position + 1)
    if kind_class not in (IN, ANY):
        raise ValueError("not of the internet")
    return bytes(query[12:position + 1]).lower(), position + 5, kind


def answer(query, zone):
    """The answer to one datagram; None for what is no question."""
    if len(query) < 12:
        return None
    number, flags, questions, *_ = HEADER.unpack_from(query)
    if flags & RESPONSE:
        return None
    flags = RESPONSE | AUTHORITATIVE | flags & (0x7800 | RECURSION_WANTED)
    if flags & 0x7800:
        return HEADER.pack(number, flags | NOT_IMPLEMENTED, 0, 0, 0, 0)
    try:
        if questions != 1:
            raise ValueError("not one question")
        name, end, kind = question_of(query)
    except (ValueError, IndexError, struct.error):
        return HEADER.pack(number, flags | FORMAT_ERROR, 0, 0, 0, 0)
    record = zone.get(name)
    if record is None:
        return HEADER.pack(number, flags | NO_SUCH_NAME, 1, 0, 0, 0) + query[12:end]
    if kind not in (A, ANY):
        return HEADER.pack(number, flags, 1, 0, 0, 0) + query[12:end]
    return HEADER.pack(number, flags, 1, 1, 0, 0) + query[12:end] + record


def zone_of(pairs):
    """Names as they stand in a question, to the A record that answers it."""
    zone = {}
    for pair in pairs:
        name, _, address = pair.partition("=")
        labels = name.lower().rstrip(".").encode("idna").split(b".")
        key = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        # The name is a pointer to the one in the question, behind the header.
        zone[key] = struct.pack("!HHHIH", 0xC00C, A, IN, 60, 4) + fastsock.inet_aton(address)
    return zone


def serve(server, zone):
    batch = fastsock.DatagramBatch(64, 2048)
    replies = [None] * 64
    while True:
        count = server.recvmmsg_into(batch)
        for index in range(count):
            replies[index] = answer(bytes(batch[index]), zone)
        if None in replies[:count]:  # what is no question gets no answer
            server.sendmmsg((reply, batch.address(index))
                            for index, reply in enumerate(replies[:count]) if reply)
        else:
            for index in range(count):
                batch[index] = replies[index]
            server.sendmmsg_from(batch)


def main():
    parser = argparse.ArgumentParser(description="Answer A questions over UDP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5300)
    parser.add_argument("--name", action="append", default=[], metavar="NAME=ADDRESS")
    options = parser.parse_args()

    def end(number, frame):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with fastsock.socket(fastsock.AF_INET, fastsock.SOCK_DGRAM) as server:
        server.bind((options.host, options.port))
        print("listening on", *server.getsockname(), flush=True)
        serve(server, zone_of(options.name))


if __name__ == "__main__":
    main()
