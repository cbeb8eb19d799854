"""What raises, is caught in compiled code, and may lack the memory for its traceback.

Without it Cython hands a MemoryError, and no traceback at all, to the except clause that was
chosen for the exception: the clause must live with both.

Rules: as in _small.py for the calls, and as in _servers.py for the servers, whose thread
meets the fault only from where something raises.
"""

import contextlib
import functools
import gc
import io
import logging
import socket as stdlib_socket
import ssl
import threading

import fastsock
from fastsock._serve import BatchServer
from fastsock.framing import Lines

from tests.faults._run import TIMEOUT_S
from tests.faults._scenarios import DATA, connected, still_work
from tests.faults._servers import LOOPBACK, SCENARIOS, Echo, talk
from tests.faults._small import datagram_pair, small

logger = logging.getLogger("fastsock.server")

SO_NO_CHECK = 11  # linux/asm-generic/socket.h; the kernel cuts nothing without a checksum


@small("read", "write")
def a_file_that_would_wait(how, *, run):
    """The raw file of a non-blocking socket: None, or no memory to find that out."""
    with connected("unix", 0) as (a, b):
        with contextlib.suppress(BlockingIOError):
            while how == "write":
                a.send(DATA)
        with b.makefile("rb", buffering=0) as source, a.makefile("wb", buffering=0) as target:
            with run:
                assert (source.read(10) if how == "read" else target.write(b"x")) is None
        with contextlib.suppress(BlockingIOError):
            while b.recv(1 << 20):
                pass
        for sock in a, b:
            sock.settimeout(TIMEOUT_S)
        still_work(a, b)


@small()
def a_line_without_an_end(*, run):
    """readline(): what came before the end."""
    a, b = fastsock.socketpair()
    with a, b, fastsock.Stream(b) as stream:
        a.sendall(b"rest")
        a.close()
        with run:
            assert stream.readline() == b"rest"
        assert stream.readline() in (b"", b"rest")


@small()
def what_the_kernel_can_not_cut(*, run):
    """send_segmented(): datagrams of our own, each whole."""
    with datagram_pair() as (sender, receiver):
        sender.setsockopt(stdlib_socket.SOL_SOCKET, SO_NO_CHECK, 1)
        sent = 0
        with run:
            sent = sender.send_segmented(DATA[:300], 100)
        assert run.error is not None or sent == 3
        receiver.settimeout(0)
        came = []
        with contextlib.suppress(BlockingIOError):
            while True:
                came.append(receiver.recv(1000))
        assert len(came) >= sent
        assert came == [DATA[start:start + 100] for start in (0, 100, 200)][:len(came)]


@small()
def a_file_that_is_none(*, run):
    """sendfile() of what has no fd: sent as it is read."""
    with connected("unix", TIMEOUT_S) as (a, b):
        file = io.BytesIO(DATA[:1000])
        with run:
            assert a.sendfile(file) == 1000
        b.settimeout(0)
        came = b""
        with contextlib.suppress(BlockingIOError):
            came = b.recv(2000)
        assert came == DATA[:1000] or run.error is not None and came == b""
        b.settimeout(TIMEOUT_S)
        still_work(a, b)


class Unwatched(threading.Thread):
    """Runs a server; what left its loop is in `raised`."""

    def __init__(self, server):
        super().__init__()
        self.server, self.raised = server, None

    def run(self):
        try:
            self.server.serve_forever()
        except BaseException as error:
            self.raised = error.with_traceback(None)


def may_raise(make, *, run):
    """A server whose handler, say, raises for its first connection, and is watched from there:
    the loop goes on, and serves the next."""
    was_called = []

    def fail():
        if not was_called:
            was_called.append(True)
            run.injector.watched()[0] = 1
            raise ValueError("the scenario's")

    gc.collect()
    server = make(fail)
    thread = Unwatched(server)
    thread.start()
    logger.disabled = True  # what it needs is not looked at here
    try:
        with run:
            run.watched[0] = 0  # only the server is
            with contextlib.suppress(OSError), stdlib_socket.create_connection(server.addresses[0], TIMEOUT_S) as client:
                client.sendall(b"first\n")
                client.shutdown(stdlib_socket.SHUT_WR)
                while client.recv(100):
                    pass
        assert was_called
        if run.ended_for_memory(thread.raised):
            return
        assert thread.is_alive(), f"the loop has ended: {thread.raised!r}"
        assert talk(server.addresses[0], b"still here\n") == b"still here\n"
    finally:
        logger.disabled = False
        server.shutdown()
        thread.join(TIMEOUT_S)
        server.close()


class NoTls:
    """In the place of an SSLContext, and of its objects: what is said goes as it is."""

    def __init__(self, wrapped=None, shaken=None):
        self.wrapped, self.shaken = wrapped, shaken

    def wrap_bio(self, incoming, outgoing, server_side):
        if self.wrapped is not None:
            self.wrapped()
        made = NoTls(shaken=self.shaken)
        made.incoming, made.write = incoming, outgoing.write
        return made

    def do_handshake(self):
        if self.shaken is not None:
            self.shaken()

    def read(self, size):
        if data := self.incoming.read(size):
            return data
        raise ssl.SSLZeroReturnError if self.incoming.eof else ssl.SSLWantReadError

    def unwrap(self):
        pass


def echo_that(name):
    """A server of a protocol that fails in one of its methods."""
    def make(fail):
        def failing(self, *arguments):
            fail()
            return getattr(Echo, name)(self, *arguments)
        return fastsock.Server(type("Failing", (Echo,), {name: failing}), LOOPBACK)
    return make


def too_few_answers(fail):
    """A batch that the server itself finds wrong."""
    def handler(messages):
        try:
            fail()
        except ValueError:
            return ()
        return messages
    return BatchServer(handler, LOOPBACK, framing=Lines())


# Not a handler itself: where the interpreter (3.11) has no memory for the frame of a function that
# raises, the function returns nothing and no exception either, and whoever called it crashes.
for title, make in {
    "connection_made": echo_that("connection_made"),
    "eof_received": echo_that("eof_received"),
    "connection_lost": echo_that("connection_lost"),
    "the count of answers": too_few_answers,
    "wrap_bio": lambda fail: fastsock.Server(Echo, LOOPBACK, ssl_context=NoTls(wrapped=fail)),
    "do_handshake": lambda fail: fastsock.Server(Echo, LOOPBACK, ssl_context=NoTls(shaken=fail)),
}.items():
    SCENARIOS[f"may raise: {title}"] = functools.partial(may_raise, make)
