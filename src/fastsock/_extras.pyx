"""ExtraMethods: the methods of `fastsock.socket` that the stdlib's has not.

Rules: as of SocketMethods (_methods.pyx). Every one of them that is built on
receiving or sending asks `overrides` first: on an ssl.SSLSocket, or any class
with a recv or send of its own, it goes through those methods. Nothing that was
received is lost: what ends a receive early carries `.partial`. The socket's timeout
bounds the whole call; through methods of another class it bounds each of those.

Thread safety: as of recv() and send(); two threads that receive on one socket
each get a part of what arrives.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cimport fastsock._libc as libc
from fastsock cimport _connection
from fastsock._address cimport is_ours
from fastsock._arguments cimport as_int, as_size
from fastsock._buffers cimport borrow_writable, is_plain
from fastsock._deadline cimport deadline_after, has_passed
from fastsock._errors cimport attach, raise_errno
from fastsock._gather cimport Progress, send_all_of
from fastsock._libc cimport AF_UNIX, SOCK_STREAM
from fastsock._object cimport SocketHead
from fastsock._pieces cimport (
    NOT_KNOWN, check_pieces, is_exact, report, sent_by_sendall, take_all,
)
from fastsock._platform cimport fastsock_peer_credentials
from fastsock._python cimport (
    BufferView, NewBytes, PyBuffer_Release, PyBytes_AS_STRING,
)
from fastsock._self cimport class_of_sockets, head_of, overrides
from fastsock._busy_poll cimport set_socket_busy_poll
from fastsock._transfer cimport STACK_SIZE, receive
from fastsock._wait cimport Budget, budget_of, check_progress


cdef class ExtraMethods:
    """Methods beyond the stdlib's; no type to make objects of."""

    def recv_exactly(self, size, /):
        """Receive exactly `size` bytes.

        Parameters
        ----------
        size : int
            0 or more bytes.

        Returns
        -------
        bytes

        Raises
        ------
        fastsock.IncompleteReadError
            The peer ended the connection before; `.partial` is what had arrived.
        TimeoutError, BlockingIOError, OSError
            With `.partial`. The socket's timeout bounds the whole call (each receive
            of a class that has its own).

        Notes
        -----
        Through a class's own recv or recv_into, what ends it early also has
        `.partial_is_exact`. False: a signal handler raised inside that method, or it raised
        something other than an OSError, and it may have received more than `.partial`.
        """
        cdef SocketHead *head = head_of(self)
        cdef char[STACK_SIZE] stack
        cdef Py_ssize_t wanted = as_size(size)
        cdef Py_ssize_t filled = 0
        if wanted < 0:
            raise ValueError(f"recv_exactly() takes 0 or more bytes, not {wanted}")
        if wanted > STACK_SIZE or overrides(self):
            return recv_exactly_large(self, head, wanted)
        try:
            fill(head, stack, wanted, True, &filled)
        except BaseException as error:
            attach(error, "partial", PyBytes_FromStringAndSize(stack, filled))
            raise
        if filled < wanted:
            raise_incomplete(PyBytes_FromStringAndSize(stack, filled), wanted)
        return PyBytes_FromStringAndSize(stack, filled)

    def recv_exactly_into(self, buffer, /):
        """Fill a writable buffer: as recv_exactly(len(buffer)), without a new object.

        Returns
        -------
        int
            The size of the buffer in bytes.

        Raises
        ------
        As recv_exactly(); `.partial` is a copy of what arrived, which is also at the
        start of the buffer. `.partial_is_exact` as there.
        """
        cdef SocketHead *head = head_of(self)
        cdef BufferView view
        cdef Py_ssize_t filled = 0
        borrow_writable(buffer, &view, "recv_exactly_into() argument 1")
        try:
            try:
                fill_any(self, head, <char *>view.buf, view.len, is_plain(&view), buffer,
                         &filled)
            except BaseException as error:
                attach(error, "partial",
                       PyBytes_FromStringAndSize(<char *>view.buf, filled))
                raise
            if filled < view.len:
                raise_incomplete(
                    PyBytes_FromStringAndSize(<char *>view.buf, filled), view.len)
            return filled
        finally:
            PyBuffer_Release(&view)

    def sendmsg_all(self, buffers, flags=0, /):
        """Send all bytes of any number of buffers, without joining them first.

        Parameters
        ----------
        buffers : iterable of bytes-like
            Sent one after the other; more than IOV_MAX go in several calls.
        flags : int
            As for send().

        Raises
        ------
        ValueError
            On a socket that is no stream, where the parts would be messages.
        TypeError
            A piece is no bytes-like object; nothing was sent (of a class with a send or
            sendall of its own: the pieces before it were).
        TimeoutError, BlockingIOError, OSError
            The socket's timeout bounds the whole call (each send of a class that has its
            own).

        Notes
        -----
        Whatever ends it early has `.pieces_accepted`, how many pieces went out wholly, and
        `.bytes_sent`, how many bytes went out, which may end inside the next piece.
        `.pieces_returned` is a list of all that did not go out, beginning inside that piece:
        `sendmsg_all(error.pieces_returned)` continues. Where a class's own method raised and
        how much it sent is not known, `.bytes_sent` is None.
        """
        cdef SocketHead *head = head_of(self)
        cdef Py_ssize_t total = 0
        cdef Progress progress = Progress(0, 0)
        cdef list taken = None
        cdef tuple items = None
        cdef Budget budget
        try:
            if type(buffers) is tuple or type(buffers) is list:
                items = tuple(buffers)
            else:
                check_pieces(buffers, "sendmsg_all", "sendall(data), or [data]")
                taken = []
                take_all(buffers, taken, "sendmsg_all() argument 1")
                items = tuple(taken)
            # Only now: `.pieces_returned` has what was taken.
            if head.type != SOCK_STREAM:
                raise ValueError("sendmsg_all() needs a SOCK_STREAM socket, and this one is "
                                 f"{self.type!r}")
            if not overrides(self):
                budget = budget_of(head)
                send_all_of(head, items, as_int(flags), &budget, &total, &progress)
                return
            for buffer in items:
                try:
                    send_by_methods(self, buffer, flags, &progress.inside)
                finally:
                    total += max(progress.inside, 0)
                progress.pieces += 1
                progress.inside = 0
        except BaseException as error:
            report(error, progress.pieces, NOT_KNOWN if progress.inside < 0 else total)
            attach(error, "pieces_returned",
                   taken or [] if items is None else rest_of(items, &progress))
            raise

    def accept_many(self, limit=1024, /):
        """Accept every connection that waits, at least one.

        Parameters
        ----------
        limit : int
            At most so many; above 0.

        Returns
        -------
        list of (fastsock.socket, address)
            Waits for the first as accept() does, and for no other. Where accepting
            fails after the first (EMFILE), the list ends there, and the next call
            raises.

        Raises
        ------
        MemoryError
            With `.accepted`, the list of those who had been accepted before: the one for
            whose object there was no memory is closed.

        Where other threads or processes accept from the same listener, give it a timeout:
        without one, a connection that they take between poll(2) and accept(2) is waited for.
        """
        cdef SocketHead *head = head_of(self)
        cdef Py_ssize_t most = as_size(limit)
        if most < 1:
            raise ValueError(f"accept_many() takes a limit above 0, not {most}")
        cls = class_of_sockets()
        if not is_ours(head.family) or (
                type(self) is not cls and type(self).accept is not cls.accept):
            return [self.accept()]
        return _connection.accept_many(head, cls, most)

    def peer_credentials(self, /):
        """Who is at the other end of an AF_UNIX connection, by the kernel's word.

        Returns
        -------
        PeerCredentials(pid, uid, gid)
            A named tuple of int: of the process that connected, or listened, or made the
            socketpair(), as it was then. pid is -1 on systems that do not tell.

        Raises
        ------
        ValueError
            On a socket of another family, whose peer the kernel does not know.
        OSError
            ENOTCONN: it is not connected.

        Source: SO_PEERCRED of unix(7), getpeereid(3). A pid may be another process's by
        the time that it is looked up; uid and gid stay true.
        """
        cdef SocketHead *head = head_of(self)
        cdef long pid = -1, uid = -1, gid = -1
        if head.family != AF_UNIX:
            raise ValueError("peer_credentials() needs an AF_UNIX socket, and this one is "
                             f"{self.family!r}")
        if fastsock_peer_credentials(head.fd, &pid, &uid, &gid) < 0:
            raise_errno(libc.errno)
        from fastsock._credentials import PeerCredentials
        return PeerCredentials(pid, uid, gid)

    def set_busy_poll(self, microseconds, /):
        """Ask again for so long before each sleep: for answers that come at once.

        Parameters
        ----------
        microseconds : int
            0 (off) to 1,000,000. A processor is busy for as long, each time that the
            socket has to wait; a socket on which that keeps failing stops busy-polling
            and tries now and then.

        It belongs to this object: a dup() does not inherit it, close() and detach()
        end it. SO_BUSY_POLL is set too where the kernel allows it (socket(7)).
        """
        set_socket_busy_poll(head_of(self), microseconds)


cdef int send_by_methods(object self, object buffer, object flags, Py_ssize_t *sent) except -1:
    """Send all of one buffer by the class's own send(), or by its sendall() where only that is
    its own. `sent` says how much of it went out, below 0 that this is not known."""
    given = (flags,) if flags else ()
    cls = class_of_sockets()
    cdef object left = memoryview(buffer).cast("B")
    cdef Py_ssize_t size = len(left)
    cdef Py_ssize_t count
    if type(self).send is cls.send and type(self).sendall is not cls.sendall:
        try:
            self.sendall(buffer, *given)
        except BaseException as error:
            sent[0] = NOT_KNOWN  # also if the next line raises
            sent[0] = sent_by_sendall(error, size)
            raise
        sent[0] = size
        return 0
    while sent[0] < size:
        try:
            found = self.send(left[sent[0]:], *given)
        except BaseException as error:
            if type(self).send is not cls.send:
                count, sent[0] = sent[0], NOT_KNOWN  # also if there is no memory to find out
                if is_exact(error):
                    sent[0] = count
            raise
        count = as_size(found)
        if not 0 < count <= size - sent[0]:
            raise ValueError(f"{type(self).__name__}.send() of {size - sent[0]} bytes "
                             f"returned {count}")
        sent[0] += count
    return 0


cdef list rest_of(tuple items, Progress *progress):
    """What did not go out of the pieces that were given."""
    cdef list rest = list(items[progress.pieces:])
    if progress.inside > 0:
        rest[0] = memoryview(rest[0]).cast("B")[progress.inside:]
    return rest


cdef object recv_exactly_large(object self, SocketHead *head, Py_ssize_t wanted):
    """recv_exactly() into the result itself."""
    cdef PyObject *result = NewBytes(NULL, wanted)
    cdef Py_ssize_t filled = 0
    try:
        try:
            # A memoryview of the result would have to be read-only.
            buffer = bytearray(wanted) if overrides(self) else None
            fill_any(self, head, PyBytes_AS_STRING(result), wanted, True, buffer, &filled)
        except BaseException as error:
            attach(error, "partial",
                   bytes(memoryview(buffer)[:filled]) if buffer is not None
                   else PyBytes_FromStringAndSize(PyBytes_AS_STRING(result), filled))
            raise
        if buffer is not None:
            if filled < wanted:
                raise_incomplete(bytes(memoryview(buffer)[:filled]), wanted)
            return bytes(buffer)
        if filled < wanted:
            raise_incomplete(
                PyBytes_FromStringAndSize(PyBytes_AS_STRING(result), filled), wanted)
        return <object>result
    finally:
        Py_DECREF(<object>result)


cdef int fill_any(object self, SocketHead *head, char *memory, Py_ssize_t size,
                  bint is_plain_memory, object buffer, Py_ssize_t *filled) except -1:
    """Fill memory by recv(2), or `buffer` by the class's own recv_into()."""
    if not overrides(self):
        fill(head, memory, size, is_plain_memory, filled)
        return 0
    cdef object room = memoryview(buffer).cast("B")
    cdef bint is_known = True   # is `filled` all that was received?
    cls = class_of_sockets()
    has_own_recv_into = type(self).recv_into is not cls.recv_into
    is_plain_recv = not has_own_recv_into and type(self).recv is cls.recv
    deadline_ns = deadline_after(head.timeout_ns)
    try:
        while filled[0] < size:
            is_known = is_plain_recv
            if has_own_recv_into:
                count = self.recv_into(room[filled[0]:])
            else:
                data = self.recv(size - filled[0])
                count = len(data)
                room[filled[0]:filled[0] + <Py_ssize_t>count] = data
            filled[0] += <Py_ssize_t>count
            is_known = True
            if count == 0:
                break
            if filled[0] < size and has_passed(deadline_ns):
                raise TimeoutError("timed out")
    except BaseException as error:
        attach(error, "partial_is_exact", is_known or is_exact(error))
        raise
    return 0


cdef int raise_incomplete(object partial, Py_ssize_t expected) except -1:
    from fastsock._exceptions import IncompleteReadError
    raise IncompleteReadError(partial, expected)


cdef Py_ssize_t fill(SocketHead *sock, char *memory, Py_ssize_t size, bint is_plain_memory,
                     Py_ssize_t *filled) except -1:
    """Receive until `size` bytes are there or the peer has ended; returns how many.

    `filled` says at any moment how many have arrived.
    """
    cdef Budget budget = budget_of(sock)
    cdef Py_ssize_t count
    filled[0] = 0
    while filled[0] < size:
        count = receive(sock, memory + filled[0], size - filled[0], 0, is_plain_memory, NULL,
                        &budget)
        if count == 0:
            break
        filled[0] += count
        if filled[0] < size:
            check_progress(&budget, False)
    return filled[0]
