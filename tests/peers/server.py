"""Servers of the stdlib on fastsock: KIND [PATH]. Runs until standard input ends.

KIND is tcp, udp, unix or web. Prints the port, or the path, once it listens.
"""

import hashlib
import http.server
import socketserver
import sys
import threading

import fastsock

kind, *path = sys.argv[1:]


class Echo(socketserver.BaseRequestHandler):
    """Sends back all that comes, until the peer ends its half."""

    def handle(self):
        assert type(self.request) is fastsock.socket, type(self.request)
        self.request.settimeout(20)
        while data := self.request.recv(65536):
            self.request.sendall(data)


class EchoDatagram(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        assert type(sock) is fastsock.socket, type(sock)
        sock.sendto(data[::-1], self.client_address)


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def setup(self):
        assert type(self.request) is fastsock.socket, type(self.request)
        super().setup()

    def do_GET(self):
        self.answer(bytes(range(256)) * 20_000 if self.path == "/large" else b"hello\n")

    def do_PUT(self):
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            piece = self.rfile.read(min(left, 65536))
            digest.update(piece)
            left -= len(piece)
        self.answer(digest.hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Client-Port", str(self.client_address[1]))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class ThreadingServer(socketserver.ThreadingTCPServer):
    daemon_threads = False

    def handle_error(self, request, client_address):
        # An assertion above must be seen by the test: it reads our exit status.
        failures.append(client_address)
        super().handle_error(request, client_address)


class ThreadingUnixServer(ThreadingServer):
    address_family = fastsock.AF_UNIX


class DatagramServer(socketserver.ThreadingUDPServer):
    daemon_threads = False
    handle_error = ThreadingServer.handle_error


failures = []
make = {
    "tcp": lambda: ThreadingServer(("127.0.0.1", 0), Echo),
    "unix": lambda: ThreadingUnixServer(path[0], Echo),
    "udp": lambda: DatagramServer(("127.0.0.1", 0), EchoDatagram),
    "web": lambda: ThreadingServer(("127.0.0.1", 0), Web),
}[kind]
with make() as server:
    assert type(server.socket) is fastsock.socket
    name = server.server_address
    print(name if kind == "unix" else name[1], flush=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    sys.stdin.read()
    server.shutdown()
    thread.join()
sys.exit(bool(failures))
