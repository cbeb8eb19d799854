"""Several processes that serve: forked, watched over, started again, drained.

Job: the parent of serve(workers=N). It serves nothing itself.

Rules: each worker holds the end of a pipe: a byte there tells the parent that it listens,
its closing that it died, however that came about; another pipe tells the workers that the
parent did. A worker that dies is started again after a pause, which doubles while they
die young.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import sys
import threading
import time

from fastsock._addresses import listening_sockets
from fastsock._platform_facts import facts
from fastsock._socket_class import socket, stdlib_socket
from fastsock._unix_paths import paths_of, remove_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, TypedDict

    from fastsock._addresses import _Given, _Place
    from fastsock._server import BaseServer

    _Ready = Callable[[list[Any]], object]

    class _Where(TypedDict, total=False):
        """What makes one server of several listen."""

        address: _Place
        sock: list[socket]

logger = logging.getLogger("fastsock.server")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
OLD_AGE_S = 10.0            # who lived so long did not die of its start


def run(make_server: Callable[..., BaseServer], count: int, address: _Place, sock: _Given, *,
        backlog: int, unix_mode: int, grace_s: float, on_ready: _Ready | None) -> None:
    """Serve by `count` processes until SIGTERM or SIGINT.

    Parameters
    ----------
    make_server : callable
        With address= or sock=, and reuse_port=: a server.
    count : int
    address, sock, backlog, mode
        As of Server.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("several workers are kept by the main thread only")
    reserved, shared = _places(address, sock, backlog, unix_mode)
    paths = paths_of(shared) if sock is None and address is not None else []
    try:
        keeper = Keeper(make_server, reserved, shared, grace_s)
        try:
            keeper.try_server()
            keeper.keep(count, on_ready)
        finally:
            keeper.close()
    finally:
        remove_paths(paths)
        for held in reserved + shared:
            held.close()
    if keeper.stop_signal == signal.SIGINT:
        raise KeyboardInterrupt


def _places(address: _Place, sock: _Given, backlog: int,
            unix_mode: int) -> tuple[list[socket], list[socket]]:
    """Bound sockets that hold TCP ports for the workers, and listeners they share."""
    if address is None or sock is not None:
        return [], listening_sockets(address, sock=sock, backlog=backlog)
    reserved: list[socket] = []
    shared: list[socket] = []
    try:
        for one in address if isinstance(address, list) else [address]:
            if isinstance(one, (str, bytes, os.PathLike)) or not facts()["shared_ports"]:
                shared += listening_sockets(one, backlog=backlog, unix_mode=unix_mode)
                continue
            for listener in listening_sockets(one, backlog=1, reuse_port=True):
                # Bound, so that the port stays ours; not listening, so that nobody is
                # put into its queue, whom nobody would accept.
                name, family = listener.getsockname(), listener.family
                holder = socket(family, stdlib_socket.SOCK_STREAM)
                reserved.append(holder)
                holder.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
                holder.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEPORT, 1)
                if family == stdlib_socket.AF_INET6:
                    holder.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, 1)
                holder.bind(name)
                listener.close()
    except BaseException:
        remove_paths(paths_of(shared))
        for opened in reserved + shared:
            opened.close()
        raise
    return reserved, shared


def _flush_output() -> None:
    """Whatever was printed goes out once, from this process; it may be nobody's."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


class Worker:
    """One process: its pid, the pipe that ends with it, and when it began."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.pipe = pipe
        self.began_s = time.monotonic()


class Keeper:
    """Starts workers, and starts them again."""

    def __init__(self, make_server: Callable[..., BaseServer], reserved: list[socket],
                 shared: list[socket], grace_s: float) -> None:
        self.make_server = make_server
        self.reserved = reserved
        self.shared = shared
        self.grace_s = grace_s
        self.workers: dict[int, Worker] = {}    # by the fd of their pipe
        self.due_s: list[float] = []            # when workers are to be started again
        self.pause_s = FIRST_PAUSE_S
        self.stop_signal: int | None = None
        self.parent_reader, self.parent_writer = os.pipe()

    def where(self) -> _Where:
        """What a worker's server is made with."""
        if self.shared and not self.reserved:
            return {"sock": [sock.dup() for sock in self.shared]}
        names = [sock.getsockname() for sock in self.reserved]
        sockets = listening_sockets(names, backlog=1024, reuse_port=True)
        return {"sock": sockets + [sock.dup() for sock in self.shared]}

    def try_server(self) -> None:
        """What is wrong with the server, is said here and not by each worker."""
        where = self.where()
        try:
            self.make_server(**where).close()
        finally:
            for sock in where["sock"]:
                sock.close()

    def keep(self, count: int, on_ready: _Ready | None) -> None:
        """Have `count` workers until a signal ends that."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        handlers = {number: signal.signal(number, self._note)
                    for number in (signal.SIGTERM, signal.SIGINT)}
        previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(reader, selectors.EVENT_READ)
                self.selector = selector
                self.on_ready = on_ready
                try:
                    for _ in range(count):
                        if self.stop_signal is None:
                            self._start()
                    self._watch(reader)
                finally:
                    self._stop()
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)

    def close(self) -> None:
        """Close the pipe that the workers watch."""
        for fd in (self.parent_reader, self.parent_writer):
            os.close(fd)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.stop_signal = self.stop_signal or number

    def _watch(self, wake_up: int) -> None:
        while self.stop_signal is None:
            now_s = time.monotonic()
            timeout_s = min(self.due_s) - now_s if self.due_s else None
            for key, _ in self.selector.select(timeout_s):
                if key.fd == wake_up:
                    os.read(wake_up, 4096)
                elif os.read(key.fd, 1):
                    self._tell_ready()
                else:
                    self._bury(self.workers[key.fd])
            now_s = time.monotonic()
            for due_s in [due_s for due_s in self.due_s if due_s <= now_s]:
                self.due_s.remove(due_s)
                if self.stop_signal is None:
                    self._start()

    def _tell_ready(self) -> None:
        """A worker listens: nobody who connects is refused from now on."""
        if self.on_ready is not None:
            on_ready, self.on_ready = self.on_ready, None
            on_ready([one.getsockname() for one in self.reserved + self.shared])

    def _start(self) -> None:
        reader, writer = os.pipe()
        _flush_output()
        # A child forgets what is signalled to it before fork() returns: it is to come later.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        try:
            pid = os.fork()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if pid == 0:
            status = 1
            try:
                os.close(reader)
                os.close(self.parent_writer)
                self._work(writer)
                status = 0
            except BaseException:
                logger.exception("worker %d failed", os.getpid())
            finally:
                _flush_output()
                os._exit(status)
        os.close(writer)
        self.workers[reader] = Worker(pid, reader)
        self.selector.register(reader, selectors.EVENT_READ)

    def _work(self, pipe: int) -> None:
        """In the worker: serve until SIGTERM, or until the parent is gone."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent heeds it for all
        with self.make_server(**self.where()) as server:
            signal.signal(signal.SIGTERM,
                          lambda number, frame: server.shutdown(self.grace_s))
            if self.stop_signal is not None:  # it came before we heeded it
                server.shutdown(self.grace_s)
            for worker in self.workers.values():  # its brothers' pipes
                os.close(worker.pipe)
            for sock in self.reserved + self.shared:
                sock.close()
            threading.Thread(target=self._end_with_parent, args=(server,),
                             daemon=True).start()
            os.write(pipe, b"\0")  # it listens
            server.serve_forever()

    def _end_with_parent(self, server: BaseServer) -> None:
        os.read(self.parent_reader, 1)  # returns when the parent is gone
        server.shutdown(self.grace_s)

    def _bury(self, worker: Worker) -> None:
        """A worker died: say so, and have another started after a pause."""
        self._forget(worker)
        _, status = os.waitpid(worker.pid, 0)
        if time.monotonic() - worker.began_s >= OLD_AGE_S:
            self.pause_s = FIRST_PAUSE_S
        logger.warning("worker %d ended with status %d: another one in %.1f s", worker.pid,
                       os.waitstatus_to_exitcode(status), self.pause_s)
        self.due_s.append(time.monotonic() + self.pause_s)
        self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)

    def _forget(self, worker: Worker) -> None:
        del self.workers[worker.pipe]
        self.selector.unregister(worker.pipe)
        os.close(worker.pipe)

    def _stop(self) -> None:
        """Drain the workers; whoever is not done in time is killed."""
        for worker in self.workers.values():
            os.kill(worker.pid, signal.SIGTERM)
        deadline_s = time.monotonic() + self.grace_s + 1.0
        while self.workers:
            left_s = deadline_s - time.monotonic()
            ready = self.selector.select(max(left_s, 0))
            for key, _ in ready:
                ended = self.workers.get(key.fd)
                if ended is None:
                    os.read(key.fd, 4096)
                elif not os.read(key.fd, 1):
                    self._forget(ended)
                    os.waitpid(ended.pid, 0)
            if left_s <= 0:
                for worker in list(self.workers.values()):
                    logger.warning("worker %d is not done: killed", worker.pid)
                    os.kill(worker.pid, signal.SIGKILL)
                    self._forget(worker)
                    os.waitpid(worker.pid, 0)
