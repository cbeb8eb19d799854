"""Servers that the tests talk to: redis, memcached, PostgreSQL, and the stdlib's own.

Job: start each on a free loopback port, give it to the test when it answers, and end
it by its process id. What it logged is shown if it does not come up.

Rule: the stdlib's servers here run in the test's process, on the stdlib's sockets, so
that a client on fastsock has a peer that shares no code with it.
"""

import contextlib
import dataclasses
import glob
import hashlib
import http.server
import os
import pathlib
import pwd
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
import xmlrpc.server

import pytest

START_LIMIT_S = 30.0
STOP_LIMIT_S = 20.0
PEERS = pathlib.Path(__file__).parent / "peers"


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answers(port, question, answer):
    """Does the server on `port` answer `question` with what begins with `answer`?"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=START_LIMIT_S) as connection:
            connection.sendall(question)
            return connection.recv(len(answer)) == answer
    except OSError:
        return False


@contextlib.contextmanager
def running(command, is_ready, log, end_by=signal.SIGTERM, **keywords):
    """A server process while it is needed, from when `is_ready()` says True."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*map(str, command)], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, **keywords)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not is_ready():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)  # returns early only if the server has ended
            if process.returncode is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start (status {process.returncode}):\n"
                            f"{pathlib.Path(log).read_text(errors='replace')}", pytrace=False)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(end_by)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def program(name, *more_places):
    """Where a program is; skips the test if it is nowhere."""
    found = shutil.which(name) or next(
        (path for place in more_places for path in sorted(glob.glob(f"{place}/{name}"))), None)
    if found is None:
        pytest.skip(f"not installed: {name}")
    return found


@dataclasses.dataclass
class Address:
    port: int
    path: str = ""
    password: str = ""


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    address = Address(free_port(), str(folder / "redis.sock"))
    command = [program("redis-server"), "--port", address.port, "--bind", "127.0.0.1",
               "--unixsocket", address.path, "--save", "", "--appendonly", "no",
               "--dir", folder]
    with running(command, lambda: answers(address.port, b"PING\r\n", b"+PONG"),
                 folder / "log"):
        yield address


@pytest.fixture(scope="session")
def memcached_server(tmp_path_factory):
    address = Address(free_port())
    command = [program("memcached"), "-l", "127.0.0.1", "-p", address.port, "-U", "0"]
    if os.getuid() == 0:
        command += ["-u", "nobody"]
    with running(command, lambda: answers(address.port, b"version\r\n", b"VERSION"),
                 tmp_path_factory.mktemp("memcached") / "log"):
        yield address


@pytest.fixture(scope="session")
def postgresql_server():
    places = "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin"
    initdb, postgres, pg_isready = (
        program(name, *places) for name in ("initdb", "postgres", "pg_isready"))
    keywords = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("no user named postgres to run PostgreSQL as")
        keywords = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    # pytest's own folders may be entered by their owner only, who is not postgres.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fastsock-pg-"))
    try:
        address = Address(free_port(), str(folder), "correct horse")
        (folder / "password").write_text(address.password)
        if keywords:
            os.chown(folder, account.pw_uid, account.pw_gid)
            os.chown(folder / "password", account.pw_uid, account.pw_gid)
        made = subprocess.run(
            [initdb, "-D", folder / "data", "-U", "tester", "--auth=scram-sha-256",
             f"--pwfile={folder / 'password'}", "--no-sync", "--locale=C", "-E", "UTF8"],
            cwd=folder, text=True, capture_output=True, timeout=START_LIMIT_S, **keywords)
        assert made.returncode == 0, made.stdout + made.stderr
        command = [postgres, "-D", folder / "data", "-p", address.port, "-c", "fsync=off",
                   "-c", "listen_addresses=127.0.0.1",
                   "-c", f"unix_socket_directories={folder}"]

        def is_ready():
            return subprocess.run(
                [pg_isready, "-q", "-h", "127.0.0.1", "-p", str(address.port)]).returncode == 0

        # SIGINT ends it without waiting for clients.
        with running(command, is_ready, folder / "log", signal.SIGINT, cwd=folder, **keywords):
            yield address
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def serving(server):
    """A socketserver in a thread; its connections have ended when this ends."""
    server.daemon_threads = False
    server.block_on_close = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    with server:
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def pattern(size):
    """`size` bytes in which no piece looks like another."""
    block = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest()
                     for number in range(2048))
    return (block * (size // len(block) + 1))[:size]


class WebHandler(http.server.BaseHTTPRequestHandler):
    """GET /bytes/N sends a pattern; PUT and POST answer with size and SHA-256.

    Each answer has the client's port: the same port is the same connection.
    """

    protocol_version = "HTTP/1.1"
    timeout = 20.0
    disable_nagle_algorithm = True

    def do_GET(self):
        size = int(self.path.rpartition("/")[2]) if self.path.startswith("/bytes/") else 0
        self.answer(pattern(size) if size else b"hello")

    def do_PUT(self):
        digest, size = hashlib.sha256(), 0
        for piece in self.body():
            digest.update(piece)
            size += len(piece)
        self.answer(f"{size} {digest.hexdigest()}".encode())

    do_POST = do_PUT

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Client-Port", str(self.client_address[1]))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers["Content-Length"])
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def log_message(self, *_):
        pass


@pytest.fixture
def web_server():
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), WebHandler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@dataclasses.dataclass
class Certificates:
    authority: str  # path of the CA's certificate
    server: str  # path of the server's key and certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    trustme = pytest.importorskip("trustme")
    folder = tmp_path_factory.mktemp("certificates")
    found = Certificates(str(folder / "ca.pem"), str(folder / "server.pem"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(found.authority)
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        found.server)
    return found


def server_context(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    return context


def client_context(certificates):
    return ssl.create_default_context(cafile=certificates.authority)


class SecureWebServer(http.server.ThreadingHTTPServer):
    def finish_request(self, request, client_address):
        # In the connection's thread, not on accept: a handshake must not stop the others.
        request.settimeout(20.0)
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)


@pytest.fixture
def secure_web_server(certificates):
    server = SecureWebServer(("127.0.0.1", 0), WebHandler)
    server.context = server_context(certificates)
    with serving(server):
        yield f"https://localhost:{server.server_port}"


class MailHandler(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as smtplib needs to hand over a message."""

    timeout = 20.0

    def handle(self):
        self.say("220 ready")
        while line := self.rfile.readline():
            verb = line.split()[0].upper()
            if verb == b"DATA":
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line)
                self.server.messages.append(b"".join(lines))
            self.say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def mail_server():
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailHandler)
    server.messages = []
    with serving(server):
        yield server


class FileHandler(socketserver.StreamRequestHandler):
    """As much of FTP (RFC 959) as ftplib needs for STOR and RETR, passive and active."""

    timeout = 20.0

    def handle(self):
        self.say("220 ready")
        self.open_data = None
        while line := self.rfile.readline().decode().strip():
            verb, _, argument = line.partition(" ")
            done = getattr(self, f"do_{verb.lower()}", self.accepted)(argument)
            if done is not None:
                return

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())

    def accepted(self, argument):
        self.say("200 ok")

    def do_quit(self, argument):
        self.say("221 bye")
        return True

    def do_pasv(self, argument):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(self.timeout)
        high, low = divmod(listener.getsockname()[1], 256)

        def accept():
            with listener:
                return listener.accept()[0]

        self.open_data = accept
        self.say(f"227 Entering Passive Mode (127,0,0,1,{high},{low})")

    def do_port(self, argument):
        *_, high, low = map(int, argument.split(","))
        self.open_data = lambda: socket.create_connection(
            ("127.0.0.1", high * 256 + low), timeout=self.timeout)
        self.say("200 ok")

    def do_stor(self, name):
        with self.open_data() as data, data.makefile("rb") as file:
            self.say("150 go on")
            self.server.files[name] = file.read()
        self.say("226 done")

    def do_retr(self, name):
        with self.open_data() as data:
            self.say("150 here it comes")
            data.sendall(self.server.files[name])
        self.say("226 done")


@pytest.fixture
def ftp_server():
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), FileHandler)
    server.files = {}
    with serving(server):
        yield server


@pytest.fixture
def xmlrpc_server():
    with serving(xmlrpc.server.SimpleXMLRPCServer(
            ("127.0.0.1", 0), logRequests=False)) as server:
        server.register_function(lambda *numbers: sum(numbers), "add")
        yield f"http://127.0.0.1:{server.server_address[1]}"
