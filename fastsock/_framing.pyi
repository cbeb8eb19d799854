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

class Sized(Framing): ...

@disjoint_base
class LengthPrefix(Sized):
    def __init__(
        self, format: str = "!I", *, limit: SupportsIndex | None = None,
        includes_header: bool = False,
    ) -> None: ...
    @property
    def format(self) -> str: ...
    @property
    def includes_header(self) -> bool: ...

class Varint(Sized):
    def __init__(self, *, limit: SupportsIndex = 16777216) -> None: ...

class Netstring(Sized):
    def __init__(self, *, limit: SupportsIndex = 16777216) -> None: ...

class Fixed(Sized):
    def __init__(self, size: SupportsIndex) -> None: ...
    @property
    def size(self) -> int: ...
