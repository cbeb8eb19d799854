"""Server: connections for asyncio's protocols, on a loop in the extension.

Job: what a server is made of, and its life: listening, serving, draining, the end. The
loop itself is _loop, a connection is _protocol.
"""

from __future__ import annotations

import posix
import sys
import threading
import weakref

from fastsock._addresses import OWNER_ALONE, listening_sockets
from fastsock._hub import Hub
from fastsock._listener import Listener
from fastsock._loop import Loop
from fastsock._protocol import new_connection
from fastsock._unix_paths import paths_of, remove_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Self, TypedDict, Unpack

    from concurrent.futures import Future

    from fastsock._address_forms import _Address
    from fastsock._addresses import _Given, _Place
    from fastsock._hub import Connection, _ServerProtocol
    from fastsock._loop import TimerHandle
    from fastsock._outgoing import Outgoing
    from fastsock._protocol import ProtocolTransport
    from fastsock._socket_class import socket

    class _PlainOptions(TypedDict, total=False):
        """Of every server: see Server."""

        sock: _Given
        backlog: int
        max_connections: int
        idle_timeout: float | None
        busy_poll_us: int
        reuse_port: bool
        unix_mode: int
        use_poll: bool

    class _Options(_PlainOptions, total=False):
        """Of servers that have TLS and wait for slow readers."""

        ssl_context: ssl.SSLContext | None
        ssl_handshake_timeout: float
        write_high_water: int


class BaseServer:
    """Listening sockets, a loop, and the connections on it. See Server and serve()."""

    def __init__(self, address: _Place = None, *, sock: _Given = None,
                 ssl_context: ssl.SSLContext | None = None,
                 ssl_handshake_timeout: float = 60.0, backlog: int = 1024,
                 max_connections: int = 10_000, idle_timeout: float | None = 300.0,
                 write_high_water: int = 65_536, busy_poll_us: int = 0, reuse_port: bool = False,
                 unix_mode: int = OWNER_ALONE, use_poll: bool = False, make_connection: Callable[[], Connection],
                 make_protocol: Callable[[], _ServerProtocol] | None = None) -> None:
        check_values({
            "max_connections": max_connections, "write_high_water": write_high_water,
            "backlog": backlog, "ssl_handshake_timeout": ssl_handshake_timeout,
            "idle_timeout": idle_timeout, "ssl_context": ssl_context, "unix_mode": unix_mode,
            "busy_poll_us": busy_poll_us})
        self._is_closed = True
        self._is_ending = False
        self._grace_s = 0.0  # said by shutdown()
        self._shutting_down = False
        # Held by serve_forever(). A plain lock: those of threading stay held where memory lacks.
        self._serving = threading.Lock()
        self._thread: int | None = None  # that runs serve_forever()
        self._closers: set[int] = set()  # threads that are in close()
        self._is_inherited = False
        self.sockets = listening_sockets(
            address, sock=sock, backlog=backlog, reuse_port=reuse_port, unix_mode=unix_mode)
        self._paths: list[tuple[str, tuple[int, int] | None]] = []
        self._listeners: list[Listener] = []
        self._outgoing: set[Outgoing] = set()  # that are being made
        loop: Loop | None = None
        try:
            # Those of `sock`, and of systemd, are removed by the one that bound them.
            self._paths = paths_of(self.sockets) if address is not None else []
            self._loop = loop = Loop(use_poll=use_poll)
            self._loop.set_idle_timeout(idle_timeout)
            self._loop.readiness.set_busy_poll(busy_poll_us)
            self._hub = Hub(self._loop, make_connection, max_connections=max_connections,
                            high_water=write_high_water, make_protocol=make_protocol,
                            ssl_context=ssl_context, handshake_timeout_s=ssl_handshake_timeout)
            for one in self.sockets:
                self._listeners.append(Listener(one, self._hub))
            self._hub.call_when_room(self._connection_ended)
            _servers.add(self)
        except BaseException:  # a number that does not fit, no fd left
            self._stop_listening()
            if loop is not None:  # it is part of a circle, which would keep its fds for long
                loop.close()
            raise
        self._is_closed = False

    # Life.

    def serve_forever(self) -> None:
        """Serve until shutdown() is called.

        Raises
        ------
        RuntimeError
            The server runs already, in this or another thread, or is closed.
        KeyboardInterrupt, SystemExit
            Of a signal handler or a callback. The connections stay as they are:
            serve_forever() goes on with them, close() ends them.
        """
        if self._is_closed:
            raise RuntimeError("this server is closed")
        if self._serving.locked():  # it is not this call that ends then
            raise RuntimeError("this server runs already")
        self._is_inherited = False  # whoever serves, removes the paths
        # In this order: close() in a signal handler must never wait for its own thread.
        self._thread = threading.get_ident()
        try:
            self._serving.acquire()  # KeyboardInterrupt may come here, too
            self._loop.run()
            self._end()
        finally:
            if self._serving.locked():
                self._serving.release()
            self._thread = None

    def shutdown(self, grace: float = 0.0) -> None:
        """End serve_forever(), from any thread or signal handler; returns at once.

        Listening ends, after what waits there was accepted. Then the connections are
        closed: at once, or with `grace` when they end by themselves or that time is over
        (those of serve() when their message is answered).

        Parameters
        ----------
        grace : float
            Seconds, 0 or more.

        Raises
        ------
        TypeError, ValueError
            For a `grace` that is not such a number.
        """
        try:
            is_duration = grace >= 0  # False for a NaN
        except TypeError:
            raise TypeError(f"grace must be 0 or more seconds, not {grace!r}") from None
        if not is_duration:
            raise ValueError(f"grace must be 0 or more seconds, not {grace!r}")
        self._grace_s = float(grace)
        try:
            self._loop.call_soon_threadsafe(self._begin_shutdown)
        except RuntimeError:
            pass  # the server is closed

    def close(self) -> None:
        """Close listening sockets and connections; a running server is shut down first.

        Waits for serve_forever(), or another close(), if that runs in another thread.
        """
        this_thread = threading.get_ident()
        if this_thread == self._thread or this_thread in self._closers:
            self.shutdown()  # a callback or a signal handler: the call that it is in ends it
            return
        self._closers.add(this_thread)
        try:
            if self._serving.locked():
                self.shutdown()
            with self._serving:
                self._end()  # nothing is left to do, unless an exception ended serve_forever()
        finally:
            self._closers.discard(this_thread)

    def _end(self) -> None:
        """Called with the lock held: callbacks and other threads may call close() meanwhile."""
        if self._is_closed:
            return
        # Each step may be repeated, where KeyboardInterrupt comes between.
        self._is_ending = True  # first: no attempt of connect() begins from now on
        self._stop_listening()
        for outgoing in list(self._outgoing):
            outgoing.fail(ConnectionAbortedError("the server was closed"))
        self._loop.end_all(silently=self._is_inherited)
        self._loop.close()
        # Another thread may have called connect() since. An attempt is in the set before it is
        # scheduled, and a closed loop schedules none: so no attempt is missed here.
        for outgoing in list(self._outgoing):
            outgoing.settle(ConnectionAbortedError("the server was closed"))
        self._is_closed = True

    def _begin_attempt(self, outgoing: Outgoing) -> None:
        """In the loop's thread, or in the one that ends the server."""
        if self._is_ending:
            outgoing.fail(ConnectionAbortedError("the server was closed"))
        else:
            outgoing.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _begin_shutdown(self) -> None:
        if self._shutting_down:
            if self._grace_s <= 0:
                self._loop.stop()  # whoever gave time before wants no more of it
            return
        self._shutting_down = True
        if self._grace_s > 0:
            for listener in self._listeners:
                listener.accept_rest()
        self._stop_listening()
        if self._grace_s > 0 and self.connection_count:
            self._loop.call_later(self._grace_s, self._loop.stop)
            self._loop.drain()
        if not self.connection_count or self._grace_s <= 0:
            self._loop.stop()

    def _connection_ended(self) -> None:
        if self._shutting_down:
            if not self.connection_count:
                self._loop.stop()
            return
        for listener in self._listeners:
            listener.resume()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        if not self._is_inherited:
            remove_paths(self._paths)
        self._paths = []
        for sock in self.sockets:
            sock.close()

    def _begin_again(self) -> None:
        """After fork(), in the child: a server that nobody runs, unless this thread does.

        What it listens on, and its connections, are in both processes; closing them here
        ends none of the parent's.
        """
        if self._is_closed:
            return
        is_running = self._thread == threading.get_ident()
        self._is_inherited = True
        self._closers &= {threading.get_ident()}
        self._serving = threading.Lock()
        if is_running:
            self._serving.acquire()
        else:
            self._thread = None
        self._loop.begin_again(is_running)

    # Callbacks.

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Have the server's thread call `callback`; from any thread or signal handler.

        Raises
        ------
        TypeError
            `callback` is not callable.
        RuntimeError
            The server is closed.
        """
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            raise RuntimeError("this server is closed") from None

    def call_later(self, delay: float, callback: Callable[..., object],
                   *arguments: Any) -> TimerHandle:
        """Have it called after `delay` seconds; from the server's thread, or before it runs.

        Returns
        -------
        TimerHandle
            With cancel(), cancelled() and when().

        Raises
        ------
        TypeError, ValueError
            `callback` is not callable, or `delay` is not a number.
        RuntimeError
            The server is closed.
        """
        try:
            return self._loop.call_later(delay, callback, *arguments)
        except RuntimeError:
            raise RuntimeError("this server is closed") from None

    @property
    def addresses(self) -> list[Any]:
        """Where it listens: what getsockname() says, a list."""
        return [sock.getsockname() for sock in self.sockets]

    @property
    def connection_count(self) -> int:
        """How many connections there are, with those of connect() and its attempts."""
        return self._hub.connections + self._hub.outgoing

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "running" if self._loop.is_running else "ready"
        return f"<{type(self).__name__} {state} connections={self.connection_count}>"


class Server(BaseServer):
    """A server for asyncio's protocols, with a loop of its own.

        with fastsock.Server(EchoProtocol, ("127.0.0.1", 8000)) as server:
            server.serve_forever()

    Parameters
    ----------
    protocol_factory : callable
        Returns an asyncio.Protocol or asyncio.BufferedProtocol, or what has their methods.
    address : tuple, str, bytes, list of these, or None
        (host, port), of IPv6 also (host, port, flowinfo, scope_id); a path, for AF_UNIX;
        several. None: `sock`, or what systemd passed (LISTEN_FDS). A path with a colon
        needs a slash ("./host:80") or is a ValueError; so is an empty one. A path on which a process
        has a socket open is an OSError (EADDRINUSE).
    sock : socket.socket or list of these, optional
        Bound sockets instead of an address; they belong to the server then.
    ssl_context : ssl.SSLContext, optional
        TLS, with ALPN and SNI as the context says.
    ssl_handshake_timeout : float
        Seconds.
    backlog : int
        Connections that may wait to be accepted: listen(2).
    max_connections : int
        While there are so many, no more are accepted.
    idle_timeout : float or None
        Seconds after which a connection is ended on which nothing was received, and
        nothing sent could be passed on.
    write_high_water : int
        Bytes that wait for a peer that does not read; above, pause_writing() is called.
    busy_poll_us : int
        Microseconds of looking again before each sleep: less delay, more CPU.
    reuse_port : bool
        SO_REUSEPORT: several processes may listen on the same port.
    unix_mode : int
        Permissions of an AF_UNIX path: 0o600, this user alone, unless said otherwise.
        Whoever may write to it may connect.
    use_poll : bool
        poll(2) also where there is epoll(7).

    Thread safety: shutdown(), close() and call_soon_threadsafe() may come from any
    thread, everything else from the one that runs serve_forever().
    """

    def __init__(self, protocol_factory: Callable[[], _ServerProtocol], address: _Place = None,
                 **options: Unpack[_Options]) -> None:
        if not callable(protocol_factory):
            raise TypeError("protocol_factory must be callable, not "
                            f"{type(protocol_factory).__name__!r}")
        check_options("Server", options, ("protocol_factory", "address"))
        super().__init__(address, make_connection=new_connection,
                         make_protocol=protocol_factory, **options)

    def connect(self, protocol_factory: Callable[[], _ServerProtocol], address: _Address,
                ssl_context: ssl.SSLContext | None = None, server_hostname: str | None = None, *,
                connect_timeout: float = 60.0) -> Future[tuple[ProtocolTransport, Any]]:
        """Make an outgoing connection on the loop of this server; returns at once.

        Parameters
        ----------
        protocol_factory : callable
            As for the server. It is called when the connection stands, with TLS after the
            handshake.
        address : tuple, str, bytes or path-like
            (host, port), for IPv6 also (host, port, flowinfo, scope_id); or the path of an
            AF_UNIX socket. Each address of a name is tried in turn.
        ssl_context : ssl.SSLContext, optional
            Of a client, for TLS. It decides what is verified.
        server_hostname : str, optional
            The name that the peer's certificate must have; by default the host.
        connect_timeout : float
            Seconds for the look-up of a name and all its addresses. The handshake has the
            server's ssl_handshake_timeout.

        Returns
        -------
        concurrent.futures.Future
            (transport, protocol), once connection_made() has returned. Its callbacks are
            called in the server's thread. Its exception is the OSError of connect(2), a
            socket.gaierror, TimeoutError, ssl.SSLError, what the factory or
            connection_made() raised, or ConnectionAbortedError if the server was closed.
            cancel() ends the attempt.

        Raises
        ------
        RuntimeError
            The server is closed.
        TypeError, ValueError, OverflowError
            For arguments that can't be right.

        Notes
        -----
        The connection has the server's write_high_water and idle_timeout, and ends with the
        server. connection_count includes it from the first attempt on; max_connections,
        which is for accepted ones, does not.

        A numeric host is used at once. A name is looked up in a thread of its own, since
        getaddrinfo(3) blocks.

        Thread safety: any thread. Waiting for result() in the server's thread is a deadlock.
        """
        if not callable(protocol_factory):
            raise TypeError("protocol_factory must be callable, not "
                            f"{type(protocol_factory).__name__!r}")
        check_context(ssl_context)
        check_positive(connect_timeout=connect_timeout)
        if self._is_closed:
            raise RuntimeError("this server is closed")
        if ssl_context is None:
            if server_hostname is not None:
                raise ValueError("server_hostname is only meaningful with ssl_context")
        elif server_hostname is None:
            server_hostname = str(address[0]) if isinstance(address, tuple) and address[0] else ""
            if not server_hostname:
                raise ValueError("server_hostname is needed for TLS without a host")
        from fastsock._outgoing import Outgoing  # here: few programs need concurrent.futures

        outgoing = Outgoing(self._loop, self._hub, protocol_factory, address, ssl_context,
                            server_hostname, float(connect_timeout), self._outgoing)
        self._outgoing.add(outgoing)  # before it is scheduled: see _end()
        try:
            if self._thread == threading.get_ident():
                self._loop.call_soon(self._begin_attempt, outgoing)
            else:
                self._loop.call_soon_threadsafe(self._begin_attempt, outgoing)
        except RuntimeError:  # the loop was closed since the check above
            self._outgoing.discard(outgoing)
            raise RuntimeError("this server is closed") from None
        return outgoing.future


_servers: weakref.WeakSet[BaseServer] = weakref.WeakSet()


def _begin_again() -> None:
    for server in list(_servers):
        server._begin_again()


# Not by `os`, where a program may have replaced it.
posix.register_at_fork(after_in_child=_begin_again)


def check_options(function: str, options: Mapping[str, object],
                  own: Iterable[str] = (), refused: Iterable[str] = ()) -> None:
    """Raise TypeError for an option that `function` has not, and name the nearest one.

    Parameters
    ----------
    function : str
        The name that the caller used.
    options : dict
        What it was given beside its own parameters, to be handed to BaseServer.
    own : iterable of str
        Names of its own parameters, of which an option may be a misspelling.
    refused : iterable of str
        Options of BaseServer that it has not.
    """
    known: dict[str, object] = vars(BaseServer)["__init__"].__kwdefaults__
    hidden = {"make_connection", "make_protocol", *refused}
    for name in options:
        if name in known and name not in hidden:
            continue
        text = f"{function}() got an unexpected keyword argument {name!r}"
        if name not in hidden:
            import difflib  # only here: an import that no correct program needs
            for nearest in difflib.get_close_matches(
                    name, sorted({*own, *known} - hidden), 1):
                text += f". Did you mean {nearest!r}?"
        raise TypeError(text)


def check_context(ssl_context: object) -> None:
    """Raise TypeError for what is neither an ssl.SSLContext nor None."""
    if ssl_context is not None and not hasattr(ssl_context, "wrap_bio"):
        raise TypeError("ssl_context must be an ssl.SSLContext, not "
                        f"{type(ssl_context).__name__!r}")


def check_positive(**values: float) -> None:
    """Raise for the first one that is no number above 0."""
    for name in values:  # the iterator of items() ends CPython 3.11 where it finds no memory
        try:
            is_positive = values[name] > 0
        except TypeError:
            raise TypeError(f"{name} must be a number above 0, not {values[name]!r}") from None
        if not is_positive:
            raise ValueError(f"{name} must be above 0, not {values[name]!r}")


def check_values(options: Mapping[str, Any]) -> None:
    """Raise for the first option whose value no server can have; those not given are right."""
    for name in options:
        value = options[name]
        if name in ("max_connections", "write_high_water", "backlog", "ssl_handshake_timeout"):
            check_positive(**{name: value})
        elif name == "idle_timeout" and value is not None:
            check_positive(idle_timeout=value)
        elif name == "ssl_context":
            check_context(value)
        elif name == "unix_mode":
            check_int(name, value, "0 to 0o777")
            if not 0 <= value <= 0o777:
                raise ValueError(f"unix_mode must be 0 to 0o777, not {value:#o}")
        elif name == "busy_poll_us":
            check_int(name, value, "0 to 1,000,000 microseconds")
            if not 0 <= value <= 1_000_000:
                raise ValueError(f"busy_poll_us must be 0 to 1,000,000 microseconds, not {value}")
        if name in ("max_connections", "write_high_water", "backlog"):
            check_int(name, value, "above 0")
            most = 0x7fffffff if name == "backlog" else sys.maxsize
            if value > most:
                raise OverflowError(f"{name} must be at most {most}, not {value}")


def check_int(name: str, value: object, right: str) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, {right}, not {value!r} ({type(value).__name__})")
