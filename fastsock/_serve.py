"""serve(): the shortest server, a function of messages.

Job: a server whose connections hand their messages to one function, in this process or
in several. What a connection does is in _handler; the processes are kept by _workers.
"""

from __future__ import annotations

import contextlib
import signal
import threading

from fastsock._addresses import OWNER_ALONE
from fastsock._handler import Service, current_connection
from fastsock._server import BaseServer, check_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar, TypedDict, Unpack

    from fastsock._addresses import _Given, _Place
    from fastsock._framing import Framing
    from fastsock._handler import _BatchHandler, _Handler
    from fastsock._server import _Options
    from fastsock._socket_class import socket
    from fastsock._workers import _Ready, _Where

__all__ = ["BatchServer", "HandlerServer", "current_connection", "serve", "serve_batches"]

OF_BOTH = ("handler", "address", "framing")
OF_SERVE = (*OF_BOTH, "workers", "grace", "on_ready")


class _MessageServer(BaseServer):
    """What HandlerServer and BatchServer have in common.

    Parameters
    ----------
    handler, address, framing
        As of serve().
    **options
        As of Server.
    """

    _takes_batches: ClassVar[bool]

    def __init__(self, handler: _Handler | _BatchHandler, address: _Place = None, *,
                 framing: Framing | None = None, **options: Unpack[_Options]) -> None:
        check_options(type(self).__name__, options, OF_BOTH)
        if framing is not None:
            from fastsock._framing import Framing
            if not isinstance(framing, Framing):
                raise TypeError("framing must be one of fastsock.framing, such as Lines(), "
                                f"not {framing!r}")
        self._service = Service(handler, framing, self._takes_batches)
        super().__init__(address, make_connection=self._service.new_connection, **options)
        if self._takes_batches:
            self._loop.call_at_wake_up(self._service.answer_batch)

    def serve_forever(self) -> None:
        """As Server's."""
        self._service.run(super().serve_forever)


class HandlerServer(_MessageServer):
    """A server whose messages go to a function: what serve() runs."""

    _takes_batches = False


class BatchServer(_MessageServer):
    """A server whose messages go to a function of many: what serve_batches() runs."""

    _takes_batches = True


def serve(handler: _Handler, address: _Place = None, *, framing: Framing | None = None,
          workers: int = 1, grace: float = 10.0, on_ready: _Ready | None = None,
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
    Thread safety: with one worker it runs in any thread, and heeds SIGTERM in the main
    thread; several need the main thread.
    """
    check_options("serve", options, OF_SERVE)

    def make_server(**where: Unpack[_Where]) -> HandlerServer:
        return HandlerServer(  # type: ignore[misc]  # no name is in both
            handler, framing=framing, **where, **options)

    _serve(make_server, address, workers, grace, on_ready, options)


def serve_batches(handler: _BatchHandler, address: _Place = None, *,
                  framing: Framing | None = None, workers: int = 1, grace: float = 10.0,
                  on_ready: _Ready | None = None, **options: Unpack[_Options]) -> None:
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
    address, framing, workers, grace, on_ready, **options
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
            handler, framing=framing, **where, **options)

    _serve(make_server, address, workers, grace, on_ready, options)


def _serve(make_server: Callable[..., BaseServer], address: _Place, workers: int, grace: float,
           on_ready: _Ready | None, options: _Options) -> None:
    """Make servers and run them: here, or in worker processes."""
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers!r}")
    if not grace >= 0:
        raise ValueError(f"grace must be 0 or more seconds, not {grace!r}")
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
