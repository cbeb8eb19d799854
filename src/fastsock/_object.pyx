"""The head of a stdlib socket object: making one, and proving that we read it right.

Job: fastsock's methods read and write the fields of the interpreter's own socket
object, so that there is one source of truth. This file is the only one that
relies on where those fields lie. `prove()` runs at import and refuses an
interpreter on which they lie elsewhere.

Rule: an object made here must be one that the inherited methods can work on.
What they need beyond the head (from CPython 3.12 on, a pointer to the module's
state) is copied from a socket that the interpreter itself initialised.
"""

import _socket
import sys

from cpython.object cimport PyObject, PyTypeObject
from libc.string cimport memcpy
from posix.unistd cimport pipe

cimport fastsock._libc as libc
from fastsock._errors cimport raise_errno
from fastsock._python cimport TypeSlots

cdef TypeSlots *base_type = <TypeSlots *><PyObject *>_socket.socket
cdef Py_ssize_t HEAD_START = object.__basicsize__

# The bytes of an initialised and closed _socket.socket behind PyObject_HEAD.
cdef char template[256]
cdef Py_ssize_t template_size = 0


cdef int complete(SocketHead *head) except -1:
    """Give a new object what the interpreter's initialiser would, as a closed and
    blocking socket: the caller sets family, type, proto, timeout_ns, and fd last."""
    memcpy(<char *>head + HEAD_START, template, template_size)
    head.fd = -1
    return 0


cdef object new_socket(object cls, int fd, int family, int type, int proto):
    """A blocking socket object of class `cls` around `fd`, without a system call.

    The stdlib's initialiser with `fileno=` asks the kernel for what the caller
    already knows. The caller raises the audit event.
    """
    cdef object sock = base_type.tp_new(<PyTypeObject *><PyObject *>cls, (), NULL)
    cdef SocketHead *head = <SocketHead *><PyObject *>sock
    complete(head)
    sock._io_refs = 0
    sock._closed = False
    # The fd comes last: until here the object does not own it.
    head.family = family
    head.type = type
    head.proto = proto
    head.fd = fd
    return sock


def prove(cls):
    """Prove on real sockets that the head of a stdlib socket is where we read it.

    Parameters
    ----------
    cls : type
        The class of the sockets that our own path makes (fastsock.socket).

    Raises
    ------
    ImportError
        Names the interpreter and what differed.
    """
    global template_size
    if _socket.socket.__basicsize__ != FASTSOCK_OBJECT_SIZE:
        _refuse("the size of _socket.socket", FASTSOCK_OBJECT_SIZE,
                _socket.socket.__basicsize__)
    template_size = FASTSOCK_OBJECT_SIZE - HEAD_START
    if template_size > <Py_ssize_t>sizeof(template):
        _refuse("the size of _socket.socket", sizeof(template), template_size)

    cdef list refused = []
    cdef int proved = 0
    for family_name, type_name in (
            ("AF_UNIX", "SOCK_STREAM"), ("AF_INET", "SOCK_DGRAM"), ("AF_INET6", "SOCK_STREAM")):
        if not hasattr(_socket, family_name):
            continue
        try:
            sample = _socket.socket(
                getattr(_socket, family_name), getattr(_socket, type_name), 0)
        except OSError as error:  # a system without IPv6, a sandbox without IPv4
            refused.append(error)
            continue
        try:
            _prove_fields(sample)
            proved += 1
        finally:
            sample.close()
    if not proved:
        raise ImportError("fastsock can't check that it reads this interpreter's sockets "
                          f"right, since no socket can be made: {refused[0]}")
    _prove_new_socket(cls)


cdef int _prove_fields(object sample) except -1:
    """Compare every field with what the interpreter says of it; take the template."""
    cdef SocketHead *head = <SocketHead *><PyObject *>sample
    _expect("fd", sample.fileno(), head.fd)
    _expect("family", sample.family, head.family)
    _expect("type", sample.type, head.type)
    _expect("proto", sample.proto, head.proto)
    for timeout, timeout_ns in ((0.0, 0), (2.5, 2_500_000_000), (86400.0, 86_400 * 10**9)):
        sample.settimeout(timeout)
        _expect("timeout", timeout_ns, head.timeout_ns)
    sample.settimeout(None)
    if head.timeout_ns >= 0:
        _refuse("the field 'timeout' of a blocking socket", "below 0", head.timeout_ns)
    head.timeout_ns = 1_500_000_000
    _expect("timeout, written", 1.5, sample.gettimeout())
    head.timeout_ns = -1_000_000_000
    _expect("timeout, written", None, sample.gettimeout())
    memcpy(template, <char *>head + HEAD_START, template_size)
    return 0


cdef int _prove_new_socket(object cls) except -1:
    """Run inherited methods, one that works and one that fails, on an object of ours."""
    cdef int[2] ends
    if pipe(ends) < 0:  # not os.pipe(), which a program may have replaced
        raise_errno(libc.errno)
    libc.close(ends[1])
    fd = ends[0]
    try:
        sock = new_socket(cls, fd, _socket.AF_INET, _socket.SOCK_STREAM, 0)
    except:
        libc.close(fd)
        raise
    try:
        _expect("fd of an object of ours", fd, _socket.socket.fileno(sock))
        _expect("timeout of an object of ours", None, _socket.socket.gettimeout(sock))
        try:
            _socket.socket.getsockname(sock)  # runs the error handler: a pipe has no name
        except OSError:
            pass
        else:
            _refuse("getsockname() of a pipe", "an OSError", "a name")
    finally:
        _socket.socket.detach(sock)
        libc.close(fd)
    return 0


cdef int _expect(str what, object expected, object found) except -1:
    if expected != found:
        _refuse(f"the field {what!r} of a socket object", expected, found)
    return 0


cdef int _refuse(str what, object expected, object found) except -1:
    raise ImportError(
        f"fastsock can't run on {sys.implementation.name} {sys.version.split()[0]} "
        f"({sys.executable}): {what} should be {expected}, and is {found}")
