"""Server.connect(): an outgoing connection on a server's loop.

Job: from an address to a connected fd, without blocking the loop; what becomes of it is
reported by a future. The connection itself is a transport like those that were accepted
(_protocol).

Rules: all happens in the loop's thread, but for the look-up of a name, which blocks and has a
thread of its own. The future is completed once, in every way that an attempt can end: the
attempt stays in `pending` until then, and the server completes what is left there when it
is closed. So an attempt that was never started, or interrupted, or whose look-up ends after
the loop is closed, completes as well.
"""

from __future__ import annotations

import concurrent.futures
import errno
import socket as stdlib_socket
import threading

from fastsock._address_forms import checked, resolved
from fastsock._listener import WhenWritable
from fastsock._protocol import begin_connection
from fastsock._socket_class import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from typing import Any

    from fastsock._address_forms import _Address
    from fastsock._hub import Hub, _ServerProtocol
    from fastsock._loop import Loop, TimerHandle
    from fastsock._protocol import ProtocolTransport

    _Target = tuple[int, Any]

RETRY_S = 0.02


class Outgoing:
    """Internal: one call of connect(), until its connection is open or has failed.

    Parameters
    ----------
    loop : Loop
    hub : Hub
        The server's.
    make_protocol : callable
    address : tuple, str, bytes or path-like
    ssl_context : ssl.SSLContext or None
    server_hostname : str or None
    timeout_s : float
    pending : set
        The caller adds this object; it is removed when the future is done.
    """

    def __init__(self, loop: Loop, hub: Hub, make_protocol: Callable[[], _ServerProtocol],
                 address: _Address, ssl_context: ssl.SSLContext | None,
                 server_hostname: str | None, timeout_s: float, pending: set[Outgoing]) -> None:
        self.future: concurrent.futures.Future[
            tuple[ProtocolTransport, Any]] = concurrent.futures.Future()
        self._targets = targets_of(address)
        self._loop = loop
        self._server_hub = hub
        self._for_hub = make_protocol, ssl_context, server_hostname
        self._address = address
        self._timeout_s = timeout_s
        self._pending = pending
        self._hub: Hub | None = None  # while the attempt has no transport
        self._is_started = False
        self._timer: TimerHandle | None = None
        self._watch: WhenWritable | None = None
        self._sock: socket | None = None
        self._transport: ProtocolTransport | None = None
        self._errors: list[Exception] = []
        self._ending: Exception | None = None
        self._is_settling = False

    # In the loop's thread.

    def start(self) -> None:
        """Begin, at a turn of the loop."""
        try:
            self._hub = self._server_hub.for_outgoing(*self._for_hub, self)
            self._is_started = True
            self.future.add_done_callback(self._done)
            self._timer = self._loop.call_later(self._timeout_s, self._time_is_over)
            if self._targets is not None:
                self._connect_next(iter(self._targets))
            else:
                threading.Thread(target=self._look_up, daemon=True,
                                 name="fastsock.Server.connect").start()
        except Exception as error:  # no memory, no thread
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End the attempt; a transport in its handshake is ended by others, with this error."""
        if self._hub is None and self._is_started:
            self._ending = error
            return
        hub, self._hub = self._hub, None
        try:
            self._leave()
            if hub is not None:
                hub.never_began()
        finally:
            self.settle(error)

    def settle(self, error: Exception) -> None:
        """Complete the future with an exception, unless it is done."""
        try:
            if not self.is_cancelled() and not self.future.done():
                self.future.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass  # two threads close the server
        finally:
            self._forget_if_done()

    # What a transport calls.

    def is_cancelled(self) -> bool:
        """Was the future cancelled? From now on it can't be."""
        if self._is_settling:
            return self.future.cancelled()
        self._is_settling = True
        return not self.future.set_running_or_notify_cancel()

    def opened(self, transport: ProtocolTransport, protocol: object) -> None:
        """connection_made() was called."""
        try:
            self.future.set_result((transport, protocol))
        finally:
            self._forget_if_done()

    def lost(self, reason: Exception | None) -> None:
        """The connection has ended without having been opened."""
        self.settle(reason or self._ending or ConnectionResetError(
            errno.ECONNRESET, "the connection was closed before it was established"))

    # Its steps.

    def _look_up(self) -> None:
        """Resolve a name, in a thread of its own."""
        try:
            found = look_up(self._address)
        except Exception as error:
            self._call_in_loop(self.fail, error)
        else:
            self._call_in_loop(self._connect_next, iter(found))

    def _connect_next(self, targets: Iterator[_Target]) -> None:
        """Try the next address; without one, fail."""
        if self._hub is None:
            return  # the time was over, or the future was cancelled
        for family, address in targets:
            if self._connect(family, address, targets):
                return
        self.fail(self._failure())

    def _connect(self, family: int, address: Any, targets: Iterator[_Target]) -> bool:
        """Begin to connect; False if that has failed already."""
        try:
            self._sock = sock = socket(family, stdlib_socket.SOCK_STREAM)
            sock.setblocking(False)
            error = sock.connect_ex(address)
            if family != stdlib_socket.AF_UNIX and error in (0, errno.EINPROGRESS):
                sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
            if error == errno.EAGAIN and family == stdlib_socket.AF_UNIX:
                # Its backlog is full. The kernel does not tell when that is over.
                self._drop_socket()
                again = iter([(family, address), *targets])
                self._loop.call_later(RETRY_S, self._connect_next, again)
                return True
            if error in (errno.EINPROGRESS, errno.EINTR):
                self._watch = WhenWritable(
                    self._loop, sock.fileno(), lambda: self._ready(sock, address, targets))
                return True
            if error == 0:
                self._begin(sock)
                return True
            self._errors.append(refusal(error, address))
        except Exception as problem:
            self._errors.append(problem)
        self._drop_socket()
        return False

    def _ready(self, sock: socket, address: Any, targets: Iterator[_Target]) -> None:
        """connect(2) has ended."""
        try:
            error = sock.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR)
            if error == 0:
                self._begin(sock)
            else:
                self._errors.append(refusal(error, address))
                self._drop_socket()
                self._connect_next(targets)
        except Exception as problem:  # no memory, the kernel watches no more fds
            self.fail(problem)

    def _begin(self, sock: socket) -> None:
        """Hand the connected socket to a transport, which counts from then on."""
        hub = self._hub
        self._stop_watching()
        self._sock = None
        try:
            # No attempt continues without a hub.
            self._transport = begin_connection(
                sock.detach(), hub, sock.family)  # type: ignore[arg-type]
        except (KeyboardInterrupt, SystemExit):  # of connection_made(): the transport lives on
            self._hub = None
            self._leave()
            raise
        self._hub = None
        self._leave()

    # The end.

    def _failure(self) -> Exception:
        """What asyncio's create_connection() raises when no address could be connected to."""
        if not self._errors:
            return OSError(errno.EADDRNOTAVAIL, f"no address was found for {self._address!r}")
        texts = [str(error) for error in self._errors]
        if len(set(texts)) == 1:
            return self._errors[0]
        return OSError(f"Multiple exceptions: {', '.join(texts)}")

    def _time_is_over(self) -> None:
        self.fail(TimeoutError(f"connecting took longer than {self._timeout_s} s"))

    def _done(self, future: concurrent.futures.Future[Any]) -> None:
        if future.cancelled():  # in any thread
            self._call_in_loop(self._cancelled)

    def _cancelled(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.fail(concurrent.futures.CancelledError())

    def _call_in_loop(self, function: Callable[..., object], *arguments: Any) -> None:
        """From another thread, which may be too late."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # the server is closed: it completes the future

    def _forget_if_done(self) -> None:
        if self.future.done():  # else KeyboardInterrupt came before: the server's end repeats it
            self._pending.discard(self)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _drop_socket(self) -> None:
        self._stop_watching()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _leave(self) -> None:
        self._drop_socket()
        if self._timer is not None:
            self._timer.cancel()


def targets_of(address: _Address) -> list[_Target] | None:
    """[(family, address)] of where to connect to; None if a name must be looked up first.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As of `_address_forms.checked()`.
    """
    place = checked(address)
    if isinstance(place, (str, bytes)):
        return [(stdlib_socket.AF_UNIX, place)]
    try:
        return look_up(place, stdlib_socket.AI_NUMERICHOST)
    except stdlib_socket.gaierror:
        return None


def look_up(address: Any, flags: int = 0) -> list[_Target]:
    """As targets_of(), for a checked tuple of host and port."""
    return [(family, sockaddr) for family, _, _, _, sockaddr in resolved(address, flags)]


def refusal(error: int, address: Any) -> OSError:
    """The exception of a connect(2) that failed, with asyncio's text."""
    return OSError(error, f"Connect call failed {address!r}")
