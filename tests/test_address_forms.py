"""Complete addresses of IPv6, texts of addresses, and what an error says of an address."""

import contextlib
import errno
import os
import pathlib
import re
import socket as stdlib_socket
import subprocess
import sys
import traceback

import pytest

import fastsock
from fastsock import _address_forms as forms
from fastsock._serve import HandlerServer
from tests.conftest import TIMEOUT_S, requires_ipv6
from tests.servers import PEERS
from tests.serving import environment


LOOPBACK = ("127.0.0.1", 0)
#: Link-local and on no interface: what binding or connecting says depends on the scope.
NOT_HERE = "fe80::f457:50cc"


def number_of(function, *arguments, **keywords):
    """The errno that a call fails with."""
    with pytest.raises(OSError) as caught, contextlib.ExitStack() as opened:
        opened.enter_context(function(*arguments, **keywords))
    return caught.value.errno


def bound(address):
    """What the stdlib's bind() says."""
    with stdlib_socket.socket(stdlib_socket.AF_INET6) as sock:
        sock.bind(address)


def server(address):
    return HandlerServer(bytes, address)


def server_of_a_list(address):
    return HandlerServer(bytes, [LOOPBACK, address])


def relay(address):
    return fastsock.Relay(address, ("127.0.0.1", 1))


# -- scope ids --------------------------------------------------------------------------------

@requires_ipv6
@pytest.mark.parametrize("listen", [server, server_of_a_list, relay])
@pytest.mark.parametrize("scope_id", [0, 1, 999_999])
def test_the_scope_is_bound_to(listen, scope_id):
    # EINVAL without one, EADDRNOTAVAIL for lo's, ENODEV for one that is not there.
    address = (NOT_HERE, 0, 0, scope_id)
    assert number_of(listen, address) == number_of(bound, address)


@requires_ipv6
def test_the_three_scopes_differ():
    assert len({number_of(bound, (NOT_HERE, 0, 0, scope)) for scope in (0, 1, 999_999)}) == 3


@requires_ipv6
@pytest.mark.parametrize("workers", [1, 2])
def test_the_scope_is_bound_to_by_serve(workers):
    address = (NOT_HERE, 0, 0, 999_999)
    assert number_of(fastsock.serve, bytes, address, workers=workers) == number_of(bound, address)


@requires_ipv6
def test_the_scope_of_a_relays_target():
    from fastsock import _relay_server
    family = stdlib_socket.AF_INET6
    assert _relay_server._targets((NOT_HERE, 80, 5, 7)) == [(family, (NOT_HERE, 80, 5, 7))]
    assert _relay_server._targets((f"{NOT_HERE}%1", 80)) == [(family, (NOT_HERE, 80, 0, 1))]
    # An explicit one counts, as in the stdlib's bind() and connect().
    assert _relay_server._targets((f"{NOT_HERE}%1", 80, 0, 7)) == [(family, (NOT_HERE, 80, 0, 7))]
    assert _relay_server._targets((f"{NOT_HERE}%1", 80, 0, 0)) == [(family, (NOT_HERE, 80, 0, 1))]


@requires_ipv6
@pytest.mark.parametrize("race", [{}, {"happy_eyeballs_delay": 1}, {"total_timeout": TIMEOUT_S}],
                         ids=str)
@pytest.mark.parametrize("scope_id", [0, 1, 999_999])
def test_the_scope_is_connected_to(race, scope_id):
    address = (NOT_HERE, 9, 0, scope_id)
    with stdlib_socket.socket(stdlib_socket.AF_INET6) as sock:
        expected = sock.connect_ex(address)
    assert number_of(fastsock.create_connection, address, TIMEOUT_S, **race) == expected
    assert number_of(fastsock.create_connection, ["::1", 9, 0, scope_id], TIMEOUT_S, **race) == (
        errno.ECONNREFUSED)


@requires_ipv6
@pytest.mark.parametrize("race", [{}, {"happy_eyeballs_delay": 1}], ids=str)
@pytest.mark.parametrize("source", [(NOT_HERE, 0, 0, 999_999), (f"{NOT_HERE}%999999", 0)], ids=str)
def test_the_scope_of_a_source(race, source):
    expected = number_of(bound, (NOT_HERE, 0, 0, 999_999))
    assert number_of(fastsock.create_connection, ("::1", 9), TIMEOUT_S, source, **race) == expected


@requires_ipv6
def test_a_source_of_ipv6_and_a_target_of_ipv4():
    # In a race it is one attempt that fails. One after the other it is as in the stdlib.
    source = ("::1", 0, 0, 0)
    with pytest.raises(OSError, match="source address"):
        fastsock.create_connection(("127.0.0.1", 9), TIMEOUT_S, source, happy_eyeballs_delay=1)
    for module in stdlib_socket, fastsock:
        with pytest.raises(TypeError) as caught:
            module.create_connection(("127.0.0.1", 9), TIMEOUT_S, source)
        for frame, _ in traceback.walk_tb(caught.tb):
            if sock := frame.f_locals.get("sock"):
                sock.close()  # left open by both


@requires_ipv6
@pytest.mark.parametrize("way", ["by_number", "by_name", "in_a_list", "in_workers", "as_a_relay",
                                 "as_a_client", "on_the_command_line"])
def test_a_link_local_address(way):
    paths = environment()
    paths["PYTHONPATH"] += os.pathsep + str(pathlib.Path(__file__).parent.parent)
    result = subprocess.run([sys.executable, PEERS / "scoped_program.py", way], env=paths,
                            capture_output=True, text=True, timeout=3 * TIMEOUT_S)
    if result.returncode == 77:
        pytest.skip(f"no network namespaces: {result.stdout.strip()}")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("complete, error, text", [
    ((1 << 20,), OverflowError, "the flowinfo must be 0 to 1048575, not 1048576"),
    ((-1,), OverflowError, "flowinfo"), ((0, -1), OverflowError, "scope_id"),
    ((0, 1 << 32), OverflowError, "the scope_id must be 0 to 4294967295, not 4294967296"),
    ((0, "lo"), TypeError, "scope_id must be an int, not 'lo'"), ((None,), TypeError, "flowinfo"),
])
def test_numbers_that_are_refused(complete, error, text):
    calls = [server, relay, fastsock.create_connection,
             lambda address: fastsock.Relay(LOOPBACK, address)]
    for call in calls:
        with pytest.raises(error, match=text):
            call(("::1", 9, *complete))


@pytest.mark.parametrize("address", [("127.0.0.1",), ("127.0.0.1", 1, 2, 3, 4), "ab:c"])
def test_create_connection_refuses_other_sizes_as_the_stdlib(socket, address):
    with pytest.raises(ValueError, match="values to unpack"):
        socket.create_connection(address)


def test_a_complete_address_is_of_ipv6():
    for call in server, relay, fastsock.create_connection:
        with pytest.raises(stdlib_socket.gaierror):
            call(("127.0.0.1", 9, 0, 1))


# -- texts ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, address", [
    ("127.0.0.1:8000", ("127.0.0.1", 8000)), ("localhost:0", ("localhost", 0)),
    (":65535", ("", 65535)), ("[::1]:80", ("::1", 80)), ("[::]:80", ("::", 80)),
    ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)), ("[::1%1]:080", ("::1%1", 80)),
    ("/run/s", "/run/s"), ("./127.0.0.1:80", "./127.0.0.1:80"), ("/", "/")])
def test_texts(text, address):
    assert forms.parsed(text) == address


@pytest.mark.parametrize("text, problem", [
    ("", "not an empty text"), ("8000", "'8000' has no port"), ("localhost", "has no port"),
    ("localhost:", "'localhost:' has no port after the colon"),
    ("localhost:99999", "'99999' is not a port, which is 0 to 65535"),
    ("localhost:9999999999999", "'9999999999999' is not a port"),
    ("localhost:-1", "'-1' is not a port"), ("localhost:http", "'http' is not a port"),
    ("localhost:\u0661", "is not a port"), ("localhost:+1", "is not a port"),
    ("localhost: 1", "is not a port"), ("[::1]", "write [::1]:PORT"), ("[::1]80", "[::1]:PORT"),
    ("[::1]:", "no port after the colon"), ("[::1", "no closing bracket"),
    ("[::1:80", "no closing bracket"), ("[]:80", "'' is not an IPv6 address"),
    ("[localhost]:80", "'localhost' is not an IPv6 address"), ("[::1%]:80", "not an IPv6"),
    ("::1", "write [::1]:PORT"), ("::1:80", "or [::1]:80"),
    ("fe80::1%eth0", "write [fe80::1%eth0]:PORT"), ("a:b:80", "'a:b' is not a host")])
def test_texts_that_are_refused(python, text, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        forms.parsed(text)


@pytest.mark.parametrize("name, text", [
    (("127.0.0.1", 80), "127.0.0.1:80"), (("::", 7012, 0, 0), "[::]:7012"),
    (("fe80::1", 80, 0, 999_999), "[fe80::1%999999]:80"), (("fe80::1%x", 80, 0, 1), "[fe80::1%x]:80"),
    ("/run/s", "/run/s"), (b"\0name\xff", "@name\\xff"), ("\0name", "@name"),
    (b"/run/s", "/run/s"), ("/caf\udce9", "/caf\\xe9")])
def test_addresses_are_shown_as_they_are_written(name, text):
    assert forms.shown(name) == text
    text.encode()  # can be printed
    if isinstance(name, tuple):
        assert forms.parsed(text)[1] == name[1]


def test_an_interface_is_shown_by_its_name():
    number, name = stdlib_socket.if_nameindex()[0]
    assert forms.shown(("fe80::1", 80, 0, number)) == f"[fe80::1%{name}]:80"


LIKE_A_HOST = [
    ("127.0.0.1:8000", "write ('127.0.0.1', 8000)"), ("localhost:80", "write ('localhost', 80)"),
    (":80", "write ('', 80)"), ("[::1]:80", "write ('::1', 80)"), ("::1", "write ('::1', PORT)"),
    ("127.0.0.1", "write ('127.0.0.1', PORT)"), ("[::1]", "write ('::1', PORT)"),
    ("localhost:99999", "'99999' is not a port"), ("localhost:-1", "'-1' is not a port"),
    (b"localhost:80", "write ('localhost', 80)"), ("::1:80", "('::1:80', PORT), or ('::1', 80)"),
    ("fe80::1%lo:80", "write ('fe80::1%lo', 80)"), ("fe80::1%lo", "write ('fe80::1%lo', PORT)"),
    ("[fe80::1%lo]:80", "write ('fe80::1%lo', 80)"), ("[::1]:http", "write ('::1', 'http')"),
    ("127.0.0.1:http", "write ('127.0.0.1', 'http')"), ("[::1]:", "write ('::1', PORT)"),
    ("localhost:http", "write ('localhost', 'http')"), ("127.0.0.1:", "write ('127.0.0.1', PORT)"),
    ("example.com:", "write ('example.com', PORT)"), (":", "write ('', PORT)"),
    (b"localhost:http", "write ('localhost', 'http')"), (":http", "write ('', 'http')"),
    ("a:b:80", "'a:b' is not a host"), ("[::1:80", "(HOST, PORT)"), ("a:b", "write ('a', 'b')"),
    ("[localhost]:80", "write ('localhost', 80)"), ("::1:", "write ('::1', PORT)")]


@pytest.mark.parametrize("address, right", LIKE_A_HOST, ids=str)
def test_a_text_that_looks_like_a_host_is_refused(tmp_path, monkeypatch, address, right):
    monkeypatch.chdir(tmp_path)
    calls = [server, server_of_a_list, relay, lambda given: fastsock.Relay(LOOPBACK, given),
             lambda given: fastsock.serve(bytes, given),
             lambda given: fastsock.serve(bytes, given, workers=2),
             lambda given: fastsock.Server(object, given)]
    for call in calls:
        with pytest.raises(ValueError, match=re.escape(right)) as caught:
            call(address)
        assert "./" in str(caught.value)
        assert "]:PORT" not in str(caught.value)  # of the command line
    assert os.listdir() == []


@pytest.mark.parametrize("text", [
    address for address, right in LIKE_A_HOST if right.startswith("write (") and isinstance(
        address, str)])
def test_what_such_an_error_proposes_is_an_address(text):
    proposed = forms.right_tuple(text).removeprefix("write ").replace("PORT", "0")
    for one in proposed.split(", or "):
        assert forms.checked(eval(one)) == eval(one)
    assert forms.checked(eval(repr("./" + text))) == "./" + text


@pytest.mark.parametrize("address", ["", b""])
def test_an_empty_path(address):
    # bind() would choose an abstract address (unix(7), autobind), which no client knows.
    for call in server, server_of_a_list, relay, lambda given: fastsock.Relay(LOOPBACK, given):
        with pytest.raises(ValueError, match=re.escape(f"{address!r} is an empty path: write ('', PORT)")):
            call(address)


@pytest.mark.parametrize("address", ["./localhost:80", b"./127.0.0.1", pathlib.Path("a:80"), "name",
                                     "./a:b", "8000", pathlib.Path("localhost:")], ids=str)
def test_what_is_clearly_a_path(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    with server(address):
        name, = os.listdir()
        assert os.path.basename(os.fsdecode(address)) == name
    assert os.listdir() == []


# -- errors ----------------------------------------------------------------------------------------

def test_a_host_that_is_not_found():
    for call in server, relay, lambda address: fastsock.Relay(LOOPBACK, address):
        with pytest.raises(stdlib_socket.gaierror, match="can't resolve 'no.such.invalid': ") as caught:
            call(("no.such.invalid", 80))
        assert caught.value.errno in (stdlib_socket.EAI_NONAME, stdlib_socket.EAI_AGAIN)
    with pytest.raises(stdlib_socket.gaierror, match="'localhost', port 'no such service'"):
        server(("localhost", "no such service"))
    with pytest.raises(UnicodeError, match="can't resolve 'aaa"):
        server(("a" * 70 + ".invalid", 80))


@pytest.mark.parametrize("port", [65536, -1, "65536", b"99999999999"])
def test_a_port_that_is_out_of_range(port):
    for call in server, relay, lambda address: fastsock.Relay(LOOPBACK, address):
        with pytest.raises(OverflowError, match="the port must be 0 to 65535, not"):
            call(("127.0.0.1", port))


def test_a_port_that_is_a_text():
    with server(("127.0.0.1", "0")) as made:
        assert made.addresses[0][1] > 0


def test_a_relay_to_no_port():
    with pytest.raises(ValueError, match="a port above 0"):
        fastsock.Relay(LOOPBACK, ("127.0.0.1", 0))


def test_what_listen_says_has_the_address(monkeypatch):
    def listen(self, backlog):
        raise OSError(errno.EADDRINUSE, "in use")

    monkeypatch.setattr(fastsock.socket, "listen", listen)
    with pytest.raises(OSError, match=r"can't listen on \('127.0.0.1', 0\): in use") as caught:
        server(LOOPBACK)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_path_that_is_too_long():
    with pytest.raises(OSError, match="can't listen on '/xxx.*': AF_UNIX path too long"):
        server("/" + "x" * 300)


@pytest.mark.parametrize("arguments, text", [
    (["echo", "--listen", "no.such.invalid:80"], "can't resolve 'no.such.invalid'"),
    (["echo", "--listen", "127.0.0.1:70000"], "argument --listen: '70000' is not a port"),
    (["http", ".", "--listen", "[::1]"], "'[::1]' has no port: write [::1]:PORT"),
    (["echo", "--listen", "192.0.2.1:80"], "can't listen on ('192.0.2.1', 80): "),
    (["relay", "127.0.0.1:0", "nowhere"], "argument CONNECT: 'nowhere' has no port"),
    (["relay", "127.0.0.1:0", "no.such.invalid:80"], "can't resolve 'no.such.invalid'"),
    (["relay", "127.0.0.1:0", "127.0.0.1:0"], "a port above 0"),
])
def test_the_command_line_names_the_problem(python, arguments, text):
    result = python("-m", "fastsock", "serve", *arguments, check=False)
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]
    assert text in last and last.startswith(f"python -m fastsock serve {arguments[0]}: error: ")
