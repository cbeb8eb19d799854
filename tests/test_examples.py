"""Each program in examples/, run as processes: as it is, and with the stdlib's socket.

Rules: an example is started as a user would start it, and spoken to by the other
examples, by the stdlib's sockets, or by curl. What must have happened first is
waited for by its output.
"""

import hashlib
import os
import pathlib
import queue
import re
import signal
import socket as stdlib_socket
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import TIMEOUT_S, requires_program
from tests.test_examples_beyond import NEED_FASTSOCK

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
IMPORT_LINE = re.compile(r"^import fastsock as socket$", re.MULTILINE)
ECHO_SERVERS = ["echo_server_single.py", "echo_server_threads.py",
                "echo_server_selectors.py", "echo_server_asyncio.py"]
MEBIBYTE = 1024 * 1024


class Program:
    """A running example; its standard output and error are read together, by lines."""

    def __init__(self, path, arguments, folder):
        self.name = path.name
        self.output = []
        self.lines = queue.Queue()  # None at the end
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(path), *map(str, arguments)], cwd=folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode().rstrip("\n"))
        self.lines.put(None)

    def wait_for(self, pattern):
        """The match of the first further line that has the pattern."""
        while True:
            try:
                line = self.lines.get(timeout=TIMEOUT_S)
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} from {self}") from None
            assert line is not None, f"ended without {pattern!r}: {self}"
            self.output.append(line)
            if match := re.search(pattern, line):
                return match

    def port(self):
        return int(self.wait_for(r"^listening on 127\.0\.0\.1 (\d+)$")[1])

    def type(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def type_end(self):
        self.process.stdin.close()

    def signal(self, number):
        """Send a signal once the main thread sleeps in a system call.

        Python sees a signal that comes just before such a call only after it, with
        any socket module; what is tested here is that the call is interrupted.
        """
        state = pathlib.Path(f"/proc/{self.process.pid}/stat")
        deadline = time.monotonic() + TIMEOUT_S
        while (state.exists() and state.read_text().rpartition(")")[2].split()[0] != "S"
               and time.monotonic() < deadline):
            os.sched_yield()
        self.process.send_signal(number)

    def finish(self):
        """Wait for the end; the exit status."""
        status = self.process.wait(TIMEOUT_S)
        self.reader.join(TIMEOUT_S)
        while (line := self.lines.get(timeout=TIMEOUT_S)) is not None:
            self.output.append(line)
        self.lines.put(None)
        return status

    def clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
        self.finish()
        self.process.stdout.close()
        self.process.stdin.close()
        assert "Traceback" not in "\n".join(self.output), self

    def __repr__(self):
        return "\n".join([self.name, *self.output])


@pytest.fixture(params=["fastsock", "stdlib"])
def start(request, tmp_path):
    """start(name, *arguments): the example, running on the one or the other module."""
    programs = []

    def start(name, *arguments):
        path = EXAMPLES / name
        text, count = IMPORT_LINE.subn("import socket", path.read_text())
        assert count == 1
        if request.param == "stdlib":
            path = tmp_path / name
            path.write_text(text)
        programs.append(Program(path, arguments, tmp_path))
        return programs[-1]

    yield start
    try:
        for program in programs:
            if program.process.poll() is None:
                program.process.kill()
    finally:
        for program in programs:
            program.clean_up()


def connect(port):
    return stdlib_socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)


def receive_all(sock):
    data = bytearray()
    while piece := sock.recv(MEBIBYTE):
        data += piece
    return bytes(data)


@pytest.mark.parametrize("name", ECHO_SERVERS)
def test_echo_server(start, name):
    server = start(name, "--port", 0)
    port = server.port()
    client = start("echo_client.py", "--port", port, "--message", "grüße")
    assert client.finish() == 0, client
    assert client.output == ["1 lines, 8 bytes came back"]

    client = start("echo_client.py", "--port", port)
    lines = [b"", b"one", os.urandom(40000).hex().encode(), b"\xff\xfe"]
    client.process.stdin.write(b"\n".join(lines))
    client.type_end()
    assert client.finish() == 0, client
    assert client.output == ["4 lines, 80008 bytes came back"]


def test_selectors_echo_of_16_mebibytes_with_back_pressure(start):
    server = start("echo_server_selectors.py", "--port", 0)
    most = 64 * MEBIBYTE
    with stdlib_socket.socket() as client:
        for option in (stdlib_socket.SO_RCVBUF, stdlib_socket.SO_SNDBUF):
            client.setsockopt(stdlib_socket.SOL_SOCKET, option, 65536)
        client.settimeout(TIMEOUT_S)
        client.connect(("127.0.0.1", server.port()))
        block = os.urandom(65536)
        sent = hashlib.sha256()
        sent_size = 0

        # As we read nothing, the server must at some time take no more of us.
        client.settimeout(0.3)
        try:
            while sent_size < most:
                size = client.send(block)
                sent.update(block[:size])
                sent_size += size
        except TimeoutError:
            pass
        assert sent_size < most
        client.settimeout(TIMEOUT_S)

        def send_the_rest():
            rest = max(0, 16 * MEBIBYTE - sent_size)
            data = (block * (rest // len(block) + 1))[:rest]
            sent.update(data)
            client.sendall(data)
            client.shutdown(stdlib_socket.SHUT_WR)

        sender = threading.Thread(target=send_the_rest)
        sender.start()
        received = receive_all(client)
        sender.join(TIMEOUT_S)
    assert len(received) >= 16 * MEBIBYTE
    assert hashlib.sha256(received).digest() == sent.digest()


def test_chat_of_three(start):
    server = start("chat_server.py", "--port", 0)
    port = server.port()
    people = {}
    for name in ("ada", "bob", "eve"):
        people[name] = start("chat_client.py", name, "--port", port)
        people[name].wait_for(rf"^\* welcome {name}; here: ")
        server.wait_for(rf"^\* {name} joined$")
    ada, bob, eve = people.values()
    assert eve.output == ["* welcome eve; here: ada, bob"]
    ada.type("hello, grüße \x1b[31m")
    for other in (bob, eve):
        other.wait_for(r"^ada: hello, grüße \[31m$")
    bob.type("hello ada")
    for other in (ada, eve):
        other.wait_for("^bob: hello ada$")
    eve.type("last words")
    eve.type_end()
    assert eve.finish() == 0, eve
    for other in (ada, bob):
        other.wait_for("^eve: last words$")
        other.wait_for(r"^\* eve left$")
    bob.signal(signal.SIGKILL)
    ada.wait_for(r"^\* bob left$")
    server.signal(signal.SIGTERM)
    assert server.finish() == 0, server
    assert ada.finish() == 1
    assert ada.output == ["* welcome ada; here: nobody else", "* bob joined", "* eve joined",
                          "bob: hello ada", "eve: last words", "* eve left", "* bob left",
                          "chat client: the server closed the connection"]
    assert "ada: hello" not in "\n".join(ada.output)


@pytest.mark.parametrize("drop_every, report", [
    (0, "received 100 of 100, lost 0, repeated 0, late 0"),
    (10, "received 90 of 100, lost 10, repeated 0, late 0")])
def test_udp_counts(start, drop_every, report):
    receiver = start("udp_receiver.py", "--port", 0, "--once")
    sender = start("udp_sender.py", "--port", receiver.port(), "--count", 100,
                   "--drop-every", drop_every, "--timeout", TIMEOUT_S)
    assert sender.finish() == 0, sender
    assert sender.output == [report]
    assert receiver.finish() == 0, receiver
    assert receiver.output[1:] == [report]


def test_unix_pair(start):
    pair = start("unix_pair.py", "one", "grüße " * 10000)
    assert pair.finish() == 0, pair
    long = "GRÜSSE " * 10000
    assert pair.output == ["child says: ONE", f"child says: {long}", "file holds: ONE",
                           f"file holds: {long}", "child ended with 0"]


@pytest.mark.parametrize("options", [(), ("--datagram",)], ids=["any", "datagram"])
def test_ping(start, options):
    ping = start("ping.py", "--count", 3, "--interval", 0, "--timeout", TIMEOUT_S, *options)
    if ping.finish() == 2:  # then it says clearly why
        assert re.fullmatch(r"no SOCK_(RAW|DGRAM) socket: \[Errno \d+\] .*", ping.output[0])
        assert ping.output[-1].startswith("ping: not permitted; run as root")
        if not options:
            pytest.skip("ICMP sockets are not permitted here")
        return
    assert ping.process.returncode == 0, ping
    answers = [re.fullmatch(r"sequence (\d): \d+\.\d{3} ms from 127\.0\.0\.1", line)
               for line in ping.output if line.startswith("sequence")]
    assert [answer and answer[1] for answer in answers] == ["1", "2", "3"], ping
    assert ping.output[-2] == "3 sent, 3 answered"


@pytest.fixture
def site(tmp_path):
    """A folder to serve, beside which there is a secret."""
    folder = tmp_path / "site"
    (folder / "sub").mkdir(parents=True)
    (folder / "index.html").write_text("<p>index\n")
    (folder / "sub" / "a b.txt").write_text("spaced\n")
    (folder / "empty.bin").touch()
    (folder / "large.bin").write_bytes(os.urandom(3 * MEBIBYTE + 7))
    (tmp_path / "secret.txt").write_text("secret\n")
    (tmp_path / "site-secret").mkdir()
    (tmp_path / "site-secret" / "secret.txt").write_text("secret\n")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


def exchange(port, request):
    """What a server sends until it closes."""
    with connect(port) as client:
        client.sendall(request)
        return receive_all(client)


@requires_program("curl")
def test_http_server_for_curl(start, site, tmp_path):
    base = f"http://127.0.0.1:{start('http_server.py', site, '--port', 0).port()}"

    def curl(*arguments):
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", str(int(TIMEOUT_S)),
             "--noproxy", "*", *arguments], cwd=tmp_path, capture_output=True, check=True,
            timeout=2 * TIMEOUT_S).stdout

    assert curl(base) == b"<p>index\n"
    assert curl(base + "/sub/a%20b.txt?query=1") == b"spaced\n"
    assert curl(base + "/empty.bin") == b""
    assert curl(base + "/large.bin") == (site / "large.bin").read_bytes()
    head = curl("--head", base + "/index.html").decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Length: 9\r\nContent-Type: text/html\r\n" in head
    report = ("-o", "out", "-w", "%{http_code}")
    assert curl(*report, base + "/missing") == b"404"
    assert curl(*report, "--data", "x=1", base + "/") == b"405"
    assert curl(*report, "--path-as-is", base + "/../secret.txt") == b"404"
    # Two URLs of one call: curl takes the connection again if it was kept alive.
    assert curl("-o", "out", base, "-o", "out", base, "-w", "%{num_connects}") == b"10"


def test_http_keep_alive_and_pipelining(start, site):
    port = start("http_server.py", site, "--port", 0).port()
    answer = exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                            b"HEAD /large.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                            b"GET http://a/missing HTTP/1.1\r\nHost: a\r\n\r\n"
                            b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n"
                            b"GET /empty.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert statuses == [b"200", b"200", b"404", b"405", b"200"]
    assert answer.count(b"Connection: keep-alive\r\n") == 4
    assert answer.count(b"Connection: close\r\n") == 1
    assert answer.count(b"Allow: GET, HEAD\r\n") == 1
    assert answer.count(b"<p>index\n") == 1
    assert b"Content-Length: %d\r\n" % (3 * MEBIBYTE + 7) in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("target", [
    "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/sub/../../secret.txt",
    "/../site-secret/secret.txt", "//{outside}/secret.txt", "/%2f{outside}/secret.txt",
    "/link.txt", "/..", "/sub", "/%00", "/" + "x" * 5000])
def test_http_serves_nothing_else(start, site, tmp_path, target):
    port = start("http_server.py", site, "--port", 0).port()
    target = target.format(outside=str(tmp_path).lstrip("/"))
    answer = exchange(port, f"GET {target} HTTP/1.0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"secret" not in answer


def frame(text):
    return len(text).to_bytes(4) + text


@pytest.fixture
def nodes(start, tmp_path):
    """Two nodes: (program, folder, port) of each."""
    found = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        program = start("file_exchange.py", folder, "--port", 0)
        found.append((program, folder))
    return [(program, folder, program.port()) for program, folder in found]


def test_file_exchange(nodes):
    (a, folder_a, port_a), (b, folder_b, port_b) = nodes
    content = os.urandom(5 * MEBIBYTE + 3)
    (folder_a / "large file.bin").write_bytes(content)
    (folder_b / "empty").touch()
    b.type(f"list 127.0.0.1 {port_a}")
    b.wait_for(f"^{len(content)} large file.bin$")
    b.wait_for("^1 files$")
    # Both fetch at once.
    b.type(f"get 127.0.0.1 {port_a} large file.bin")
    a.type(f"get 127.0.0.1 {port_b} empty")
    digest = hashlib.sha256(content).hexdigest()
    b.wait_for(f"^got large file.bin, {len(content)} bytes, sha256 {digest}$")
    a.wait_for("^got empty, 0 bytes, ")
    assert (folder_b / "large file.bin").read_bytes() == content
    for folder in (folder_a, folder_b):
        assert sorted(os.listdir(folder)) == ["empty", "large file.bin"]
    a.type("quit")
    b.type_end()
    assert [a.finish(), b.finish()] == [0, 0]


def test_heartbeat(start):
    server = start("heartbeat_server.py", "--port", 0, "--missed", 20)
    client = start("heartbeat_client.py", "--port", server.port(), "--interval", 0.05,
                   "--count", 3, "--missed", 200)
    assert client.finish() == 0, client
    assert client.output == ["connected", *(f"beat {n} answered" for n in (1, 2, 3))]
    server.wait_for(r"^127\.0\.0\.1 \d+ came$")
    server.wait_for(r"^127\.0\.0\.1 \d+ left$")


def test_heartbeat_client_notices_a_silent_server_and_gives_up(start):
    server = start("heartbeat_server.py", "--port", 0)
    client = start("heartbeat_client.py", "--port", server.port(), "--interval", 0.2,
                   "--retries", 1)
    client.wait_for("^beat 1 answered$")
    server.signal(signal.SIGSTOP)
    assert client.finish() == 1
    # The kernel still accepts for the stopped server, so both times beats are missed.
    assert client.output[-4:] == ["peer lost: 3 beats missed", "connected",
                                  "peer lost: 3 beats missed",
                                  "heartbeat client: gave up after 1 reconnections"]


def test_heartbeat_client_outlives_a_restart_of_the_server(start):
    server = start("heartbeat_server.py", "--port", 0)
    port = server.port()
    client = start("heartbeat_client.py", "--port", port, "--interval", 0.1, "--retries", 300)
    client.wait_for("^beat 1 answered$")
    server.signal(signal.SIGKILL)
    server.finish()
    client.wait_for("^peer lost: ")
    client.wait_for("^peer lost: .*refused")
    start("heartbeat_server.py", "--port", port).port()
    client.wait_for("^connected$")
    client.wait_for("^beat 1 answered$")
    client.signal(signal.SIGINT)
    assert client.finish() == 0, client


def test_heartbeat_server_notices_a_silent_client(start):
    server = start("heartbeat_server.py", "--port", 0, "--interval", 0.2)
    client = start("heartbeat_client.py", "--port", server.port(), "--interval", 0.1)
    client.wait_for("^beat 2 answered$")
    client.signal(signal.SIGSTOP)
    server.wait_for(r"lost: no beat for 0\.6 s$")


#: Each server, its positional arguments, and something that it answers.
SERVERS = {
    **{name: ([], b"x") for name in ECHO_SERVERS},
    "chat_server.py": ([], b"ada\n"),
    "file_exchange.py": (["."], frame(b'{"do": "list"}')),
    "heartbeat_server.py": ([], b"beat 1\n"),
    "http_server.py": (["."], b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", SERVERS)
def test_server_ends_cleanly_with_a_client_connected(start, name, number):
    arguments, request = SERVERS[name]
    server = start(name, *arguments, "--port", 0)
    with connect(server.port()) as client:
        client.sendall(request)
        assert client.recv(1)
        server.signal(number)
        assert server.finish() == 0, server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_udp_receiver_ends_cleanly(start, number):
    receiver = start("udp_receiver.py", "--port", 0)
    receiver.port()
    receiver.signal(number)
    assert receiver.finish() == 0
    assert len(receiver.output) == 1, receiver


#: Each example and a test that runs it.
TESTED_BY = {
    "chat_client.py": test_chat_of_three,
    "chat_server.py": test_chat_of_three,
    "echo_client.py": test_echo_server,
    "echo_server_asyncio.py": test_echo_server,
    "echo_server_selectors.py": test_selectors_echo_of_16_mebibytes_with_back_pressure,
    "echo_server_single.py": test_echo_server,
    "echo_server_threads.py": test_echo_server,
    "file_exchange.py": test_file_exchange,
    "heartbeat_client.py": test_heartbeat,
    "heartbeat_server.py": test_heartbeat,
    "http_server.py": test_http_server_for_curl,
    "ping.py": test_ping,
    "udp_receiver.py": test_udp_counts,
    "udp_sender.py": test_udp_counts,
    "unix_pair.py": test_unix_pair,
}


def test_each_example_is_tested_and_in_the_readme():
    files = {path.name for path in EXAMPLES.iterdir()
             if path.is_file() and path.name != "README.md"}
    assert files == set(TESTED_BY) | NEED_FASTSOCK
    rows = re.findall(r"^\| \[(\w+\.py)\]\(\1\) \| .+ \| .+ \|$",
                      (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(files)


@pytest.mark.parametrize("name", TESTED_BY)
def test_example_is_documented_and_narrow(name):
    text = (EXAMPLES / name).read_text()
    assert text.startswith('"""') and "Terminal 1:  " in text.split('"""')[1]
    assert max(map(len, text.splitlines())) <= 96
