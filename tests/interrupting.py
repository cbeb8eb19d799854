"""A call that sleeps in the kernel, and is interrupted there by a signal whose handler changes
something: what then becomes of it.

The call is seen to sleep, so no test has to guess. Its loop repeats it after the handler
(PEP 475), so that it always meets the state that was changed, on the stdlib's sockets as on ours.
"""

import contextlib
import signal
import socket as stdlib_socket
import threading

import pytest

from tests.conftest import TIMEOUT_S
from tests.network import has_ipv6
from tests.stress._peers import sleeps, until
from tests.workers import needs_to_see_sleepers

#: What the tests need that use this, as their `pytestmark`.
marks = [needs_to_see_sleepers, pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signal handlers run in the main thread only")]

MOMENT_S = 0.05
FAMILIES = ["unix stream", "unix dgram", "tcp", "udp"] + (["tcp6", "udp6"] if has_ipv6() else [])
STREAMS = [family for family in FAMILIES if "stream" in family or "tcp" in family]


@contextlib.contextmanager
def connected(module, family, timeout=None):
    """Two connected sockets of the module; the first has the timeout."""
    kind = stdlib_socket.SOCK_DGRAM if "dgram" in family or "udp" in family else (
        stdlib_socket.SOCK_STREAM)
    if family.startswith("unix"):
        a, b = module.socketpair(stdlib_socket.AF_UNIX, kind)
    else:
        a, b = inet_pair(module, kind, family.endswith("6"))
    with a, b:
        a.settimeout(timeout)
        b.settimeout(TIMEOUT_S)
        yield a, b


def inet_pair(module, kind, is_6):
    family, host = (module.AF_INET6, "::1") if is_6 else (module.AF_INET, "127.0.0.1")
    with contextlib.ExitStack() as opened:
        a, b = (opened.enter_context(module.socket(family, kind)) for _ in range(2))
        b.bind((host, 0))
        if kind == stdlib_socket.SOCK_DGRAM:
            a.bind((host, 0))
            b.connect(a.getsockname())
        else:
            b.listen()
        a.connect(b.getsockname())
        if kind == stdlib_socket.SOCK_STREAM:
            with b:
                b, _ = b.accept()
        opened.pop_all()
        return a, b


def interrupted(call, change, finish, spins=False):
    """Call it here; once it sleeps, a signal's handler makes the change. After that another
    thread calls `finish`: when the call sleeps again or has ended, or, if it `spins`, at once."""
    changed, over = threading.Event(), threading.Event()
    main = threading.get_native_id()

    def handle(number, frame):
        if not over.is_set():
            change()
        changed.set()

    def watch():
        until(lambda: over.is_set() or sleeps(main), "the call's sleep")
        if over.is_set():
            return
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        if changed.wait(TIMEOUT_S):
            until(lambda: spins or over.is_set() or sleeps(main), "the call's second sleep")
            finish()

    before = signal.signal(signal.SIGUSR1, handle)
    watcher = threading.Thread(target=watch)
    try:
        watcher.start()
        try:
            return call()
        finally:
            over.set()
            watcher.join(TIMEOUT_S)
    finally:
        signal.signal(signal.SIGUSR1, before)


def outcome(*arguments, **keywords):
    """What interrupted() returned, or the class of what it raised."""
    try:
        return interrupted(*arguments, **keywords)
    except Exception as error:
        return type(error)


def spins_after(module, timeouts):
    """Does a call of this module that blocked repeat without sleeping once they were set?

    The stdlib's does, where it has a timeout then; with 0 it ends.
    """
    return module is stdlib_socket and timeouts[-1] != 0


def set_timeouts(sock, timeouts):
    """A function that sets them, one after the other."""
    def change():
        for timeout in timeouts:
            sock.settimeout(timeout)
    return change


def into(receive):
    """What receives into a buffer, as bytes."""
    buffer = bytearray(9)
    found = receive(buffer)
    return bytes(buffer[:found if isinstance(found, int) else found[0]])


#: The stdlib's receives; each returns bytes, at most 9.
RECEIVERS = {
    "recv": lambda sock: sock.recv(9),
    "recv with a flag": lambda sock: sock.recv(9, stdlib_socket.MSG_WAITALL),
    "recv_into": lambda sock: into(sock.recv_into),
    "recvfrom": lambda sock: sock.recvfrom(9)[0],
    "recvfrom_into": lambda sock: into(sock.recvfrom_into),
    "recvmsg": lambda sock: sock.recvmsg(9)[0],
    "recvmsg_into": lambda sock: into(lambda buffer: sock.recvmsg_into([buffer])),
}
DATA = b"the data\n"


def receive_and_change(receive, sock, peer, timeouts, is_sent=True):
    """What becomes of a receive during which the timeouts are set, and then data is sent."""
    module = stdlib_socket if type(sock) is stdlib_socket.socket else None
    return outcome(lambda: receive(sock), set_timeouts(sock, timeouts),
                   (lambda: peer.send(DATA)) if is_sent else lambda: None,
                   spins=spins_after(module, timeouts))
