"""serve(): the shortest server, a function of messages.

Job: a server whose connections hand their messages to one function, in this process or
in several. What a connection does is in _handler; the processes are kept by _workers.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import threading

from fastsock._addresses import OWNER_ALONE
from fastsock._batches import BatchService
from fastsock._handler import new_connection
from fastsock._server import BaseServer, check_options, check_values
from fastsock._service import Service, check_function, current_connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar, TypedDict, Unpack

    from fastsock._addresses import _Given, _Place
    from fastsock._framing import Framing
    from fastsock._server import _Options
    from fastsock._service import _BatchHandler, _Handler, _OnConnect, _OnDisconnect
    from fastsock._socket_class import socket
    from fastsock._workers import _Ready, _Where

__all__ = ["BatchServer", "HandlerServer", "current_connection", "serve", "serve_batches"]

OF_BOTH = ("handler", "address", "framing", "on_connect", "on_disconnect")
OF_SERVE = (*OF_BOTH, "workers", "grace", "on_ready")


class _MessageServer(BaseServer):
    """What HandlerServer and BatchServer have in common."""

    def __init__(self, service: Service, address: _Place, **options: Unpack[_Options]) -> None:
        self._service = service
        super().__init__(address, make_connection=functools.partial(new_connection, service),
                         **options)

    def serve_forever(self) -> None:
        """As Server's."""
        self._service.run(super().serve_forever)


class HandlerServer(_MessageServer):
    """A server whose messages go to a function: what serve() runs.

    Parameters
    ----------
    handler, address, framing, on_connect, on_disconnect
        As of serve().
    **options
        As of Server.
    """

    def __init__(self, handler: _Handler, address: _Place = None, *,
                 framing: Framing | None = None, on_connect: _OnConnect | None = None,
                 on_disconnect: _OnDisconnect | None = None,
                 **options: Unpack[_Options]) -> None:
        check_options("HandlerServer", options, OF_BOTH)
        super().__init__(Service(handler, _checked(framing), on_connect, on_disconnect),
                         address, **options)


class BatchServer(_MessageServer):
    """A server whose messages go to a function of many: what serve_batches() runs.

    Parameters
    ----------
    handler, address, framing, on_connect, on_disconnect
        As of serve_batches().
    **options
        As of Server.
    """

    def __init__(self, handler: _BatchHandler, address: _Place = None, *,
                 framing: Framing | None = None, on_connect: _OnConnect | None = None,
                 on_disconnect: _OnDisconnect | None = None,
                 **options: Unpack[_Options]) -> None:
        check_options("BatchServer", options, OF_BOTH)
        service = BatchService(handler, _checked(framing), on_connect, on_disconnect)
        super().__init__(service, address, **options)
        self._loop.call_at_wake_up(service.end_of_wake_up)


def _checked(framing: Framing | None) -> Framing | None:
    if framing is not None:
        from fastsock._framing import Framing
        if not isinstance(framing, Framing):
            raise TypeError("framing must be one of fastsock.framing, such as Lines(), "
                            f"not {framing!r}")
    return framing


def serve(handler: _Handler, address: _Place = None, *, framing: Framing | None = None,
          workers: int = 1, grace: float = 10.0, on_ready: _Ready | None = None,
          on_connect: _OnConnect | None = None, on_disconnect: _OnDisconnect | None = None,
          **options: Unpack[_Options]) -> None:
    """Serve until SIGTERM or KeyboardInterrupt: answer messages by a function.

        fastsock.serve(bytes.upper, ("127.0.0.1", 8000), framing=fastsock.framing.Lines())

    Parameters
    ----------
    handler : callable
        Called with each message, bytes. It returns the answer, an object with the buffer
        protocol; None for no answer; or an iterable of several. If it raises, that is
        logged and the connection closed. It must not block: all connections wait for it.
        A coroutine function is refused: there is no asyncio loop here.
    address : tuple, str, list, or None
        As of Server.
    framing : Framing, optional
        Where messages end, of fastsock.framing; answers are framed in the same way.
        None: a message is whatever arrived, up to 64 KiB.
    workers : int
        Processes, forked and kept alive by this one. Each has a listener of its own
        (SO_REUSEPORT; for AF_UNIX and `sock`, and on systems that would give all
        connections to one of them, they share one).
    grace : float
        Seconds that connections have after SIGTERM to send the rest of a message and
        read their answer.
    on_ready : callable, optional
        Called once with the list of addresses, when they are listened on.
    on_connect : callable, optional
        Called with each connection when it stands, with TLS after the handshake, and
        before its first message. It may keep the connection, call its send() and close(),
        and returns None. If it raises, that is logged and the connection closed.
    on_disconnect : callable, optional
        Called with a connection and a reason when the connection has ended: once for each
        that stood, behind the last call of `handler` for it, also where on_connect raised
        and where the server is closed. The reason is the exception that ended it, such as
        ConnectionResetError, TimeoutError, FramingError, IncompleteReadError (the peer's end
        came inside a message) or the handler's own. It is None for an orderly end, after
        abort(), and after SystemExit or KeyboardInterrupt of the handler. What it returns is ignored; if it raises, that is logged.
    **options
        As of Server: ssl_context, max_connections, idle_timeout, write_high_water,
        backlog, busy_poll_us, ...

    Raises
    ------
    ValueError, TypeError, OSError
        For what can't be served, before anything is.
    KeyboardInterrupt
        After SIGINT; the connections are closed then.

    See Also
    --------
    serve_batches : one call of the handler for many messages.

    Notes
    -----
    current_connection() returns the connection in `handler`, on_connect and on_disconnect.
    All three run in the server's thread; with several workers, in the process that has
    the connection. KeyboardInterrupt and SystemExit of any of them end serve().
    Thread safety: with one worker it runs in any thread, and heeds SIGTERM in the main
    thread; several need the main thread.
    """
    check_options("serve", options, OF_SERVE)

    def make_server(**where: Unpack[_Where]) -> HandlerServer:
        return HandlerServer(  # type: ignore[misc]  # no name is in both
            handler, framing=framing, on_connect=on_connect, on_disconnect=on_disconnect,
            **where, **options)

    _serve(make_server, address, workers, grace, on_ready, options)


def serve_batches(handler: _BatchHandler, address: _Place = None, *,
                  framing: Framing | None = None, workers: int = 1, grace: float = 10.0,
                  on_ready: _Ready | None = None, on_connect: _OnConnect | None = None,
                  on_disconnect: _OnDisconnect | None = None,
                  **options: Unpack[_Options]) -> None:
    """Serve as serve() does, with one call of the handler for many messages.

        def answer(messages):
            return [message.upper() for message in messages]

        fastsock.serve_batches(answer, ("127.0.0.1", 8000), framing=fastsock.framing.Lines())

    Parameters
    ----------
    handler : callable
        Called with a list of messages: all that one wake-up of the loop brought, from all
        connections. It returns an iterable of as many answers in the same order, each of
        them what a handler of serve() returns. If it raises, all these connections are
        closed.
    address, framing, workers, grace, on_ready, on_connect, on_disconnect, **options
        As of serve().

    Raises
    ------
    ValueError, TypeError, OSError, KeyboardInterrupt
        As serve().

    Notes
    -----
    current_connection() raises RuntimeError in the handler, whose messages are of many.
    Thread safety: as serve().
    """
    check_options("serve_batches", options, OF_SERVE)

    def make_server(**where: Unpack[_Where]) -> BatchServer:
        return BatchServer(  # type: ignore[misc]  # no name is in both
            handler, framing=framing, on_connect=on_connect, on_disconnect=on_disconnect,
            **where, **options)

    _serve(make_server, address, workers, grace, on_ready, options)


def _serve(make_server: Callable[..., BaseServer], address: _Place, workers: int, grace: float,
           on_ready: _Ready | None, options: _Options) -> None:
    """Make servers and run them: here, or in worker processes."""
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers!r}")
    try:
        is_grace = grace >= 0
    except TypeError:
        raise TypeError(f"grace must be 0 or more seconds, not {grace!r}") from None
    if not is_grace:
        raise ValueError(f"grace must be 0 or more seconds, not {grace!r}")
    if on_ready is not None:
        check_function("on_ready", on_ready)
    check_values(options)
    if workers > 1:
        from fastsock import _workers
        _workers.run(make_server, workers, address, options.pop("sock", None),
                     backlog=options.get("backlog", 1024),
                     unix_mode=options.get("unix_mode", OWNER_ALONE), grace_s=grace,
                     on_ready=on_ready)
        return
    with make_server(address=address) as server, shutting_down_on_sigterm(server, grace):
        if on_ready is not None:
            on_ready(server.addresses)
        server.serve_forever()


@contextlib.contextmanager
def shutting_down_on_sigterm(server: BaseServer, grace: float) -> Iterator[None]:
    """While inside, SIGTERM drains the server; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
    else:
        previous = signal.signal(signal.SIGTERM, lambda number, frame: server.shutdown(grace))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)
