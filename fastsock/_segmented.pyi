from _socket import _Address
from _typeshed import ReadableBuffer
from typing import SupportsIndex

from fastsock._socket_class import socket

def send_segmented(
    self: socket, data: ReadableBuffer, segment_size: SupportsIndex,
    address: _Address | None = None, /,
) -> int: ...
