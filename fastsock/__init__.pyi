import socket as _stdlib
from _typeshed import ReadableBuffer, WriteableBuffer
from collections.abc import Iterable
from socket import *
from socket import AddressFamily, SocketKind
from typing import Any

__version__: str

class socket(_stdlib.socket):
    def accept_many(self, limit: int = 1024, /) -> list[tuple[socket, Any]]: ...
    def recv_exactly(self, size: int, /) -> bytes: ...
    def recv_exactly_into(self, buffer: WriteableBuffer, /) -> int: ...
    def sendmsg_all(self, buffers: Iterable[ReadableBuffer], flags: int = 0, /) -> None: ...
    def set_spin(self, microseconds: int, /) -> None: ...

class SocketIO(_stdlib.SocketIO): ...

class IncompleteReadError(EOFError):
    partial: bytes
    expected: int
    def __init__(self, partial: bytes, expected: int) -> None: ...

def create_connection(
    address: tuple[str | None, int], timeout: float | None = ...,
    source_address: tuple[str, int] | None = None, *, all_errors: bool = False,
    happy_eyeballs_delay: float | None = None, deadline: float | None = None,
) -> socket: ...
def set_default_spin(microseconds: int, /) -> None: ...
def stats(*, reset: bool = False) -> dict[str, Any]: ...

def adopt(sock: _stdlib.socket) -> socket: ...
def install() -> bool: ...
def uninstall() -> None: ...
def socketpair(
    family: AddressFamily | int | None = None, type: SocketKind | int = ..., proto: int = 0
) -> tuple[socket, socket]: ...

# Of these, the ones that the interpreter lacks come from the system's headers; a
# platform may lack some.
UDP_CORK: int
UDP_SEGMENT: int
UDP_GRO: int
SOL_UDP: int
SO_REUSEPORT: int
SO_RXQ_OVFL: int
SO_PEEK_OFF: int
SO_BUSY_POLL: int
SO_MAX_PACING_RATE: int
SO_INCOMING_CPU: int
SO_INCOMING_NAPI_ID: int
SO_COOKIE: int
SO_PEERGROUPS: int
SO_ZEROCOPY: int
SO_TXTIME: int
SO_PREFER_BUSY_POLL: int
SO_BUSY_POLL_BUDGET: int
SO_TIMESTAMP: int
SO_TIMESTAMPNS: int
SO_TIMESTAMPING: int
SCM_TIMESTAMP: int
SCM_TIMESTAMPNS: int
SCM_TIMESTAMPING: int
SCM_TXTIME: int
MSG_WAITFORONE: int
MSG_BATCH: int
MSG_ZEROCOPY: int
MSG_FASTOPEN: int
IP_PKTINFO: int
IP_RECVERR: int
IP_MTU: int
IP_FREEBIND: int
IP_MULTICAST_ALL: int
IP_LOCAL_PORT_RANGE: int
IPV6_MTU: int
IPV6_RECVERR: int
IPV6_FREEBIND: int
TCP_SAVE_SYN: int
TCP_SAVED_SYN: int
TCP_ULP: int
TCP_FASTOPEN_KEY: int
TCP_ZEROCOPY_RECEIVE: int
TCP_INQ: int
TCP_TX_DELAY: int
