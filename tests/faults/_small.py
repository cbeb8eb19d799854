"""One call each, for which little memory is asked: so each piece of it fails once, also where
a scenario of many calls leaves most of them out.

Rules: as in _scenarios.py, with whose names they stand.
"""

import array
import contextlib
import functools
import gc
import os
import socket as stdlib_socket
import tempfile

import fastsock
from fastsock.framing import Lines

from tests.faults._run import TIMEOUT_S
from tests.faults._scenarios import (
    DATA, FACILITIES, connected, is_over, scenario, still_work,
)


def small(*arguments):
    """As scenario(). Garbage is collected first, which takes from the interpreter what it has
    at hand: so it asks for the same memory each time."""
    def name(function):
        @functools.wraps(function)
        def collected(*given, run):
            gc.collect()
            function(*given, run=run)
        scenario(*arguments)(collected)
        return function
    return name


@contextlib.contextmanager
def datagram_pair():
    """(sender, receiver) of UDP, connected."""
    with fastsock.socket(type=stdlib_socket.SOCK_DGRAM) as sender, \
            fastsock.socket(type=stdlib_socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        for sock in sender, receiver:
            sock.settimeout(TIMEOUT_S)
        yield sender, receiver


@small()
def making_a_batch(*, run):
    """DatagramBatch(): there is one that holds what it should, or none."""
    batch = None
    with run:
        batch = fastsock.DatagramBatch(3, 100)
    with datagram_pair() as (sender, receiver):
        sender.sendmmsg([b"a", b"b"])
        if batch is not None:
            assert receiver.recvmmsg_into(batch) == 2
            assert [bytes(view) for view in batch] == [b"a", b"b"]


@small("into a batch", "as objects")
def glued_datagrams(how, *, run):
    """More than the kernel has buffers for: all come, or what came is gone and more can."""
    if not FACILITIES["segmentation"]:
        return
    with datagram_pair() as (sender, receiver):
        receiver.enable_gro()
        batch = fastsock.DatagramBatch(1, 100)
        sent = [DATA[start:start + 100] for start in range(0, 1000, 100)]
        sender.send_segmented(b"".join(sent), 100)
        found = []
        with run:
            if how == "into a batch":
                receiver.recvmmsg_into(batch)
            else:
                found = receiver.recvmmsg(1, 100)
        if run.error is None:
            if how == "into a batch":
                found = [(bytes(view), batch.address(index)) for index, view in enumerate(batch)]
            assert found == [(data, sender.getsockname()) for data in sent[:len(found)]] != []
        receiver.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                receiver.recvmmsg(10)
        receiver.settimeout(TIMEOUT_S)
        sender.send(b"still here")
        assert receiver.recvmmsg_into(batch) == 1 and bytes(batch[0]) == b"still here"


@small("into a batch", "as objects")
def descriptors_with_datagrams(how, *, run):
    """Those of a call that failed are closed."""
    a, b = fastsock.socketpair(type=stdlib_socket.SOCK_DGRAM)
    with a, b, tempfile.TemporaryFile() as file:
        a.settimeout(TIMEOUT_S)
        b.settimeout(TIMEOUT_S)
        for _ in range(2):
            fastsock.send_fds(a, [b"x"], [file.fileno()])
        batch = fastsock.DatagramBatch(2, 100)
        found = None
        with run:
            if how == "into a batch":
                b.recvmmsg_into(batch, ancillary=True)
            else:
                found = b.recvmmsg(2, 100, ancillary=True)
        if how == "into a batch":
            messages = [batch.ancillary(index) for index in range(len(batch))]
        else:
            messages = [ancillary for _, ancillary, _, _ in found or ()]
        # One, where the call was cut short.
        assert run.error is not None or len(messages) in (1, 2)
        for (_, _, payload), in messages:
            [fd] = array.array("i", payload)
            assert os.path.sameopenfile(fd, file.fileno())
            os.close(fd)
        b.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                b.recv(10)  # the kernel closes what comes along
        a.send(b"still here")
        assert b.recv(100) == b"still here"


@small()
def sending_a_control_message(*, run):
    """sendmsg with one of each kind of data: sent whole, or not."""
    with connected("unix", TIMEOUT_S) as (a, b), tempfile.TemporaryFile() as file:
        fds = array.array("i", [file.fileno()])
        sent = 0
        with run:
            sent = a.sendmsg([b"x"], [(stdlib_socket.SOL_SOCKET, stdlib_socket.SCM_RIGHTS, fds)])
        assert run.error is not None or sent == 1
        if sent:
            data, [came], _, _ = fastsock.recv_fds(b, 10, 1)
            assert data == b"x" and os.path.sameopenfile(came, file.fileno())
            os.close(came)
        still_work(a, b)


@small()
def a_long_line(*, run):
    """What is read grows beyond the usual, and the rest goes back into less."""
    line = DATA[:100_000].replace(b"\n", b" ") + b"\n"
    with connected("unix", TIMEOUT_S) as (a, b), fastsock.Stream(b, limit=1 << 20) as stream:
        a.sendall(line + b"rest")
        came = None
        with run:
            came = stream.readline()
        if came is None:
            came = stream.readline()
        assert came == line and stream.read(100) == b"rest"
        still_work(a, b)


@small("small", "large")
def one_message(size, *, run):
    """send_message: all of it, or nothing, also later."""
    payload = DATA[:100 if size == "small" else 20_000].replace(b"\n", b" ").replace(b"\r", b" ")
    with connected("unix", TIMEOUT_S) as (a, b), fastsock.Stream(a, framing=Lines()) as ours, \
            fastsock.Stream(b, framing=Lines()) as theirs:
        with run:
            ours.send_message(payload)
        ours.send_message(b"still here")
        came = [theirs.recv_message()]
        if came[0] != b"still here":
            came.append(theirs.recv_message())
        assert came == [payload, b"still here"] or run.error is not None and came == [b"still here"]


@small()
def one_socket_with_a_default_timeout(*, run):
    """The timeout is a new object each time, unless one is at hand."""
    before = stdlib_socket.getdefaulttimeout()
    stdlib_socket.setdefaulttimeout(TIMEOUT_S)
    sock = None
    held = [number + 0.5 for number in range(500)]  # more than the interpreter has at hand
    try:
        with run:
            sock = fastsock.socket()
        assert sock is None or sock.gettimeout() == TIMEOUT_S
    finally:
        stdlib_socket.setdefaulttimeout(before)
        if sock is not None:
            sock.close()
    assert len(held) == 500


@small("unix", "tcp")
def accepting_all(family, *, run):
    """accept_many(): the one for whom there was no memory is hung up on, and no other lost."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        kind = stdlib_socket.AF_UNIX if family == "unix" else stdlib_socket.AF_INET
        listener = stack.enter_context(fastsock.socket(kind))
        listener.bind(os.path.join(folder, "s") if family == "unix" else ("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0)
        clients = [stack.enter_context(stdlib_socket.socket(kind)) for _ in range(4)]
        for client in clients:
            client.connect(listener.getsockname())
        found = []
        with run:
            found = listener.accept_many()
        if run.error is not None:
            found = getattr(run.error, "accepted", [])
        with contextlib.suppress(BlockingIOError):
            found += listener.accept_many()
        accepted = [stack.enter_context(sock) for sock, _ in found]
        clients = [client for client in clients if not is_over(client)]
        assert len(accepted) == len(clients) >= (4 if run.error is None else 3)
        for number, (sock, client) in enumerate(zip(accepted, clients)):
            client.sendall(b"%d" % number)
            sock.settimeout(TIMEOUT_S)
            assert sock.recv(10) == b"%d" % number
