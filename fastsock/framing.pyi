from _typeshed import ReadableBuffer
from fastsock import FramingError as FramingError
from fastsock import IncompleteReadError as IncompleteReadError
from fastsock import LimitOverrunError as LimitOverrunError

class Framing:
    limit: int
    def encode(self, payload: ReadableBuffer, /) -> bytes: ...
    def feed(self, data: ReadableBuffer, /) -> list[bytes]: ...
    def feed_eof(self) -> None: ...

class Lines(Framing):
    delimiter: bytes
    def __init__(self, delimiter: ReadableBuffer = b"\n", *, limit: int = 65536) -> None: ...

class LengthPrefix(Framing):
    format: str
    includes_header: bool
    def __init__(
        self, format: str = "!I", *, limit: int | None = None, includes_header: bool = False
    ) -> None: ...

class Varint(Framing):
    def __init__(self, *, limit: int = 16777216) -> None: ...

class Netstring(Framing):
    def __init__(self, *, limit: int = 16777216) -> None: ...

class Fixed(Framing):
    def __init__(self, size: int) -> None: ...
    @property
    def size(self) -> int: ...
