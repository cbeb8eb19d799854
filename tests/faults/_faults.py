"""Which faults there are: for each call, what Linux's manual says that it may do.

Rules: a table, and no judgement. What the kernel never does (a poll() that finds a socket
ready which is not, a datagram cut in two) is not in it. Calls that are repeated many times
in a scenario fail at the first and the last of them, and some between.
"""

import dataclasses
import errno

from tests.faults._injector import FAILS, FAILS_AFTER, IS_SHORT


@dataclasses.dataclass(frozen=True)
class Fault:
    """The n-th call of a name fails with an error, or is cut short."""

    name: str
    n: int
    mode: int
    errno: int = 0

    def __str__(self):
        what = "short" if self.mode == IS_SHORT else errno.errorcode[self.errno]
        return f"{self.name}#{self.n} {what}" + (" afterwards" if self.mode == FAILS_AFTER else "")


RECEIVE = "EINTR EAGAIN ENOMEM ENOBUFS ECONNRESET"
SEND = "EINTR EAGAIN ENOMEM ENOBUFS EPIPE ECONNRESET"
NO_FD = "EMFILE ENFILE"

#: {call: errors instead of the call, is it cut short, errors after the call was made}.
#: A connect() goes on when it is interrupted, and a close() has closed: connect(2), close(2).
TABLE = {
    "recv": (RECEIVE, True, ""),
    "recvfrom": (RECEIVE, True, ""),
    "recvmsg": (RECEIVE, True, ""),
    "recvmmsg": (RECEIVE, True, ""),
    "send": (SEND, True, ""),
    "sendto": (SEND, True, ""),
    "sendmsg": (SEND, True, ""),
    "sendmmsg": (SEND, True, ""),
    "accept": (f"EINTR EAGAIN ECONNABORTED ENOMEM ENOBUFS {NO_FD}", False, ""),
    "accept4": (f"EINTR EAGAIN ECONNABORTED ENOMEM ENOBUFS {NO_FD}", False, ""),
    "connect": ("ECONNREFUSED ENOMEM ENOBUFS EADDRNOTAVAIL", False, "EINTR"),
    "poll": ("EINTR ENOMEM", False, ""),
    "ppoll": ("EINTR ENOMEM", False, ""),
    "epoll_wait": ("EINTR", False, ""),
    "epoll_ctl": ("ENOMEM ENOSPC", False, ""),
    "epoll_create1": (f"ENOMEM {NO_FD}", False, ""),
    "socket": (f"ENOMEM ENOBUFS {NO_FD}", False, ""),
    "socketpair": (f"ENOMEM ENOBUFS {NO_FD}", False, ""),
    "close": ("", False, "EINTR EIO"),
    "fcntl": ("ENOMEM", False, ""),
    "ioctl": ("ENOMEM", False, ""),
    "setsockopt": ("ENOMEM ENOBUFS", False, ""),
    "getsockopt": ("ENOBUFS", False, ""),
    "getsockname": ("ENOBUFS", False, ""),
    "getpeername": ("ENOBUFS", False, ""),
    "splice": ("EINTR EAGAIN ENOMEM EINVAL ECONNRESET", True, ""),
    "pipe2": (NO_FD, False, ""),
    "sendfile": ("EINTR EAGAIN ENOMEM EIO EPIPE", True, ""),
    "shutdown": ("ENOTCONN ENOBUFS", False, ""),
    "bind": ("EADDRINUSE ENOMEM", False, ""),
    "listen": ("EADDRINUSE", False, ""),
    "malloc": ("ENOMEM", False, ""),
}


def places(count, most):
    """Which of so many calls are to fail: all, or the first, the last and some between."""
    if count <= most:
        return list(range(1, count + 1))
    if most == 1:
        return [1]
    step = (count - 1) / (most - 1)
    return sorted({1 + round(step * index) for index in range(most)})


#: A server waits a second after each of them, on the same way: one stands for all.
AS_EMFILE = "ENFILE", "ENOMEM", "ENOBUFS"


def faults_of(seen, most, of_server=False):
    """The faults for what a scenario was seen to call: at most so many calls of a name."""
    for name, count in seen.items():
        instead, may_be_short, after = TABLE[name]
        for n in places(count, most):
            for error in instead.split():
                if of_server and name.startswith("accept") and error in AS_EMFILE:
                    continue
                yield Fault(name, n, FAILS, getattr(errno, error))
            if may_be_short:
                yield Fault(name, n, IS_SHORT)
            for error in after.split():
                yield Fault(name, n, FAILS_AFTER, getattr(errno, error))
