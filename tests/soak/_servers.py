"""The process with the servers: one of each kind, each in a thread.

    python -m tests.soak._servers KEYFILE      none: without TLS

Prints their ports, and then a line of JSON for each line that it reads: what they counted, and
what the process holds. It ends when its input does.
"""

import asyncio
import json
import ssl
import sys
import threading

import fastsock
from fastsock._serve import BatchServer, HandlerServer
from fastsock.framing import Fixed, LengthPrefix, Lines, Netstring, Varint

FIXED = 64
FRAMINGS = {"lines": Lines(), "length": LengthPrefix(), "varint": Varint(),
            "netstring": Netstring(), "fixed": Fixed(FIXED)}
ADDRESS = ("127.0.0.1", 0)


class Echo(asyncio.Protocol):
    received = written = made = lost = 0

    def connection_made(self, transport):
        self.transport = transport
        type(self).made += 1

    def connection_lost(self, reason):
        type(self).lost += 1

    def data_received(self, data):
        type(self).received += len(data)
        self.transport.write(data)
        type(self).written += len(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class EchoTLS(Echo):
    received = written = made = lost = 0


class EchoBehindRelay(Echo):
    received = written = made = lost = 0


PROTOCOLS = {"protocol": Echo, "tls": EchoTLS, "behind": EchoBehindRelay}


class Datagrams:
    """Echoes datagrams in batches until one is empty."""

    def __init__(self):
        self.sock = fastsock.socket(type=fastsock.SOCK_DGRAM)
        self.sock.bind(ADDRESS)
        self.received = self.sent = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        batch = fastsock.DatagramBatch(64, 2048)
        with self.sock:
            while True:
                self.sock.recvmmsg_into(batch)
                if any(len(one) == 0 for one in batch):
                    return
                self.received += sum(map(len, batch))
                self.sent += sum(map(len, batch)) if self.sock.sendmmsg_from(batch) else 0

    def end(self):
        with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
            sock.sendto(b"", self.sock.getsockname())
        self.thread.join()


def counting(counts, name):
    def handler(message):
        counts[name] += len(message)
        return message
    counts[name] = 0
    return handler


def main():
    from tests.soak._usage import usage
    counts = {}
    servers = {"protocol": fastsock.Server(Echo, ADDRESS),
               "behind": fastsock.Server(EchoBehindRelay, ADDRESS)}
    if sys.argv[1] != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
        servers["tls"] = fastsock.Server(EchoTLS, ADDRESS, ssl_context=context)
    for name, framing in FRAMINGS.items():
        servers[name] = HandlerServer(counting(counts, name), ADDRESS, framing=framing)
    one = counting(counts, "batch")
    servers["batch"] = BatchServer(lambda messages: list(map(one, messages)), ADDRESS,
                                   framing=Lines())
    servers["relay"] = fastsock.Relay(ADDRESS, servers["behind"].addresses[0])
    threads = [threading.Thread(target=server.serve_forever) for server in servers.values()]
    for thread in threads:
        thread.start()
    datagrams = Datagrams()
    ports = {name: server.addresses[0][1] for name, server in servers.items()}
    print(json.dumps({**ports, "datagrams": datagrams.sock.getsockname()[1]}), flush=True)
    for _ in sys.stdin:  # each line is a question
        print(json.dumps({
            "connections": sum(server.connection_count for server in servers.values()),
            "counts": {**counts, **{name: which.received for name, which in PROTOCOLS.items()}},
            "written": {name: which.written for name, which in PROTOCOLS.items()},
            "made": {name: which.made for name, which in PROTOCOLS.items()},
            "lost": {name: which.lost for name, which in PROTOCOLS.items()},
            "relayed": servers["relay"].bytes_relayed,
            "datagrams": [datagrams.received, datagrams.sent],
            "stats": fastsock.stats(), "usage": usage()}), flush=True)
    for server in servers.values():
        server.shutdown(grace=5)
    for thread in threads:
        thread.join()
    datagrams.end()


def serve_by_workers():
    """serve() with two processes; prints the port."""
    fastsock.serve(bytes.swapcase, ADDRESS, framing=Lines(), workers=2,
                   on_ready=lambda addresses: print(json.dumps(addresses[0][1]), flush=True))


if __name__ == "__main__":
    if sys.argv[1:] == ["workers"]:
        serve_by_workers()
    else:
        main()
