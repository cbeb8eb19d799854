from _typeshed import ReadableBuffer
from collections.abc import Callable, Iterable
from typing import Literal, final, overload

from fastsock._exceptions import FramingError as FramingError
from fastsock._exceptions import LimitOverrunError as LimitOverrunError
from fastsock._framing import Framing
from fastsock._transport_methods import ServerTransport

_Answer = ReadableBuffer | Iterable[ReadableBuffer] | None
_Handler = Callable[[bytes], _Answer]
_BatchHandler = Callable[[list[bytes]], Iterable[_Answer]]

@final
class Service:
    def __init__(
        self, handler: _Handler | _BatchHandler, framing: Framing | None, batch: bool
    ) -> None: ...
    def new_connection(self) -> HandlerTransport: ...
    def run(self, function: Callable[[], object]) -> None: ...
    def answer_batch(self) -> None: ...

@final
class HandlerTransport(ServerTransport):
    def resume(self) -> None: ...

def current_connection() -> HandlerTransport: ...
