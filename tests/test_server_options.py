"""Options of servers: a misspelt one is reported with the name that was meant.

The text is that of CPython 3.13 for a function's own parameters, in all versions.
"""

import inspect
import subprocess
import sys

import pytest

import fastsock
from fastsock._serve import BatchServer, HandlerServer

from tests.serving import LOOPBACK, environment


def serve(**options):
    fastsock.serve(bytes, LOOPBACK, on_ready=pytest.fail, **options)


def serve_batches(**options):
    fastsock.serve_batches(bytes, LOOPBACK, on_ready=pytest.fail, **options)


def server(**options):
    fastsock.Server(pytest.fail, LOOPBACK, **options)


def relay(**options):
    fastsock.Relay(LOOPBACK, LOOPBACK, **options)


def handler_server(**options):
    HandlerServer(bytes, LOOPBACK, **options)


def batch_server(**options):
    BatchServer(bytes, LOOPBACK, **options)


MAKERS = {"serve": serve, "serve_batches": serve_batches, "Server": server, "Relay": relay,
          "HandlerServer": handler_server, "BatchServer": batch_server}
MISSPELT = [
    ("idle_timout", "idle_timeout"), ("max_conections", "max_connections"),
    ("busy_poll_ms", "busy_poll_us"), ("Backlog", "backlog"), ("reuse_ports", "reuse_port"),
    ("unix_modes", "unix_mode"), ("usepoll", "use_poll"), ("socks", "sock"),
]


def text(maker, **options):
    with pytest.raises(TypeError) as error:
        maker(**options)
    return str(error.value)


@pytest.mark.parametrize("wrong, right", MISSPELT)
@pytest.mark.parametrize("name", MAKERS)
def test_a_misspelt_option(name, wrong, right):
    assert text(MAKERS[name], **{wrong: 1}) == (
        f"{name}() got an unexpected keyword argument {wrong!r}. Did you mean {right!r}?")


@pytest.mark.parametrize("name, wrong, right", [
    ("serve", "frameing", "framing"), ("serve", "worker", "workers"), ("serve", "graze", "grace"),
    ("serve", "onready", "on_ready"), ("serve", "ssl_contex", "ssl_context"),
    ("HandlerServer", "frameing", "framing"), ("Server", "ssl_contex", "ssl_context"),
    ("Server", "adress", "address"), ("Relay", "connect_timout", "connect_timeout"),
    ("Relay", "conect", "connect"), ("Relay", "lisen", "listen")])
def test_a_misspelt_parameter_of_its_own(name, wrong, right):
    assert text(MAKERS[name], **{wrong: 1}) == (
        f"{name}() got an unexpected keyword argument {wrong!r}. Did you mean {right!r}?")


@pytest.mark.parametrize("option", ["zzz", "make_connection", "make_protocol"])
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_option(name, option):
    """Nor are those that a server gives its own base class."""
    assert text(MAKERS[name], **{option: 1}) == (
        f"{name}() got an unexpected keyword argument {option!r}")


@pytest.mark.parametrize("option", ["ssl_context", "write_high_water", "ssl_handshake_timeout"])
def test_what_a_relay_has_not(option):
    """And it does not suggest it."""
    assert text(relay, **{option: 1}) == (
        f"Relay() got an unexpected keyword argument {option!r}")
    assert option not in text(relay, **{option + "s": 1}).replace(option + "s", "")


def test_the_interpreters_own_text():
    if sys.version_info < (3, 13):
        pytest.skip("it has no suggestions")

    def like_ours(*, idle_timeout=None):
        pass

    assert text(like_ours, idle_timout=1).endswith(
        text(server, idle_timout=1).removeprefix("Server"))


@pytest.mark.parametrize("function, caller", [
    (fastsock.serve, serve), (fastsock.serve_batches, serve_batches), (fastsock.Relay, relay),
    (HandlerServer, handler_server), (BatchServer, batch_server)])
def test_all_parameters_are_suggested(function, caller):
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            assert text(caller, **{name + "_": 1}).endswith(f"Did you mean {name!r}?")


def test_options_that_are_right_import_nothing():
    subprocess.run([sys.executable, "-c", f"""
import sys, fastsock
fastsock.Server(print, {LOOPBACK}, idle_timeout=1, max_connections=1).close()
assert "difflib" not in sys.modules
"""], check=True, env=environment(), timeout=60)


@pytest.mark.parametrize("option", ["max_connections", "backlog", "idle_timeout",
                                    "write_high_water", "ssl_handshake_timeout"])
@pytest.mark.parametrize("value, error", [("5", TypeError), (b"", TypeError), ([], TypeError),
                                          (0, ValueError), (-1, ValueError),
                                          (float("nan"), ValueError)])
def test_a_value_that_is_none(option, value, error):
    with pytest.raises(error, match=f"^{option} must be (a number )?above 0, not ") as found:
        server(**{option: value})
    assert str(found.value).endswith(repr(value))
