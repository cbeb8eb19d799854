import socket as _stdlib
import sys
from _socket import _Address
from fastsock import framing as framing
from fastsock import select as select
from fastsock import selectors as selectors
from fastsock._addresses import systemd_sockets as systemd_sockets
from fastsock._batch import DatagramBatch as DatagramBatch
from fastsock._batch import TruncatedDatagram as TruncatedDatagram
from fastsock._connect import create_connection as create_connection
from fastsock._exceptions import FramingError as FramingError
from fastsock._exceptions import IncompleteReadError as IncompleteReadError
from fastsock._exceptions import LimitOverrunError as LimitOverrunError
from fastsock._file_class import SocketIO as SocketIO
from fastsock._install import install as install
from fastsock._install import uninstall as uninstall
from fastsock._methods import socketpair as socketpair
from fastsock._packet_info import PacketInfo as PacketInfo
from fastsock._relay import relay as relay
from fastsock._relay_server import Relay as Relay
from fastsock._serve import serve as serve
from fastsock._serve import serve_batches as serve_batches
from fastsock._server import Server as Server
from fastsock._socket_class import adopt as adopt
from fastsock._socket_class import socket as socket
from fastsock._busy_poll import set_busy_poll as set_busy_poll
from fastsock._service import current_connection as current_connection
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
SO_PASSRIGHTS: int
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

# Bluetooth's, which type checkers leave out of the star: not every interpreter has them.
from socket import (
    AF_BLUETOOTH as AF_BLUETOOTH, BDADDR_ANY as BDADDR_ANY, BDADDR_LOCAL as BDADDR_LOCAL,
    BTPROTO_HCI as BTPROTO_HCI, BTPROTO_L2CAP as BTPROTO_L2CAP,
    BTPROTO_RFCOMM as BTPROTO_RFCOMM, BTPROTO_SCO as BTPROTO_SCO, HCI_DATA_DIR as HCI_DATA_DIR,
    HCI_FILTER as HCI_FILTER, HCI_TIME_STAMP as HCI_TIME_STAMP, SOL_HCI as SOL_HCI,
)
if sys.version_info >= (3, 14):
    from socket import (
        BDADDR_BREDR as BDADDR_BREDR, BDADDR_LE_PUBLIC as BDADDR_LE_PUBLIC,
        BDADDR_LE_RANDOM as BDADDR_LE_RANDOM, BT_CHANNEL_POLICY as BT_CHANNEL_POLICY,
        BT_CHANNEL_POLICY_BREDR_ONLY as BT_CHANNEL_POLICY_BREDR_ONLY,
        BT_CHANNEL_POLICY_BREDR_PREFERRED as BT_CHANNEL_POLICY_BREDR_PREFERRED,
        BT_CODEC as BT_CODEC, BT_DEFER_SETUP as BT_DEFER_SETUP,
        BT_FLUSHABLE as BT_FLUSHABLE, BT_FLUSHABLE_OFF as BT_FLUSHABLE_OFF,
        BT_FLUSHABLE_ON as BT_FLUSHABLE_ON, BT_ISO_QOS as BT_ISO_QOS, BT_MODE as BT_MODE,
        BT_MODE_BASIC as BT_MODE_BASIC, BT_MODE_ERTM as BT_MODE_ERTM,
        BT_MODE_EXT_FLOWCTL as BT_MODE_EXT_FLOWCTL,
        BT_MODE_LE_FLOWCTL as BT_MODE_LE_FLOWCTL, BT_MODE_STREAMING as BT_MODE_STREAMING,
        BT_PHY as BT_PHY, BT_PHY_BR_1M_1SLOT as BT_PHY_BR_1M_1SLOT,
        BT_PHY_BR_1M_3SLOT as BT_PHY_BR_1M_3SLOT, BT_PHY_BR_1M_5SLOT as BT_PHY_BR_1M_5SLOT,
        BT_PHY_EDR_2M_1SLOT as BT_PHY_EDR_2M_1SLOT,
        BT_PHY_EDR_2M_3SLOT as BT_PHY_EDR_2M_3SLOT,
        BT_PHY_EDR_2M_5SLOT as BT_PHY_EDR_2M_5SLOT,
        BT_PHY_EDR_3M_1SLOT as BT_PHY_EDR_3M_1SLOT,
        BT_PHY_EDR_3M_3SLOT as BT_PHY_EDR_3M_3SLOT,
        BT_PHY_EDR_3M_5SLOT as BT_PHY_EDR_3M_5SLOT, BT_PHY_LE_1M_RX as BT_PHY_LE_1M_RX,
        BT_PHY_LE_1M_TX as BT_PHY_LE_1M_TX, BT_PHY_LE_2M_RX as BT_PHY_LE_2M_RX,
        BT_PHY_LE_2M_TX as BT_PHY_LE_2M_TX, BT_PHY_LE_CODED_RX as BT_PHY_LE_CODED_RX,
        BT_PHY_LE_CODED_TX as BT_PHY_LE_CODED_TX, BT_PKT_STATUS as BT_PKT_STATUS,
        BT_POWER as BT_POWER, BT_POWER_FORCE_ACTIVE_OFF as BT_POWER_FORCE_ACTIVE_OFF,
        BT_POWER_FORCE_ACTIVE_ON as BT_POWER_FORCE_ACTIVE_ON, BT_RCVMTU as BT_RCVMTU,
        BT_SECURITY as BT_SECURITY, BT_SECURITY_FIPS as BT_SECURITY_FIPS,
        BT_SECURITY_HIGH as BT_SECURITY_HIGH, BT_SECURITY_LOW as BT_SECURITY_LOW,
        BT_SECURITY_MEDIUM as BT_SECURITY_MEDIUM, BT_SECURITY_SDP as BT_SECURITY_SDP,
        BT_SNDMTU as BT_SNDMTU, BT_VOICE as BT_VOICE,
        BT_VOICE_CVSD_16BIT as BT_VOICE_CVSD_16BIT,
        BT_VOICE_TRANSPARENT as BT_VOICE_TRANSPARENT,
        BT_VOICE_TRANSPARENT_16BIT as BT_VOICE_TRANSPARENT_16BIT,
        HCI_CHANNEL_CONTROL as HCI_CHANNEL_CONTROL,
        HCI_CHANNEL_LOGGING as HCI_CHANNEL_LOGGING,
        HCI_CHANNEL_MONITOR as HCI_CHANNEL_MONITOR, HCI_CHANNEL_RAW as HCI_CHANNEL_RAW,
        HCI_CHANNEL_USER as HCI_CHANNEL_USER, HCI_DEV_NONE as HCI_DEV_NONE,
        L2CAP_LM as L2CAP_LM, L2CAP_LM_AUTH as L2CAP_LM_AUTH,
        L2CAP_LM_ENCRYPT as L2CAP_LM_ENCRYPT, L2CAP_LM_MASTER as L2CAP_LM_MASTER,
        L2CAP_LM_RELIABLE as L2CAP_LM_RELIABLE, L2CAP_LM_SECURE as L2CAP_LM_SECURE,
        L2CAP_LM_TRUSTED as L2CAP_LM_TRUSTED, SOL_BLUETOOTH as SOL_BLUETOOTH,
        SOL_L2CAP as SOL_L2CAP, SOL_RFCOMM as SOL_RFCOMM, SOL_SCO as SOL_SCO,
    )

from fastsock._connect import create_connection as create_connection
from fastsock._file_class import SocketIO as SocketIO
from fastsock._methods import socketpair as socketpair
from fastsock._socket_class import socket as socket

create_server = _create_server
fromfd = _fromfd
