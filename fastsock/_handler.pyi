from collections.abc import Callable
from typing import Any

from fastsock._framing import Framing
from fastsock._transport_methods import ServerTransport

class Service:
    def __init__(
        self, handler: Callable[[Any], Any], framing: Framing | None, batch: bool
    ) -> None: ...
    def new_connection(self) -> HandlerTransport: ...
    def answer_batch(self) -> None: ...

class HandlerTransport(ServerTransport):
    def resume(self) -> None: ...

def current_connection() -> HandlerTransport: ...
