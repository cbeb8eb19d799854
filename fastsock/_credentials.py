"""What peer_credentials() returns."""

from typing import NamedTuple


class PeerCredentials(NamedTuple):
    """The process at the other end of an AF_UNIX connection."""

    pid: int
    uid: int
    gid: int
