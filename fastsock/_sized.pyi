from typing import SupportsIndex
from typing_extensions import disjoint_base

from fastsock._framing import Framing

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
