"""Relay: a TCP proxy on the loop. What a connection does is in _relay_front."""

from __future__ import annotations

import functools
import socket as stdlib_socket

from fastsock._address_forms import checked, resolved
from fastsock._relay_front import new_connection
from fastsock._server import BaseServer, check_positive, check_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Unpack

    from fastsock._address_forms import _Address
    from fastsock._addresses import _Place
    from fastsock._server import _PlainOptions


class Relay(BaseServer):
    """A proxy: each connection to `listen` is passed on to `connect`, both ways.

        with fastsock.Relay(("0.0.0.0", 8000), ("10.0.0.7", 80)) as proxy:
            proxy.serve_forever()

    Parameters
    ----------
    listen : tuple, str, bytes, list of these, or None
        As `address` of Server.
    connect : tuple, str or bytes
        (host, port) or (host, port, flowinfo, scope_id), resolved once, now; each of its
        addresses is tried in turn. Or the path of an AF_UNIX socket.
    connect_timeout : float
        Seconds for connecting, all addresses together.
    **options
        As of Server, without ssl_context: sock, max_connections, idle_timeout, backlog,
        busy_poll_us, reuse_port, unix_mode, use_poll.

    Bytes are copied through one buffer, and where a connection moves much by splice(2).
    A half-closed connection is half-closed on the other side. Only an end that was received is
    passed on as one: a reset, a target that can't be connected to, `idle_timeout` and shutdown()
    reset what is not through.
    """

    def __init__(self, listen: _Place = None, connect: _Address | None = None, *,
                 connect_timeout: float = 10.0, **options: Unpack[_PlainOptions]) -> None:
        check_options("Relay", options, ("listen", "connect", "connect_timeout"),
                      refused=("ssl_context", "ssl_handshake_timeout", "write_high_water"))
        check_positive(connect_timeout=connect_timeout)
        self._moved = [0, 0]
        super().__init__(listen, make_connection=functools.partial(
            new_connection, _targets(connect), float(connect_timeout), self._moved), **options)

    @property
    def bytes_relayed(self) -> tuple[int, int]:
        """(to the target, from it): bytes of the connections that have ended."""
        forth, back = self._moved
        return forth, back


def _targets(connect: _Address | None) -> list[tuple[int, Any]]:
    """[(family, address)] of where to connect to."""
    address = checked(connect, "connect")
    if isinstance(address, (str, bytes)):
        return [(stdlib_socket.AF_UNIX, address)]
    if address[1] == 0:
        raise ValueError(f"connect needs a port above 0, and {address!r} has none")
    return [(family, sockaddr) for family, _, _, _, sockaddr in resolved(address)]
