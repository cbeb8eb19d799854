"""What `python -m tests.fuzz` found, as it printed it: once a difference, now none."""

import sys

import pytest

from tests.conftest import requires_facility
from tests.fuzz import comparing

FOUND = {
    "a level that overflows, beside a length": ("unix stream", (0, False), [
        ("setsockopt", 0, False, (1 << 31, 1), (None, -1)),
    ]),
    "sendfile() with a float as offset": ("unix stream", (None, False), [
        ("sendfile", 0, False, "file", 8193, 0.0, 8193),
    ]),
    "sendfile() with a text as offset": ("unix stream", (None, False), [
        ("sendfile", 0, False, "file", 5, "0", None),
    ]),
    "sendfile() on a closed socket": ("tcp", (None, False), [
        ("close", 0, False),
        ("sendfile", 0, False, "file", 8193, 0, None),
    ]),
    "sendfile() on a closed socket, from beyond any file": ("tcp", (None, False), [
        ("detach_and_reopen", 0, False, 3),
        ("sendfile", 0, False, "file", 8193, 1 << 63, 50000),
    ]),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name):
    scenario, setting, operations = FOUND[name]
    with comparing.Folders() as folders:
        assert comparing.difference(scenario, setting, operations, folders) is None
        # And none of them is left out: that would make them the same, too.
        done = comparing.record("fastsock", scenario, setting, operations, folders["fastsock"])
    assert not any(isinstance(outcome, str) for outcome in done)


@requires_facility("dontwait")
def test_a_low_water_mark_lets_no_call_without_a_timeout_wait(python):
    # For good, and for all sockets of the process: so it is one of its own that sets it.
    python(code="""if True:
        import fcntl, os, signal, fastsock as socket
        signal.alarm(20)
        a, b = socket.socketpair()
        a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 2)
        b.settimeout(0)
        fcntl.fcntl(b, fcntl.F_SETFL, fcntl.fcntl(b, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        try:
            b.recv(1)
        except BlockingIOError:
            pass
        else:
            raise AssertionError("something came")
        a.close(), b.close()
    """)


@requires_facility("dontwait")
def test_a_low_water_mark_of_1_changes_nothing(python):
    python(code="""if True:
        import fastsock as socket
        a, b = socket.socketpair()
        b.settimeout(5)
        b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        before = socket.stats()["polls_saved"]
        a.send(b"x")
        assert b.recv(1) == b"x"
        assert socket.stats()["polls_saved"] == before + 1, socket.stats()
        a.close(), b.close()
    """)


@pytest.mark.parametrize("kind", ["SOCK_DGRAM", "SOCK_SEQPACKET"])
def test_a_file_over_datagrams_cuts_none(socket, kind):
    a, b = socket.socketpair(socket.AF_UNIX, getattr(socket, kind))
    with a, b, b.makefile("rb", buffering=131072) as file:
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262144)
        a.send(b"x" * 100_000)
        assert len(file.peek()) == 100_000


@pytest.mark.parametrize("size", [8, 300, 3000])
def test_recvmsg_told_of_more_than_there_was_room_for(socket, size):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with a, b:
        a.send(b"x" * size)
        data, _, flags, _ = b.recvmsg(1, 0, socket.MSG_TRUNC)
        # As recv() does, since 3.15.
        assert len(data) == (size if sys.version_info >= (3, 15) else 1)
        assert data[:1] == b"x" and flags & socket.MSG_TRUNC
