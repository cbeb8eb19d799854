from _typeshed import ReadableBuffer
from collections.abc import Callable, Iterable
from typing import Any
from typing_extensions import disjoint_base

from fastsock._framing import Framing
from fastsock._handler import HandlerTransport

_Answer = ReadableBuffer | Iterable[ReadableBuffer] | None
_Handler = Callable[[bytes], _Answer]
_BatchHandler = Callable[[list[bytes]], Iterable[_Answer]]
_OnConnect = Callable[[HandlerTransport], None]
_OnDisconnect = Callable[[HandlerTransport, BaseException | None], object]

@disjoint_base
class Service:
    def __init__(
        self, handler: _Handler | _BatchHandler, framing: Framing | None,
        on_connect: _OnConnect | None = None, on_disconnect: _OnDisconnect | None = None,
    ) -> None: ...
    def run(self, function: Callable[..., object], *arguments: Any) -> None: ...

def check_function(what: str, function: object, /) -> None: ...
def current_connection() -> HandlerTransport: ...
