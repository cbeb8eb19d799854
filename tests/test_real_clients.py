"""Clients that people use, unchanged, on fastsock's sockets, against real servers.

Each client runs in a process of its own by `fastsock run` and asserts there that its
sockets are fastsock's; what it got from the server it prints, and is checked here.
"""

import hashlib
import json

import pytest

from tests.servers import PEERS, pattern


@pytest.fixture
def client(python):
    """Run a client of tests/peers on fastsock; what it printed, decoded."""
    def run(script, *arguments):
        return json.loads(
            python("-m", "fastsock", "run", PEERS / script, *arguments).stdout)
    return run


@pytest.mark.parametrize("way", ["TCP", "unix"])
def test_redis(client, redis_server, way):
    pytest.importorskip("redis")
    where = ["127.0.0.1", redis_server.port] if way == "TCP" else [redis_server.path]
    assert client("redis_client.py", *where) == {
        "get": b"\x00\xffvalue".hex(), "large_is_same": True, "pipeline": sum(range(500)),
        "subscribed": "subscribe", "receivers": 1, "heard": "hello",
        "error": "ResponseError", "timeout": "TimeoutError"}


@pytest.mark.parametrize("way", ["TCP", "unix"])
def test_postgresql(client, postgresql_server, way):
    pytest.importorskip("pg8000")
    server = postgresql_server
    path = [f"{server.path}/.s.PGSQL.{server.port}"] if way == "unix" else []
    assert client("postgresql_client.py", server.port, server.password, *path) == {
        "rows": 1000, "rows_are_right": True, "error": "42P01", "large": 3_000_000,
        "wrong_password": "28P01"}


def test_memcached(client, memcached_server):
    pytest.importorskip("pymemcache")
    assert client("memcached_client.py", memcached_server.port) == {
        "get": "value", "missing": None, "not_set": [], "many_are_same": True,
        "large_is_same": True, "count": [6, 11, 16]}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", ["requests", "urllib3", "http.client", "urllib.request"])
def test_web_client(client, request, name, scheme):
    if name in ("requests", "urllib3"):
        pytest.importorskip(name)
    if scheme == "https":
        server = request.getfixturevalue("secure_web_server")
        authority = [request.getfixturevalue("certificates").authority]
    else:
        server, authority = request.getfixturevalue("web_server"), []
    found = client("web_clients.py", name, server, *authority)
    expected = pattern(20_000_000)
    assert found["download"] == f"{len(expected)} {hashlib.sha256(expected).hexdigest()}"
    assert found["upload"] == found["upload_expected"]
    if name != "urllib.request":  # which neither keeps connections nor sends chunks
        assert found["chunked"] == found["upload_expected"]
        assert len(found["ports"]) == 3
        assert len(set(found["ports"])) == 1, "the connection was not kept"


def test_smtplib(client, mail_server):
    assert client("stdlib_clients.py", "smtplib", mail_server.server_address[1]) == {}
    assert mail_server.messages == [
        b"Subject: hi\r\n\r\n..dots\r\n" + b"x" * 900 + b"\r\n"]


def test_ftplib(client, ftp_server):
    assert client("stdlib_clients.py", "ftplib", ftp_server.server_address[1]) == {
        "passive=True": True, "passive=False": True}
    assert set(ftp_server.files.values()) == {bytes(range(256)) * 4000}


def test_xmlrpc(client, xmlrpc_server):
    assert client("stdlib_clients.py", "xmlrpc", xmlrpc_server) == {"sum": 42, "fault": True}
