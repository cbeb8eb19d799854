"""Where a server listens: addresses, inherited sockets, systemd's.

Job: listening, non-blocking sockets out of what the caller gave. Each belongs to the
server from then on.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket

from fastsock._address_forms import checked, resolved
from fastsock._socket_class import adopt, socket
from fastsock._unix_paths import listener, paths_of, refusal, remove_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol, TypeVar

    from fastsock._address_forms import _Address

    _T_co = TypeVar("_T_co", covariant=True)

    class _List(Protocol[_T_co]):
        """A list that is not changed, so that one of a narrower type will do, too."""

        def __iter__(self) -> Iterator[_T_co]: ...
        def reverse(self) -> None: ...

    _Place = _Address | _List[_Address] | None
    _Given = stdlib_socket.socket | _List[stdlib_socket.socket] | None

FIRST_PASSED_FD = 3  # SD_LISTEN_FDS_START
OWNER_ALONE = 0o600


def listening_sockets(address: _Place, *, sock: _Given = None, backlog: int,
                      reuse_port: bool = False, unix_mode: int = OWNER_ALONE) -> list[socket]:
    """Open sockets for one or several addresses, or take the given ones.

    Parameters
    ----------
    address : tuple, str, bytes, list of these, or None
        (host, port), also with a host of "" or None (all of this machine's, IPv4 and
        IPv6); (host, port, flowinfo, scope_id), of IPv6; or a path, of AF_UNIX.
    sock : socket.socket or list of these, optional
        Bound sockets, for instance inherited ones.
    backlog : int
        Connections that wait to be accepted.
    reuse_port : bool
        SO_REUSEPORT.
    unix_mode : int
        Permissions of a path: who may write to it may connect.

    Returns
    -------
    list of fastsock.socket

    Raises
    ------
    ValueError, TypeError, OSError
    """
    if (address is None) == (sock is None):
        if sock is not None:
            raise ValueError("give an address or sock, not both")
        sock = systemd_sockets()
        if not sock:
            raise ValueError("there is nothing to listen on: give an address such as "
                             "('127.0.0.1', 8000) or a path, or sock=, or have systemd pass "
                             "sockets (LISTEN_FDS)")
    if sock == [] or address == []:
        raise ValueError("there is nothing to listen on: the list is empty")
    if sock is not None:
        given = sock if isinstance(sock, list) else [sock]  # the list is a _List, if any
        return [_taken(one, backlog) for one in given]  # type: ignore[arg-type]
    assert address is not None  # since sock is
    sockets: list[socket] = []
    try:
        for one in address if isinstance(address, list) else [address]:
            # As with sock, only a list is a _List.
            sockets += _opened(one, backlog, reuse_port, unix_mode)  # type: ignore[arg-type]
    except BaseException:
        remove_paths(paths_of(sockets))
        for opened in sockets:
            opened.close()
        raise
    return sockets


def systemd_sockets() -> list[socket]:
    """The sockets that systemd passed to this process: sd_listen_fds(3).

    Returns
    -------
    list of fastsock.socket
        Empty if there are none, or they are for another process.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    passed = []
    for fd in range(FIRST_PASSED_FD, FIRST_PASSED_FD + count):
        os.set_inheritable(fd, False)
        passed.append(socket(fileno=fd))
    return passed


def _taken(sock: stdlib_socket.socket, backlog: int) -> socket:
    if not isinstance(sock, stdlib_socket.socket):
        raise TypeError(f"sock must be a socket, not {type(sock).__name__!r}")
    if sock.type != stdlib_socket.SOCK_STREAM:
        raise ValueError(f"a server needs a SOCK_STREAM socket, and this one is {sock.type!r}")
    return _listening(adopt(sock), backlog)


def _opened(given: _Address, backlog: int, reuse_port: bool, unix_mode: int) -> list[socket]:
    address = checked(given)
    if isinstance(address, (str, bytes)):
        return [_at_path(address, backlog, unix_mode)]
    found = resolved(address, stdlib_socket.AI_PASSIVE)
    sockets: list[socket] = []
    absent: OSError | None = None
    try:
        for family, type_, proto, _, sockaddr in dict.fromkeys(found):
            if address[1] == 0 and sockets:  # the port that the first got, in the other family too
                sockaddr = (sockaddr[0], sockets[0].getsockname()[1], *sockaddr[2:])
            try:
                sock = socket(family, type_, proto)
            except OSError as error:
                if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
                    absent = error
                    continue
                raise
            sockets.append(sock)
            sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEPORT, 1)
            if family == stdlib_socket.AF_INET6:
                sock.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, 1)
            try:
                sock.bind(sockaddr)
                _listening(sock, backlog)  # this, too, may find the address in use
            except OSError as error:
                refused = refusal(error, sockaddr)
                if error.errno != errno.EADDRNOTAVAIL:
                    raise refused from None
                # A name is often both ::1 and 127.0.0.1 where there is but one of them.
                absent = refused
                sockets.pop().close()
        if absent is not None and not sockets:
            raise absent
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _at_path(path: str | bytes, backlog: int, unix_mode: int) -> socket:
    sock = listener(path, unix_mode)
    try:
        return _listening(sock, backlog)
    except BaseException as error:
        remove_paths(paths_of([sock]))
        sock.close()
        if isinstance(error, OSError):
            raise refusal(error, path) from None
        raise


def _listening(sock: socket, backlog: int) -> socket:
    sock.setblocking(False)
    if sock.family != stdlib_socket.AF_UNIX:
        # Accepted sockets inherit it, so that it costs no call a connection.
        sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
    sock.listen(backlog)
    return sock
