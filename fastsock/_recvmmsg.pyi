from typing import Any, Literal, SupportsIndex, overload

from fastsock._batch import DatagramBatch
from fastsock._socket_class import socket

@overload
def recvmmsg(
    self: socket, count: SupportsIndex, bufsize: SupportsIndex = 2048, flags: int = 0, *,
    ancillary: Literal[False] = False,
) -> list[tuple[bytes, Any]]: ...
@overload
def recvmmsg(
    self: socket, count: SupportsIndex, bufsize: SupportsIndex = 2048, flags: int = 0, *,
    ancillary: Literal[True],
) -> list[tuple[bytes, list[tuple[int, int, bytes]], int, Any]]: ...
def recvmmsg_into(
    self: socket, batch: DatagramBatch, /, flags: int = 0, *, ancillary: bool = False
) -> int: ...
