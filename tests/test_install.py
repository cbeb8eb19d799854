"""install() and uninstall(): what they swap, put back, warn of and refuse.

Each test is a program of its own, since the whole process is changed.
"""

import subprocess
import sys

import pytest

# -- swapped and put back --------------------------------------------------------


def test_names_are_swapped_and_restored_exactly(python):
    python(code="""
import socket
before = dict(vars(socket))
import fastsock
assert dict(vars(socket)) == before, "importing fastsock changed the module"
assert fastsock.install() is True
assert socket.socket is fastsock.socket
assert socket.socketpair is fastsock.socketpair
changed = {name for name, value in vars(socket).items() if before.get(name) is not value}
assert changed == {"socket", "socketpair", "SocketIO"}, changed
fastsock.uninstall()
assert vars(socket).keys() == before.keys()
for name, value in before.items():
    assert vars(socket)[name] is value, name
assert fastsock.socket is not socket.socket
""")


def test_installing_twice_and_uninstalling_twice(python):
    python(code="""
import socket
original = socket.socket
import fastsock
fastsock.uninstall()
assert socket.socket is original
for _ in range(3):
    assert fastsock.install() is True
    assert fastsock.install() is True
    assert socket.socket is fastsock.socket
    fastsock.uninstall()
    assert socket.socket is original
    fastsock.uninstall()
    assert socket.socket is original
""")


@pytest.mark.parametrize("value, installed", [("1", False), ("0", True), ("", True)])
def test_disable_by_the_environment(python, value, installed):
    python(env={"FASTSOCK_DISABLE": value}, code=f"""
import socket
original = socket.socket
import fastsock
assert fastsock.install() is {installed}
assert (socket.socket is original) is {not installed}
with fastsock.socket() as sock:  # by its own name it is there all the same
    assert type(sock) is fastsock.socket
fastsock.uninstall()
assert socket.socket is original
""")


# -- what is built by the name ---------------------------------------------------


def test_functions_of_the_socket_module(python):
    python(code="""
import socket, fastsock
fastsock.install()
def check(sock):
    assert type(sock) is fastsock.socket, type(sock)
    return sock
with check(socket.create_server(("127.0.0.1", 0))) as listener:
    listener.settimeout(20)
    with check(socket.create_connection(listener.getsockname(), 20)) as client:
        accepted, _ = listener.accept()
        with check(accepted), check(client.dup()), check(
                socket.fromfd(client.fileno(), client.family, client.type)):
            client.sendall(b"hello")
            assert accepted.recv(10) == b"hello"
for sock in socket.socketpair():
    check(sock).close()
with check(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
    with check(socket.socket(fileno=sock.detach())):
        pass
""")


def test_http_client_and_socketserver(python):
    python(code="""
import fastsock
fastsock.install()
import http.client, http.server, socketserver, threading

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = type(self.request).__module__.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    assert type(server.socket) is fastsock.socket
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        client.request("GET", "/")
        assert type(client.sock) is fastsock.socket
        assert client.getresponse().read() == b"fastsock"
        client.close()
    finally:
        server.shutdown()
        thread.join()
""")


def test_asyncio(python):
    python(code="""
import fastsock
fastsock.install()
import asyncio

def check(transport):
    assert type(transport.get_extra_info("socket")._sock) is fastsock.socket

async def answer(reader, writer):
    check(writer.transport)
    writer.write(await reader.readline())
    writer.close()

async def main():
    loop = asyncio.get_running_loop()
    assert type(loop._ssock) is type(loop._csock) is fastsock.socket  # its own pair
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        check(writer.transport)
        writer.write(b"hello\\n")
        assert await reader.read() == b"hello\\n"
        writer.close()
        await writer.wait_closed()

asyncio.run(asyncio.wait_for(main(), 20))
""")


def test_ssl_that_is_imported_later(python):
    python(code="""
import fastsock
fastsock.install()
import ssl
assert fastsock.socket in ssl.SSLSocket.__mro__
""")


def test_subclasses_that_are_made_while_installed(python):
    python(code="""
import socket, fastsock
fastsock.install()
class Own(socket.socket):
    pass
fastsock.uninstall()
with Own() as sock:
    assert isinstance(sock, fastsock.socket) and isinstance(sock, socket.socket)
""")


# -- sockets that exist when it is swapped ---------------------------------------


def test_sockets_stay_as_they_are_and_work(python):
    python(code="""
import socket, fastsock
old = socket.socketpair()
stdlib_class = type(old[0])
fastsock.install()
new = socket.socketpair()
assert type(old[0]) is stdlib_class and type(new[0]) is fastsock.socket
assert isinstance(new[0], stdlib_class)

def works(pair):
    for a, b in (pair, pair[::-1]):
        a.sendall(b"data")
        assert b.recv(10) == b"data"
        with a.makefile("rwb") as file:
            b.sendall(b"line\\n")
            assert file.readline() == b"line\\n"

works(old), works(new)
fastsock.uninstall()
assert type(new[0]) is fastsock.socket
works(old), works(new)
listener = fastsock.create_server(("127.0.0.1", 0))
with listener, socket.create_connection(listener.getsockname()) as client:
    assert type(client) is stdlib_class
    accepted, _ = listener.accept()
    with accepted:
        assert type(accepted) is fastsock.socket
        works((client, accepted))
for sock in (*old, *new):
    sock.close()
""")


# -- the warning -----------------------------------------------------------------

WARNING = """
import sys, types, warnings
IMPORTS
import fastsock
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    fastsock.install()
for warning in caught:
    print(warning.category.__name__, warning.filename, warning.lineno, warning.message)
"""


def warned(python, imports):
    return python(code=WARNING.replace("IMPORTS", imports)).stdout.splitlines()


def test_no_warning_when_nothing_was_taken(python):
    assert warned(python, "import socket, socketserver, selectors") == []


def test_no_warning_for_the_program_itself(python):
    """The program may hold the class: it knows what it does before install()."""
    assert warned(python, "from socket import socket") == []


def test_warning_names_ssl(python):
    line, = warned(python, "import ssl")
    kind, file, number, message = line.split(" ", 3)
    assert (kind, file, number) == ("RuntimeWarning", "<string>", "7")  # who called install()
    names = message.split("stdlib's: ")[1].split(". ")[0].split(", ")
    assert "ssl" in names and "socket" not in names
    assert not [name for name in names if name.startswith("fastsock")]
    assert "python -m fastsock run" in message


def test_one_warning_names_all_modules_in_order(python):
    line, = warned(python, """
import socket
for name in ("zebra", "apple"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].any_name = socket.socket
sys.modules["unrelated"] = types.ModuleType("unrelated")
sys.modules["no_module"] = None
""")
    assert "stdlib's: apple, zebra. " in line


# -- what it refuses -------------------------------------------------------------

REFUSED = """
import socket, sys, types
SETUP
replaced = socket.socket
import fastsock
try:
    fastsock.install()
except RuntimeError as error:
    assert socket.socket is replaced
    print(error)
else:
    print("installed")
"""

FAKE = """
package, name, function = {module!r}.split(".")[0], {module!r}, {function!r}
sys.modules[package] = types.ModuleType(package)
sys.modules[name] = types.ModuleType(name)
setattr(sys.modules[name], function, lambda what: {patched} and what == "socket")
"""


@pytest.mark.parametrize("module, function, patched", [
    (module, function, patched)
    for module, function in (("gevent.monkey", "is_module_patched"),
                             ("eventlet.patcher", "is_monkey_patched"))
    for patched in (True, False)])
def test_green_sockets_are_refused(python, module, function, patched):
    setup = FAKE.format(module=module, function=function, patched=patched)
    shown = python(code=REFUSED.replace("SETUP", setup)).stdout.strip()
    if patched:
        assert f"it was replaced by {module.split('.')[0]}." in shown
        assert "fastsock.socket itself can be used beside it" in shown
    else:  # imported only: nothing was replaced
        assert shown == "installed"


@pytest.mark.parametrize("module, patch", [
    ("gevent", "import gevent.monkey; gevent.monkey.patch_all()"),
    ("eventlet", "import eventlet; eventlet.monkey_patch()")])
def test_real_green_sockets_are_refused(python, module, patch):
    # Asked of another process: this one must not import what may patch it.
    probe = subprocess.run([sys.executable, "-P", "-c", f"import {module}"],
                           capture_output=True)
    if probe.returncode:
        pytest.skip(f"not installed: {module}")
    shown = python(code=REFUSED.replace("SETUP", patch)).stdout
    assert f"it was replaced by {module}." in shown


def test_unknown_replacement_is_refused(python):
    shown = python(code=REFUSED.replace(
        "SETUP", "class Other(socket.socket): pass\nsocket.socket = Other")).stdout
    assert "it was replaced by another library" in shown and "Other" in shown


def test_run_refuses_in_one_line(python, tmp_path):
    """A sitecustomize may have replaced the class before `run` is reached."""
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\nclass Other(socket.socket): pass\nsocket.socket = Other\n")
    (tmp_path / "app.py").write_text("print('ran')\n")
    result = python("-m", "fastsock", "run", "app.py", check=False,
                    env={"PYTHONPATH": str(tmp_path)})
    assert (result.returncode, result.stdout) == (2, "")
    line, = result.stderr.splitlines()
    assert line.startswith("python -m fastsock run: error: fastsock.install() can't replace")


def test_fastsock_beside_a_replaced_class(python):
    """Its own sockets are derived from the interpreter's class, whoever has the name."""
    python(code="""
import socket
real = socket.socket
class Other(socket.socket):
    pass
socket.socket = Other
import fastsock
assert fastsock.socket.__bases__[-1] is real
a, b = fastsock.socketpair()
with a, b:
    a.sendall(b"x")
    assert b.recv(1) == b"x" and type(a) is fastsock.socket
""")
