"""Listening at AF_UNIX paths: whose a path is, when it is replaced, and its removal.

Rules: a path is replaced only if it is a socket that no process has open. Servers that
start in the same folder are serialised by a lock on that folder: what one of them found
stale is still stale when it is removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket as stdlib_socket
import stat
import time

from fastsock._socket_class import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    #: An absolute path, and (st_dev, st_ino) of what was bound there.
    _Bound = tuple[str, tuple[int, int] | None]

logger = logging.getLogger("fastsock.server")

LOCK_ATTEMPTS = 100
LOCK_PAUSE_S = 0.01


def listener(path: str | bytes, unix_mode: int) -> socket:
    """Return a socket bound to a path or an abstract address, of these permissions.

    Raises
    ------
    OSError
        EADDRINUSE also where something else than a stale socket is at the path.
    """
    sock = socket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_STREAM)
    try:
        if path[:1] in ("", b"", "\0", b"\0"):
            sock.bind(path)
            return sock
        # Linux makes the file with the permissions of the socket's own inode, less
        # the umask: at no time is it open to others. Other systems refuse this.
        with contextlib.suppress(OSError):
            os.fchmod(sock.fileno(), unix_mode)
        with locked(os.path.dirname(path)):
            bind(sock, path)
        try:
            os.chmod(path, unix_mode)  # what the umask took; and before anyone can connect
        except BaseException:
            remove_paths(paths_of([sock]))
            raise
        return sock
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise refusal(error, path) from None
        raise


def bind(sock: socket, path: str | bytes) -> None:
    """Bind to a path; a stale socket there is removed."""
    try:
        sock.bind(path)
        return
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    if reason := reason_to_keep(path):
        raise OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)} ({reason})")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    sock.bind(path)


def reason_to_keep(path: str | bytes) -> str:
    """Return why what is at a path can't be replaced; "" for a stale socket, or nothing."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return "what is there is not a socket"
    except FileNotFoundError:
        return ""
    # SOCK_DGRAM first: where a process has a socket of another kind bound, listening or
    # not, that is EPROTOTYPE, and no server sees a connection. Kernels that refuse it for
    # that reason too are asked once more. EAGAIN: its backlog is full.
    for kind in (stdlib_socket.SOCK_DGRAM, stdlib_socket.SOCK_STREAM):
        with socket(stdlib_socket.AF_UNIX, kind) as probe:
            probe.setblocking(False)
            outcome = probe.connect_ex(path)
            if outcome in (errno.EACCES, errno.EPERM):
                return "it can't be found out whether a process has this socket open: " + (
                    os.strerror(outcome))
            if outcome not in (errno.ECONNREFUSED, errno.ENOENT):
                return "a process has this socket open"
    return ""


@contextlib.contextmanager
def locked(folder: str | bytes) -> Iterator[None]:
    """Hold an flock(2) on a folder, if that can be had within a second.

    Any process may hold it as long as it likes, and some file systems have none: it only
    keeps servers that start at the same time apart.
    """
    try:
        fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # bind() reports what is wrong with it
        yield
        return
    try:
        for _ in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOCK_PAUSE_S)
                continue
            except OSError:
                pass
            break
        yield
    finally:
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)  # a child of a fork() in between has it open, too
        finally:
            os.close(fd)


def paths_of(sockets: Iterable[socket]) -> list[_Bound]:
    """Return the paths that sockets are bound to, absolute, for remove_paths().

    To be called before the process can change its working directory.
    """
    names = [sock.getsockname() for sock in sockets
             if sock.family == stdlib_socket.AF_UNIX and sock.fileno() >= 0]
    return [(absolute(name), inode_of(name)) for name in names if isinstance(name, str) and name]


def remove_paths(paths: list[_Bound]) -> None:
    """Remove what paths_of() found, unless something else is there now.

    To be called before the sockets are closed: no server replaces the path until then. A path
    that can't be removed, as by a process that gave up its privileges, is logged: it must not
    keep a server from its end.
    """
    for path, inode in paths:
        if inode is not None and inode == inode_of(path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                logger.warning("the path %r can't be removed: %s", path, error)


def absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:  # the working directory was removed, and all that was in it
        return path


def inode_of(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def refusal(error: OSError, address: object) -> OSError:
    """Return an exception of the same errno with the address in its text."""
    text = f"can't listen on {address!r}: {error.strerror or error}"
    return OSError(text) if error.errno is None else OSError(error.errno, text)
