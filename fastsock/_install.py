"""install() and uninstall(): the whole program on fastsock, and back.

Job: `socket.socket` becomes fastsock's class, and with it all that the stdlib
builds by that name: create_connection, http.client, socketserver, asyncio, ... The
selectors of `selectors` become fastsock's too.

Rule: nothing is patched but names of the `socket` and `selectors` modules, and
uninstall() puts the very objects back.
"""

import os
import selectors as stdlib_selectors
import sys
import types

from fastsock import functions
from fastsock._file_class import SocketIO
from fastsock._socket_class import socket, stdlib_class, stdlib_socket

_REPLACEMENTS = {
    (stdlib_socket, "socket"): socket,
    (stdlib_socket, "socketpair"): functions.socketpair,
    (stdlib_socket, "SocketIO"): SocketIO,
}
_SELECTORS = ("SelectSelector", "PollSelector", "EpollSelector", "DefaultSelector")
_originals: dict[tuple[types.ModuleType, str], object] = {}


def install() -> bool:
    """Make the `socket` module create fastsock sockets from now on.

    Modules that took the class by `from socket import socket` before keep the
    stdlib's, and are named in one RuntimeWarning: install first, import then.
    Does nothing if it is installed already, or if FASTSOCK_DISABLE=1 is set.

    Returns
    -------
    bool
        Is it installed now?

    Raises
    ------
    RuntimeError
        Where gevent or eventlet has patched sockets: theirs must not block the
        thread, and ours do.
    """
    if os.environ.get("FASTSOCK_DISABLE") == "1":
        return False
    if _originals:
        return True
    _refuse_green_sockets()
    from fastsock import selectors  # not where it is refused: made of what was patched
    replacements = {**_REPLACEMENTS, **{
        (stdlib_selectors, name): getattr(selectors, name)
        for name in _SELECTORS if hasattr(stdlib_selectors, name)}}
    for (module, name), replacement in replacements.items():
        _originals[module, name] = getattr(module, name)
        setattr(module, name, replacement)
    early = _modules_with_the_old_class()
    if early:
        import warnings
        warnings.warn(
            "fastsock.install() came after these modules had taken socket.socket, and they "
            f"go on using the stdlib's: {', '.join(early)}. Call it before importing them, "
            "or start the program by: python -m fastsock run",
            RuntimeWarning, stacklevel=2)
    return True


def uninstall() -> None:
    """Put the stdlib's class and functions back. Sockets that exist stay as they are."""
    while _originals:
        (module, name), original = _originals.popitem()
        setattr(module, name, original)


def _refuse_green_sockets() -> None:
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("socket"):
        patched_by = "gevent"
    elif eventlet is not None and eventlet.is_monkey_patched("socket"):
        patched_by = "eventlet"
    elif stdlib_socket.socket is not stdlib_class:
        patched_by = f"another library (it is {stdlib_socket.socket!r})"
    else:
        return
    raise RuntimeError(
        f"fastsock.install() can't replace socket.socket: it was replaced by {patched_by}. "
        "Use one of the two; fastsock.socket itself can be used beside it, and blocks the thread")


def _modules_with_the_old_class() -> list[str]:
    """Names of the modules, but socket itself and ours, that hold the stdlib's class."""
    holders = []
    for name, module in list(sys.modules.items()):
        if name == "__main__" or name.split(".")[0] == "fastsock" or module is stdlib_socket:
            continue
        values = list(getattr(module, "__dict__", {}).values())
        if any(value is stdlib_class for value in values):
            holders.append(name)
    return sorted(holders)
