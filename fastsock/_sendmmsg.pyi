from _socket import _Address
from _typeshed import ReadableBuffer
from collections.abc import Iterable
from typing_extensions import disjoint_base

from fastsock._batch import DatagramBatch
from fastsock._socket_class import socket

_Data = ReadableBuffer | list[bytes] | list[bytearray] | list[memoryview] | list[ReadableBuffer]

@disjoint_base
class Outgoing: ...

def sendmmsg(
    self: socket, messages: Iterable[_Data | tuple[_Data, _Address | None]], flags: int = 0
) -> int: ...
def sendmmsg_from(self: socket, batch: DatagramBatch, /, flags: int = 0) -> int: ...
