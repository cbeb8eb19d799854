import socket as _stdlib
from _socket import _Address
from fastsock import framing as framing
from fastsock import select as select
from fastsock import selectors as selectors
from fastsock._addresses import passed_sockets as passed_sockets
from fastsock._batch import DatagramBatch as DatagramBatch
from fastsock._batch import TruncatedDatagram as TruncatedDatagram
from fastsock._connect import create_connection as create_connection
from fastsock._exceptions import FramingError as FramingError
from fastsock._exceptions import IncompleteReadError as IncompleteReadError
from fastsock._exceptions import LimitOverrunError as LimitOverrunError
from fastsock._file_class import SocketIO as SocketIO
from fastsock._handler import current_connection as current_connection
from fastsock._install import install as install
from fastsock._install import uninstall as uninstall
from fastsock._methods import socketpair as socketpair
from fastsock._packet_info import PacketInfo as PacketInfo
from fastsock._relay import relay as relay
from fastsock._relay_server import Relay as Relay
from fastsock._serve import serve as serve
from fastsock._server import Server as Server
from fastsock._socket_class import adopt as adopt
from fastsock._socket_class import socket as socket
from fastsock._spin import set_default_spin as set_default_spin
from fastsock._stats import stats as stats
from fastsock._stream import Stream as Stream
from typing import SupportsIndex

__version__: str

def _create_server(
    address: _Address, *, family: int = ..., backlog: int | None = None,
    reuse_port: bool = False, dualstack_ipv6: bool = False,
) -> socket: ...
def _fromfd(
    fd: SupportsIndex, family: _stdlib.AddressFamily | int, type: _stdlib.SocketKind | int,
    proto: int = 0,
) -> socket: ...

create_server = _create_server
fromfd = _fromfd

# Of these, the ones that the interpreter lacks come from the system's headers; a
# platform may lack some.
UDP_CORK: int
UDP_SEGMENT: int
UDP_GRO: int
SO_RXQ_OVFL: int
SO_PEEK_OFF: int
SO_BUSY_POLL: int
SO_MAX_PACING_RATE: int
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
IP_PKTINFO: int
IP_RECVERR: int
IP_MTU: int
IP_FREEBIND: int
IP_MULTICAST_ALL: int
IP_LOCAL_PORT_RANGE: int
IP_RECVTTL: int
MCAST_JOIN_GROUP: int
MCAST_LEAVE_GROUP: int
MCAST_JOIN_SOURCE_GROUP: int
MCAST_LEAVE_SOURCE_GROUP: int
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

# Everything else is the interpreter's. What is ours stands on both sides of the star:
# mypy heeds the first definition of a name, other checkers the last.
from socket import *  # type: ignore[assignment]  # ours are other objects

from fastsock._connect import create_connection as create_connection
from fastsock._file_class import SocketIO as SocketIO
from fastsock._methods import socketpair as socketpair
from fastsock._socket_class import socket as socket

create_server = _create_server
fromfd = _fromfd
