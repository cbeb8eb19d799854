import ssl
from collections.abc import Callable
from typing import Any

from fastsock._loop import Loop, Watched

class Hub:
    loop: Loop
    ssl_context: ssl.SSLContext | None
    high_water: int
    low_water: int
    connections: int
    max_connections: int
    def __init__(
        self, loop: Loop, make_connection: Callable[[], Connection], *, max_connections: int,
        high_water: int, make_protocol: Callable[[], Any] | None = None,
        ssl_context: ssl.SSLContext | None = None, handshake_timeout_s: float = 60.0,
    ) -> None: ...
    def call_when_room(self, function: Callable[[], object]) -> None: ...

class Connection(Watched): ...
