"""What one line changes for whole programs: real clients with and without install().

    python -m benchmarks real_clients

Operations a second and CPU an operation, of a process that does nothing else, against
real servers. Also where it is little: most of such a program's time is its own."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from benchmarks.measure import QUICK, Row

ROUNDS = 3 if QUICK else 7

#: name: (program needed, modules needed, setup, one operation)
CLIENTS = {
    "redis-py GET": ("redis-server", "redis", """
import redis
client = redis.Redis(port=PORT)
client.set("key", "x" * 64)
""", "client.get('key')"),
    "redis-py SET": ("redis-server", "redis", """
import redis
client = redis.Redis(port=PORT)
""", "client.set('key', 'x' * 64)"),
    "pymemcache GET": ("memcached", "pymemcache", """
from pymemcache.client.base import Client
client = Client(("127.0.0.1", PORT), no_delay=True)
client.set("key", "x" * 64)
""", "client.get('key')"),
    "pg8000 SELECT 1": ("postgres", "pg8000", """
import pg8000.native
client = pg8000.native.Connection("postgres", host="127.0.0.1", port=PORT)
""", "client.run('SELECT 1')"),
    "http.client GET, keep-alive": ("http", None, """
import http.client
client = http.client.HTTPConnection("127.0.0.1", PORT)
def get():
    client.request("GET", "/")
    client.getresponse().read()
""", "get()"),
    "requests GET, keep-alive": ("http", "requests", """
import requests
session = requests.Session()
""", "session.get(f'http://127.0.0.1:{PORT}/').content"),
    "dnspython A query over UDP": ("dns", "dns", """
import dns.message, dns.query
query = dns.message.make_query("host.example", "A")
""", "dns.query.udp(query, '127.0.0.1', port=PORT, timeout=5)"),
}

PROGRAM = """
import json, os, sys, time
PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])
if sys.argv[3] == "fastsock":
    import fastsock
    fastsock.install()
{setup}
for _ in range(20):
    {operation}
began_s, used = time.perf_counter(), sum(os.times()[:2])
for _ in range(COUNT):
    {operation}
print(json.dumps([(time.perf_counter() - began_s) / COUNT, (sum(os.times()[:2]) - used) / COUNT]))
"""

HTTP_SERVER = """
import asyncio
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 64\\r\\n\\r\\n" + b"x" * 64
class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        if data.endswith(b"\\r\\n\\r\\n"):
            self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", {port})
    await server.serve_forever()
asyncio.run(main())
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def postgres_command(port, folder):
    """PostgreSQL refuses to be run by root."""
    programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        return None
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] \
        if os.getuid() == 0 else []
    os.chmod(folder, 0o777)
    data = f"{folder}/data"
    made = subprocess.run([*prefix, programs[-1] / "initdb", "-A", "trust", "-U", "postgres",
                           "-D", data], capture_output=True, cwd=folder)
    if made.returncode:
        return None
    return [*prefix, programs[-1] / "postgres", "-D", data, "-p", port, "-k", "",
            "-c", "fsync=off"]


def command_of(program, port, folder):
    if program == "http":
        return [sys.executable, "-c", HTTP_SERVER.format(port=port)]
    if program == "dns":
        example = pathlib.Path(__file__).parent.parent / "examples" / "dns_responder.py"
        return [sys.executable, example, "--port", port, "--name", "host.example=192.0.2.7"]
    if program == "postgres":
        return postgres_command(port, folder)
    if shutil.which(program) is None:
        return None
    if program == "memcached":
        return ["memcached", "-l", "127.0.0.1", "-p", port,
                *(["-u", "nobody"] if os.getuid() == 0 else [])]
    return ["redis-server", "--port", port, "--save", "", "--bind", "127.0.0.1"]


def run(setup, operation, port, count, variant):
    program = PROGRAM.format(setup=setup, operation=operation)
    shown = subprocess.run([sys.executable, "-P", "-c", program, str(port), str(count), variant],
                           check=True, capture_output=True, text=True).stdout
    return json.loads(shown)


def measure(name, port):
    """Rows of one client: time and CPU an operation."""
    _, _, setup, operation = CLIENTS[name]
    count = 300
    elapsed, used = {"stdlib": [], "fastsock": []}, {"stdlib": [], "fastsock": []}
    for round_number in range(ROUNDS):
        for variant in elapsed:
            seconds, cpu_s = run(setup, operation, port, count, variant)
            if round_number == 0 and variant == "stdlib":
                count = max(300, int((0.3 if QUICK else 1.0) / seconds))
            elapsed[variant].append(1e9 * seconds)
            used[variant].append(1e9 * cpu_s)
    yield Row(f"{name}: time", elapsed)
    yield Row(f"{name}: CPU", used)


def rows():
    for name, (program, module, _, _) in CLIENTS.items():
        try:
            __import__(module or "socket")
        except ImportError:
            print(f"  {name}: {module} is not installed")
            continue
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="fastsock-bench-") as folder:
            command = command_of(program, port, folder)
            if command is None:
                print(f"  {name}: {program} is not installed")
                continue
            server = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, cwd=folder)
            try:
                deadline_s = time.monotonic() + 30
                while program != "dns" and not answers(port):
                    if time.monotonic() > deadline_s or server.poll() is not None:
                        raise RuntimeError(f"{program} did not start")
                    time.sleep(0.05)
                if program == "dns":
                    time.sleep(1)
                yield from measure(name, port)
            finally:
                server.terminate()
                server.wait()
