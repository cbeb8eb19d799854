"""`python -m fastsock serve http`: paths, folders and the log, as `python -m http.server`.

Its large answers and pipelining are in test_relay_server.py.
"""

import contextlib
import http.client
import os
import pathlib
import re
import socket as stdlib_socket
import subprocess
import sys

import pytest

from fastsock.commands import http_files
from tests.conftest import TIMEOUT_S, requires_program
from tests.network import has_ipv6
from tests.serving import receive_all
from tests.test_relay_server import command


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder to be served, and a secret beside it."""
    beside = tmp_path_factory.mktemp("site")
    (beside / "secret").write_text("secret")
    folder = beside / "folder"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "index.html").write_text("front page")
    (folder / "sub" / "index.html").write_text("page of sub")
    (folder / "file").write_text("file")
    (folder / "a b+c&d").write_text("spaces")
    (folder / "\u00fc").write_text("umlaut")
    (folder / "circle").symlink_to("circle")
    (folder / "out").symlink_to(beside)
    (folder / "within").symlink_to("file")
    (folder / "odd").mkdir()
    (folder / "odd" / "index.html").symlink_to(beside / "secret")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture(scope="module")
def ours(site):
    with command("http", site, "--listen", "127.0.0.1:0") as (_, port):
        yield port


@pytest.fixture(scope="module")
def stdlibs(site):
    """http.server, on the stdlib's sockets."""
    with subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "http.server", "--bind", "127.0.0.1",
             "--directory", site, "0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield int(process.stdout.readline().split(" port ")[1].split()[0])
        finally:
            process.terminate()


def get(port, path, method="GET"):
    """(status, Location, body)"""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    with contextlib.closing(client):
        client.putrequest(method, path, skip_accept_encoding=True)
        client.endheaders()
        answer = client.getresponse()
        return answer.status, answer.getheader("Location"), answer.read()


@pytest.mark.parametrize("path", [
    "/", "/index.html", "/sub/", "/sub", "/sub?a=b", "/sub/?a=b", "/sub/deep", "/file", "/file?x",
    "/file#x", "/within", "/none", "/file/", "/index.html/x", "/circle", "/" + 300 * "a",
    "/" + 300 * "a" + "/b", "/sub/" + 300 * "%61", "/" + 3000 * "b/", "/a%20b+c&d", "/%C3%BC",
    "//file", "//[", "/%2e%2e/secret", "/../secret", "/sub/../file"])
def test_paths_as_the_stdlib_has_them(ours, stdlibs, path):
    status, location, body = get(ours, path)
    expected_status, expected_location, expected_body = get(stdlibs, path)
    assert (status, location) == (expected_status, expected_location)
    if status == 200:
        assert body == expected_body
    else:
        assert body.startswith(b"%d " % status)


@pytest.mark.parametrize("path, status", [
    ("/sub/deep/", 404),                        # no list of files is made
    ("/out", 404), ("/out/secret", 404), ("/odd/", 404), ("/pipe", 404),
    ("/a%00b", 400)])
def test_what_is_not_served(ours, path, status):
    assert get(ours, path) == (status, None, get(ours, path)[2])


@pytest.mark.parametrize("path, location", [
    ("/sub", "/sub/"), ("/odd?q=1", "/odd/?q=1"), ("//sub", "/sub/"), ("///sub", "/sub/"),
    ("/%73ub", "/sub/"), ("/sub/../sub", "/sub/../sub/")])
def test_a_folder_without_its_slash(ours, path, location):
    # Never "//sub/", which would be another host.
    assert get(ours, path)[:2] == (301, location)


@pytest.mark.parametrize("path, status, size", [
    ("/", 200, 10), ("/none", 404, 14), ("/sub", 301, 22), ("/%00", 400, 16)])
def test_head_has_no_body(ours, path, status, size):
    request = f"HEAD {path} HTTP/1.1\r\n\r\nGET /file HTTP/1.1\r\nConnection: close\r\n\r\n"
    with stdlib_socket.create_connection(("127.0.0.1", ours), TIMEOUT_S) as client:
        client.sendall(request.encode())
        first, second, body = receive_all(client).split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status) and b"Content-Length: %d" % size in first
    assert second.startswith(b"HTTP/1.1 200 ") and body == b"file"


def test_a_path_in_raw_bytes(ours):
    with stdlib_socket.create_connection(("127.0.0.1", ours), TIMEOUT_S) as client:
        client.sendall("GET /\u00fc HTTP/1.0\r\n\r\n".encode())
        assert receive_all(client).endswith(b"\r\n\r\numlaut")


def test_a_name_that_is_not_utf_8(ours, site):
    path = pathlib.Path(os.fsdecode(os.fsencode(site) + b"/caf\xe9"))
    try:
        path.write_text("latin")
    except OSError:
        pytest.skip("names are UTF-8 here")
    assert get(ours, "/caf%E9") == (200, None, b"latin")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0)
    with pytest.raises(http_files.Refused) as caught:
        http_files.open_below(tmp_path, "/file", True)
    assert caught.value.status == 404


@requires_program("curl")
def test_curl_follows(ours):
    result = subprocess.run(
        ["curl", "-q", "-sS", "--fail", "-L", "--noproxy", "*", "--max-time", str(int(TIMEOUT_S)),
         f"http://127.0.0.1:{ours}/sub"], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("page of sub", "")


# -- the log ---------------------------------------------------------------------------------------

LINE = re.compile(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(.*)" (.*)')


def test_each_request_is_logged(site):
    log = []
    with command("http", site, "--listen", "127.0.0.1:0", log=log) as (_, port):
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\nHEAD /file HTTP/1.1\r\n\r\nGET /sub HTTP/1.1\r\n\r\n"
                           b"PUT /x HTTP/1.1\r\n\r\nGET /none HTTP/1.0\r\n\r\n")
            receive_all(client)
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            client.sendall(b'not "HTTP" \x1b[31m\xff\\\n127.0.0.1 - -\r\n\r\n')
            receive_all(client)
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            client.sendall(b"x" * 20_000)
            receive_all(client)
    assert [LINE.fullmatch(line).groups() for line in log] == [
        ("GET / HTTP/1.1", "200 10"), ("HEAD /file HTTP/1.1", "200 -"),
        ("GET /sub HTTP/1.1", "301 22"), ("PUT /x HTTP/1.1", "405 23"),
        ("GET /none HTTP/1.0", "404 14"),
        (r"not \x22HTTP\x22 \x1b[31m\xff\x5c\x0a127.0.0.1 - -", "400 16"), ("-", "431 36")]


def test_the_log_of_a_path(site, tmp_path):
    log = []
    with command("http", site, "--listen", tmp_path / "s", log=log) as (_, path), \
            stdlib_socket.socket(stdlib_socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(path)
        client.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        assert receive_all(client).endswith(b"file")
    assert re.fullmatch(r'- - - \[.*\] "GET /file HTTP/1.0" 200 4', *log)


def test_a_log_that_nobody_reads(site):
    log = []
    with command("http", site, "--listen", "127.0.0.1:0", log=log) as (process, port):
        os.close(os.dup(process.stderr.fileno()))
        process.stderr.close()
        process.stderr = open(os.devnull)
        assert get(port, "/file") == get(port, "/file") == (200, None, b"file")
    assert log == []


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("listen, shown", [
    ("[::1]:0", ["[::1]"]), (":0", ["0.0.0.0", "[::]"]), ("127.0.0.1:0", ["127.0.0.1"])])
@pytest.mark.parametrize("what", [["http", "."], ["echo"], ["relay", None, "127.0.0.1:1"]],
                         ids=lambda what: what[0])
def test_where_it_listens(what, listen, shown):
    arguments = [listen if each is None else each for each in what]
    if None not in what:
        arguments += ["--listen", listen]
    with command(*arguments) as (process, port):
        # command() has read the first line.
        rest = [process.stdout.readline() for _ in shown[1:]]
    assert rest == [f"listening on {host}:{port}\n" for host in shown[1:]]
