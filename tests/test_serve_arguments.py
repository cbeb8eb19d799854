"""serve(): arguments that are refused before anything is served or forked."""

import socket

import pytest

import fastsock
from fastsock._serve import HandlerServer
from fastsock.framing import Lines

from tests.serving import LOOPBACK

async def coroutine(addresses):
    pytest.fail("it was awaited")


BAD = {
    "handler": (TypeError, None, {}), "framing": (TypeError, bytes.upper, {"framing": b"\n"}),
    "framing's class": (TypeError, bytes.upper, {"framing": Lines}),
    "unmade framing": (TypeError, bytes.upper, {"framing": Lines.__new__(Lines)}),
    "no workers": (ValueError, bytes.upper, {"workers": 0}),
    "fewer workers": (ValueError, bytes.upper, {"workers": -1}),
    "half a worker": (ValueError, bytes.upper, {"workers": 1.5}),
    "workers": (ValueError, bytes.upper, {"workers": "2"}),
    "grace": (ValueError, bytes.upper, {"grace": -1}),
    "no grace": (ValueError, bytes.upper, {"grace": float("nan")}),
    "grace's class": (TypeError, bytes.upper, {"grace": "x"}),
    "on_ready": (TypeError, bytes.upper, {"on_ready": 3}),
    "on_ready's kind": (TypeError, bytes.upper, {"on_ready": coroutine}),
    "permissions": (TypeError, bytes.upper, {"unix_mode": "660"}),
    "backlog": (TypeError, bytes.upper, {"backlog": 1.5}),
    "option": (TypeError, bytes.upper, {"no_such": 1}),
    "connections": (ValueError, bytes.upper, {"max_connections": 0}),
    "too many": (OverflowError, bytes.upper, {"max_connections": 10**30}),
    "half": (TypeError, bytes.upper, {"max_connections": 1.5}),
    "idle": (ValueError, bytes.upper, {"idle_timeout": 0}),
    "water": (ValueError, bytes.upper, {"write_high_water": 0}),
    "tls": (TypeError, bytes.upper, {"ssl_context": True}),
    "busy poll": (ValueError, bytes.upper, {"busy_poll_us": -1}),
    "address": (TypeError, bytes.upper, {"address": 80}),
    "host": (TypeError, bytes.upper, {"address": ("127.0.0.1",)}),
    "nothing": (ValueError, bytes.upper, {"address": None}),
    "elsewhere": (OSError, bytes.upper, {"address": ("192.0.2.1", 0)}),
    "no folder": (OSError, bytes.upper, {"address": "/nonexistent/socket"}),
}


@pytest.mark.parametrize("error, handler, options", BAD.values(), ids=BAD)
@pytest.mark.parametrize("workers", [{}, {"workers": 2}], ids=["alone", "workers"])
@pytest.mark.parametrize("serve", [fastsock.serve, fastsock.serve_batches])
def test_bad_arguments(error, handler, options, workers, serve):
    # Before anything is served or forked, and no descriptor is left (conftest looks).
    with pytest.raises(error):
        serve(handler, **{"address": LOOPBACK, "on_ready": pytest.fail,
                          **workers, **options})


@pytest.mark.parametrize("is_two", [False, True], ids=["one", "the second"])
def test_bad_addresses_of_workers(is_two):
    # What was opened for the others is closed again (conftest looks).
    with socket.create_server(LOOPBACK) as taken:
        address = [LOOPBACK, taken.getsockname()][1 - is_two:]
        with pytest.raises(OSError, match="can't listen on"):
            fastsock.serve(bytes.upper, address, workers=2, on_ready=pytest.fail)


def test_an_address_and_a_socket():
    with socket.socket() as sock, pytest.raises(ValueError, match="not both"):
        HandlerServer(bytes.upper, LOOPBACK, sock=sock)


@pytest.mark.parametrize("options, text", [
    ({"on_ready": 3}, "on_ready must be callable, not 'int'"),
    ({"on_ready": coroutine}, "on_ready must be a plain function, not the coroutine function"),
    ({"grace": "x"}, "grace must be 0 or more seconds, not 'x'"),
    ({"backlog": "5"}, "backlog must be a number above 0, not '5'"),
    ({"unix_mode": "660"}, "unix_mode must be an int, 0 to 0o777, not '660'"),
    ({"busy_poll_us": None}, "busy_poll_us must be an int, 0 to 1,000,000 microseconds, not None")])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_refused_never_listened(options, text, workers, monkeypatch):
    monkeypatch.setattr(fastsock.socket, "listen", lambda *given: pytest.fail("it listened"))
    for serve in fastsock.serve, fastsock.serve_batches:
        with pytest.raises(TypeError, match=text):
            serve(bytes.upper, LOOPBACK, workers=workers, **options)
