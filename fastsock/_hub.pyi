import ssl
from collections.abc import Callable
from typing import Any, Protocol, final
from typing_extensions import disjoint_base

from fastsock._loop import Loop, Watched

# What asyncio.Protocol and asyncio.BufferedProtocol have in common. Any: asyncio's name
# for the type of the transport, which is not asyncio's class.
class _ServerProtocol(Protocol):
    def connection_made(self, transport: Any, /) -> object: ...
    def connection_lost(self, error: Exception | None, /) -> object: ...

@final
class Hub:
    def __init__(
        self, loop: Loop, make_connection: Callable[[], Connection], *,
        max_connections: int, high_water: int,
        make_protocol: Callable[[], _ServerProtocol] | None = None,
        ssl_context: ssl.SSLContext | None = None, handshake_timeout_s: float = 60.0,
    ) -> None: ...
    @property
    def connections(self) -> int: ...
    @property
    def outgoing(self) -> int: ...
    def for_outgoing(
        self, make_protocol: Callable[[], _ServerProtocol], ssl_context: ssl.SSLContext | None,
        server_hostname: str | None, waiter: object,
    ) -> Hub: ...
    def never_began(self) -> None: ...
    def call_when_room(self, function: Callable[[], object]) -> None: ...

@disjoint_base
class Connection(Watched): ...
