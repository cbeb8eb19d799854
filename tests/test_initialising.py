"""Objects that are initialised twice, after a close, or never."""

import fcntl
import gc
import os
import socket as stdlib_socket

import pytest

import fastsock


def is_open(fd):
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def test_initialised_again(socket):
    # The stdlib forgets the first descriptor: it stays open, and is nobody's.
    sock = socket.socket()
    first = sock.fileno()
    sock.settimeout(5)
    sock.__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sock:
        assert sock.fileno() != first and is_open(first)
        assert (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_DGRAM)
        assert sock.gettimeout() is None
    assert is_open(first)
    os.close(first)
    with pytest.raises(OSError):
        sock.__init__(9999)
    sock.__init__()
    sock.close()


def test_initialising_again_after_close(socket):
    sock = socket.socket()
    sock.close()
    sock.__init__(socket.AF_UNIX)
    assert sock.fileno() >= 0 and "[closed]" not in repr(sock)
    sock.close()
    assert sock.fileno() == -1


NEVER_INITIALISED = {
    "recv": (1,), "recv_into": (bytearray(1),), "recvfrom": (1,), "recvmsg": (1,),
    "recvfrom_into": (bytearray(1),), "recvmsg_into": ([bytearray(1)],), "send": (b"x",),
    "sendall": (b"x",), "sendto": (b"x", ("127.0.0.1", 9)), "sendmsg": ([b"x"],),
    "listen": (), "shutdown": (0,), "settimeout": (1,), "setblocking": (False,),
    "getsockopt": (1, 2), "setsockopt": (1, 2, 3), "accept": (), "getsockname": (),
    "getpeername": (), "bind": (("127.0.0.1", 0),), "connect": (("127.0.0.1", 9),),
    "connect_ex": (("127.0.0.1", 9),), "dup": (), "close": (), "makefile": (),
}


# The raw file of makefile() can't be closed; from 3.14 on that is said.
@pytest.mark.filterwarnings("ignore:Exception ignored (in|while finalizing)"
                            ":pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", NEVER_INITIALISED)
def test_objects_that_were_never_initialised(name):
    # Their family is 0, so that some calls know no address: the stdlib says what is raised.
    def outcome(module):
        sock = module.socket.__new__(module.socket)
        with pytest.raises(Exception) as caught:
            getattr(sock, name)(*NEVER_INITIALISED[name])
        return caught.type, getattr(caught.value, "errno", None)

    assert outcome(fastsock) == outcome(stdlib_socket)
    gc.collect()  # here, and not in the middle of another test


def test_fields_of_an_object_that_was_never_initialised(socket):
    sock = socket.socket.__new__(socket.socket)
    assert sock.fileno() == -1 and sock.gettimeout() is None
    assert sock.getblocking() is True
    for name in ("_io_refs", "_closed"):
        with pytest.raises(AttributeError):
            getattr(sock, name)
    assert sock.detach() == -1
    with pytest.raises(AttributeError):
        sock.close()
    assert repr(sock).startswith("<socket.socket [closed] fd=-1, family=")
