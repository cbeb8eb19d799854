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
    from typing import Any, Literal, TypedDict, Unpack, overload

    from fastsock._addresses import _Given, _Place
    from fastsock._framing import Framing
    from fastsock._handler import _BatchHandler, _Handler
    from fastsock._server import _Options
    from fastsock._socket_class import socket
    from fastsock._workers import _Ready, _Where

__all__ = ["HandlerServer", "current_connection", "serve"]


class HandlerServer(BaseServer):
    """A server whose messages go to a function: what serve() runs.

    Parameters
    ----------
    handler, address, framing, batch
        As of serve().
    **options
        As of Server.
    """

    def __init__(self, handler: _Handler | _BatchHandler, address: _Place = None, *,
                 framing: Framing | None = None, batch: bool = False,
                 **options: Unpack[_Options]) -> None:
        check_options("HandlerServer", options, ("handler", "address", "framing", "batch"))
        if framing is not None:
            from fastsock._framing import Framing
            if not isinstance(framing, Framing):
                raise TypeError("framing must be one of fastsock.framing, such as Lines(), "
                                f"not {framing!r}")
        self._service = Service(handler, framing, bool(batch))
        super().__init__(address, make_connection=self._service.new_connection, **options)
        if batch:
            self._loop.call_at_wake_up(self._service.answer_batch)

    def serve_forever(self) -> None:
        """As Server's."""
        self._service.run(super().serve_forever)


if TYPE_CHECKING:
    @overload
    def serve(handler: _Handler, address: _Place = None, *, framing: Framing | None = None,
              workers: int = 1, batch: Literal[False] = False, grace: float = 10.0,
              on_ready: _Ready | None = None, **options: Unpack[_Options]) -> None: ...
    @overload
    def serve(handler: _BatchHandler, address: _Place = None, *, framing: Framing | None = None,
              workers: int = 1, batch: Literal[True], grace: float = 10.0,
              on_ready: _Ready | None = None, **options: Unpack[_Options]) -> None: ...


def serve(handler: _Handler | _BatchHandler, address: _Place = None, *,
          framing: Framing | None = None, workers: int = 1, batch: bool = False,
          grace: float = 10.0, on_ready: _Ready | None = None,
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
    batch : bool
        `handler` takes a list of messages, all that one wake-up of the loop brought from
        all connections, and returns a list of as many answers. If it raises, all these
        connections are closed.
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

    Thread safety: with one worker it runs in any thread, and heeds SIGTERM in the main
    thread; several need the main thread.
    """
    check_options("serve", options, ("handler", "address", "framing", "workers", "batch",
                                     "grace", "on_ready"))
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers!r}")
    if not grace >= 0:
        raise ValueError(f"grace must be 0 or more seconds, not {grace!r}")

    def make_server(**where: Unpack[_Where]) -> HandlerServer:
        return HandlerServer(  # type: ignore[misc]  # no name is in both
            handler, framing=framing, batch=batch, **where, **options)

    if workers > 1:
        from fastsock import _workers
        _workers.run(make_server, workers, address, options.pop("sock", None),
                     backlog=options.get("backlog", 1024),
                     unix_mode=options.get("unix_mode", OWNER_ALONE), grace_s=grace, on_ready=on_ready)
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
