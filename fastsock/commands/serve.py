"""`python -m fastsock serve`: an echo server, files over HTTP, or a relay, from the shell."""

from __future__ import annotations

import argparse
import logging
import pathlib
import sys

import fastsock
from fastsock._address_forms import parsed, shown
from fastsock._serve import shutting_down_on_sigterm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict

    class _Limits(TypedDict):
        """The options that all commands have, as keywords of Server."""

        idle_timeout: float
        busy_poll_us: int
        max_connections: int

DESCRIPTION = ("Run a server until Ctrl-C or SIGTERM. An address is HOST:PORT, [IPV6]:PORT, "
               "[IPV6%INTERFACE]:PORT, :PORT for all addresses of this machine, or a path with "
               "a slash.")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastsock serve", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parents = [limits_parser()]
    echo = commands.add_parser("echo", parents=parents, help="send back whatever arrives")
    http = commands.add_parser("http", parents=parents, help="serve the files of a folder (a "
                               "worked example, not a web server to deploy)")
    http.add_argument("folder", metavar="DIR", type=pathlib.Path)
    http.add_argument("--quiet", action="store_true",
                      help="do not log the requests to standard error")
    for command, port in ((echo, 7007), (http, 8000)):
        command.add_argument("--listen", metavar="ADDRESS", type=address,
                             default=("127.0.0.1", port),
                             help=f"where to listen (default: 127.0.0.1:{port})")
    echo.add_argument("--workers", type=int, default=1, metavar="N",
                      help="processes (default: 1)")
    relay = commands.add_parser("relay", parents=parents,
                                help="pass connections on to another address")
    relay.add_argument("listen", metavar="LISTEN", type=address)
    relay.add_argument("connect", metavar="CONNECT", type=address)
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(message)s")
    limits: _Limits = {"idle_timeout": options.idle_timeout, "busy_poll_us": options.busy_poll_us,
                       "max_connections": options.max_connections}
    try:
        run(options, limits)
    except BrokenPipeError:  # of standard output: see __main__
        raise
    except (OSError, ValueError) as error:
        print(f"python -m fastsock serve {options.command}: error: {error}", file=sys.stderr)
        return 2
    return 0


def limits_parser() -> argparse.ArgumentParser:
    """The options that all commands have."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--idle-timeout", type=float, default=300.0, metavar="SECONDS",
                        help="end connections on which nothing happens (default: 300)")
    parser.add_argument("--max-connections", type=int, default=10_000, metavar="N",
                        help="accept no more while there are so many (default: 10,000)")
    parser.add_argument("--busy-poll-us", type=int, default=0, metavar="N",
                        help="look for so long before each sleep (default: 0)")
    parser.add_argument("--grace", type=float, default=10.0, metavar="SECONDS",
                        help="time for connections to end after SIGTERM (default: 10)")
    return parser


def run(options: argparse.Namespace, limits: _Limits) -> None:
    if options.command == "echo":
        fastsock.serve(echo_back, options.listen, workers=options.workers, grace=options.grace,
                       on_ready=announce, **limits)
        return
    if options.command == "http":
        from fastsock.commands.http_files import FileProtocol, log_to_stderr
        log = None if options.quiet else log_to_stderr
        folder = options.folder.resolve()
        if not folder.is_dir():
            raise ValueError(f"{options.folder} is no folder")
        server: fastsock.Server | fastsock.Relay = fastsock.Server(
            lambda: FileProtocol(folder, log), options.listen, **limits)
    else:
        server = fastsock.Relay(options.listen, options.connect, **limits)
    with server, shutting_down_on_sigterm(server, options.grace):
        announce(server.addresses)
        server.serve_forever()


def echo_back(message: bytes) -> bytes:
    return message


def announce(addresses: list[Any]) -> None:
    """Print where it listens."""
    for one in addresses:
        print(f"listening on {shown(one)}", flush=True)


def address(text: str) -> tuple[str, int] | str:
    """Return an address for argparse, which replaces the text of a ValueError by its own."""
    try:
        return parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
