from _typeshed import ReadableBuffer
from typing import SupportsIndex
from typing_extensions import disjoint_base

from fastsock._exceptions import FramingError as FramingError
from fastsock._exceptions import IncompleteReadError as IncompleteReadError
from fastsock._exceptions import LimitOverrunError as LimitOverrunError

@disjoint_base
class Framing:
    @property
    def limit(self) -> int: ...
    def encode(self, payload: ReadableBuffer, /) -> bytes: ...
    def feed(self, data: ReadableBuffer, /) -> list[bytes]: ...
    def feed_eof(self) -> None: ...

@disjoint_base
class Lines(Framing):
    def __init__(
        self, delimiter: ReadableBuffer = b"\n", *, limit: SupportsIndex = 65536
    ) -> None: ...
    @property
    def delimiter(self) -> bytes: ...
