"""The C interface: receiving and sending for other Cython packages, without the GIL.

Job: what fastsock/capi.pxd declares, for plain sockets and plain memory.

Rules: nothing of Python's is touched without the GIL. What can't be finished at once waits
as every call of the package does (_wait.pyx), with the GIL taken for that.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint16_t

cimport fastsock._libc as libc
from fastsock._deadline cimport NO_DEADLINE, deadline_after, has_passed
from fastsock._errors cimport raise_errno, raise_timeout
from fastsock._fdtable cimport FdState, fastsock_mode_changes, lowat_in_use, state_of
from fastsock._libc cimport EAGAIN, EBADF, EINTR, EWOULDBLOCK, MSG_DONTWAIT, POLLIN, POLLOUT
from fastsock._object cimport SocketHead
from fastsock._operation cimport RECEIVE, SEND
from fastsock._platform cimport FASTSOCK_DONTWAIT
from fastsock._python cimport PyErr_CheckSignals
from fastsock._self cimport head_of, overrides
from fastsock._traits cimport MAY_TRY_FIRST, traits_of
from fastsock._wait cimport FAIL, POLL_FIRST, TIMED_OUT, Step, after_eagain, wait


cdef int borrow(object sock, Handle *handle) except -1:
    cdef SocketHead *head = head_of(sock)
    if overrides(sock):
        raise TypeError(f"{type(sock).__name__!r} has a recv or send of its own, which the C "
                        "interface would go around")
    handle.sock = <void *>head
    handle.fd = head.fd
    handle.timeout_ns = head.timeout_ns
    return 0


cdef int sleep(Handle *handle, short events, int64_t *deadline_ns) except -1 nogil:
    """Wait for the socket; the first time that an operation has to, its time begins."""
    cdef bint is_first = deadline_ns[0] == NO_DEADLINE
    if is_first:
        deadline_ns[0] = deadline_after(handle.timeout_ns)
    with gil:
        if not is_first:
            # poll(2) may say ready for ever, as in wait_and_call() of _wait.pyx.
            PyErr_CheckSignals()
            if has_passed(deadline_ns[0]):
                raise_timeout()
        if wait(<SocketHead *>handle.sock, handle.fd, events, deadline_ns[0]) == TIMED_OUT:
            raise_timeout()
    return 0


cdef int meet(int error) except -1 nogil:
    """A call failed: run signal handlers on EINTR, raise for anything else."""
    with gil:
        if error == EINTR:
            return PyErr_CheckSignals()
        return raise_errno(error)


cdef Py_ssize_t transfer(Handle *handle, bint sends, void *memory, size_t size, int flags,
                         int64_t *deadline_ns) except -1 nogil:
    """One recv(2) or send(2) at the right time."""
    cdef SocketHead *head = <SocketHead *>handle.sock
    cdef short events = POLLOUT if sends else POLLIN
    cdef bint tries = (traits_of(head, flags, size, True) & MAY_TRY_FIRST
                       and (sends or not lowat_in_use))
    cdef int extra = FASTSOCK_DONTWAIT if tries else 0
    cdef FdState *state = state_of(handle.fd)
    cdef bint polls_first = not tries and handle.timeout_ns > 0
    cdef uint16_t mode_changes
    cdef Step step
    cdef Py_ssize_t done
    cdef int error
    while True:
        if polls_first:
            sleep(handle, events, deadline_ns)
        if head.fd != handle.fd or handle.fd < 0:
            meet(EBADF)
        mode_changes = fastsock_mode_changes(state)
        if sends:
            done = libc.send(handle.fd, memory, size, flags | extra)
        else:
            done = libc.recv(handle.fd, memory, size, flags | extra)
        error = libc.errno
        if done >= 0:
            return done
        if error in (EAGAIN, EWOULDBLOCK) and not flags & MSG_DONTWAIT:
            if handle.timeout_ns > 0:
                if tries:
                    sleep(handle, events, deadline_ns)
                continue
            if handle.timeout_ns < 0 and extra:
                extra = 0  # waits in the call itself, as the user set it up (SO_RCVTIMEO)
                continue
            # The call may have ended by SO_RCVTIMEO: its duration is not measured here.
            step = after_eagain(head, state, SEND if sends else RECEIVE, handle.timeout_ns,
                                mode_changes, INT64_MAX)
            if step != FAIL:
                polls_first = step == POLL_FIRST
                continue
        meet(error)


cdef Py_ssize_t recv(Handle *handle, void *memory, size_t room, int flags) except -1 nogil:
    cdef int64_t deadline_ns = NO_DEADLINE
    return transfer(handle, False, memory, room, flags, &deadline_ns)


cdef Py_ssize_t send(Handle *handle, const void *data, size_t size, int flags) except -1 nogil:
    cdef int64_t deadline_ns = NO_DEADLINE
    return transfer(handle, True, <void *>data, size, flags, &deadline_ns)


cdef int recv_exactly(Handle *handle, void *memory, size_t size) except -1 nogil:
    cdef int64_t deadline_ns = NO_DEADLINE
    cdef size_t done = 0
    cdef Py_ssize_t count
    while done < size:
        count = transfer(handle, False, <char *>memory + done, size - done, 0, &deadline_ns)
        if count == 0:
            with gil:
                raise EOFError(f"the peer ended the connection after {done} of {size} bytes")
        done += count
    return 0


cdef int sendall(Handle *handle, const void *data, size_t size) except -1 nogil:
    cdef int64_t deadline_ns = NO_DEADLINE
    cdef size_t done = 0
    while done < size:
        done += transfer(handle, True, <char *>data + done, size - done, 0, &deadline_ns)
    return 0
