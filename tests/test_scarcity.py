"""What runs out: descriptors, address space, a thread's keys. What needs none of it goes on, and
the rest says so by an OSError; afterwards all is as before."""

import contextlib
import errno
import os
import resource
import sys

import pytest

import fastsock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")


@contextlib.contextmanager
def no_descriptors():
    """No new ones: the lowest number that is free is the first that does not fit."""
    probe = os.dup(0)
    os.close(probe)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("method", ["connect", "connect_ex", "bind"])
def test_a_name_is_not_looked_up_without_descriptors(socket, method):
    """The resolver's system error, and not a name that is not found."""
    with socket.socket() as sock:
        with no_descriptors(), pytest.raises(OSError) as caught:
            getattr(sock, method)(("name.invalid", 9))
        assert caught.value.errno == errno.EMFILE
        assert not isinstance(caught.value, socket.gaierror)
        # A number needs none.
        with no_descriptors():
            sock.bind(("127.0.0.1", 0))


def test_interfaces_are_not_looked_up_without_descriptors():
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock:
        with no_descriptors(), pytest.raises(OSError) as caught:
            sock.join_group("239.255.77.1", "127.0.0.1")
        assert caught.value.errno == errno.EMFILE
        sock.join_group("239.255.77.1", "127.0.0.1")


#: Before any scratch memory is there: what it is for, each of its users.
USES = """
def use():
    a, b = fastsock.socketpair()
    with a, b:
        a.send(b"x" * 5000)
        assert b.recv(10_000) == b"x" * 5000
        a.sendmsg_all([b"%04d" % number for number in range(500)])
        assert b.recv_exactly(2000) == b"".join(b"%04d" % number for number in range(500))
        a.sendmsg_all([bytearray(b"%04d" % number) for number in range(500)])
        assert b.recv_exactly(2000) == b"".join(b"%04d" % number for number in range(500))
        with b.makefile("rb") as file:
            a.send(b"line\\n")
            assert file.readline() == b"line\\n"
"""


def test_without_address_space_for_scratch_memory(python):
    """Receives then go straight to where they belong."""
    python(code=f"""
import resource, sys
import fastsock
{USES}
# So that there is room in the heap, and the code is ready.
room = [bytes(50_000) for _ in range(20)]
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
with open("/proc/self/statm") as file:
    in_use = int(file.read().split()[0]) * resource.getpagesize()
del room[::2]
resource.setrlimit(resource.RLIMIT_AS, (in_use, hard))
use()
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
use()
""")


def test_without_a_key_for_scratch_memory(python):
    """Another library has taken all that a process may have (PTHREAD_KEYS_MAX)."""
    python(code=f"""
import ctypes
import fastsock
{USES}
create = ctypes.CDLL(None).pthread_key_create
key = ctypes.c_uint()
keys = []
while create(ctypes.byref(key), None) == 0:
    keys.append(key.value)
assert keys
use()
for number in keys:
    ctypes.CDLL(None).pthread_key_delete(number)
use()
""")
