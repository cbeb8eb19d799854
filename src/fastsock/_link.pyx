"""What a stream reads from and writes to: a socket's system calls, or a class's methods.

Rules: a socket of fastsock's or the stdlib's class is used directly. Whatever has a
recv, recv_into, send or sendall of its own (TLS) is used through these, and then its
own timeout bounds each call. The end of the stream is remembered: once the peer has
ended it, no call is made any more.
"""

from types import BuiltinMethodType

from libc.string cimport memcpy

from fastsock._arguments cimport as_size
from fastsock._buffers cimport borrow_readable
from fastsock._deadline cimport NO_DEADLINE
from fastsock._errors cimport attach
from fastsock._gather cimport send_all_of
from fastsock._libc cimport SOCK_STREAM
from fastsock._outbox cimport Outbox, parts_left
from fastsock._pieces cimport NOT_KNOWN, is_exact, sent_by_sendall
from fastsock._platform cimport FASTSOCK_IOV_MAX
from fastsock._python cimport BufferView, PyBuffer_Release, PyErr_CheckSignals
from fastsock._self cimport TRANSFERS, class_of_sockets, class_of_stdlib, head_of, is_socket
from fastsock._transfer cimport receive as receive_by_call, transmit
from fastsock._wait cimport budget_of, check_progress

cdef enum:
    NON_BLOCKING_PARTS = 64     # a call: 256 KiB or more, if none of them is small


cdef class Link:
    """Internal: belongs to one Stream."""

    def __init__(self, sock):
        cls = type(sock)
        self.sock = sock
        if is_socket(sock):
            if head_of(sock).type != SOCK_STREAM:
                raise ValueError("a Stream needs a SOCK_STREAM socket, and this one is "
                                 f"{sock.type!r}")
            ours = class_of_sockets(), class_of_stdlib()
            if not any([is_own(cls, name, ours) for name in TRANSFERS]):
                self.head = head_of(sock)
                return
            self.receives_into = not is_own(cls, "recv", ours) and is_own(cls, "recv_into", ours)
        elif not (hasattr(sock, "send") and hasattr(sock, "recv")):
            raise TypeError("a Stream takes a connected SOCK_STREAM socket, or an object with "
                            f"recv() and send(), not {sock!r} ({type(sock).__name__})")
        self.receive_method = sock.recv_into if self.receives_into else sock.recv
        self.receive_is_plain = is_plain_method(self.receive_method)
        if (is_socket(sock) and not is_own(cls, "send", ours)
                and is_own(cls, "sendall", ours)):
            return
        self.send_method = sock.send
        self.send_is_plain = is_plain_method(self.send_method)

    cdef Budget budget(self):
        """The time that one operation may take: the socket's timeout."""
        cdef Budget budget
        if self.head != NULL:
            return budget_of(self.head)
        budget.deadline_ns = NO_DEADLINE
        try:
            timeout = self.sock.gettimeout()
        except AttributeError:
            timeout = None
        budget.timeout_ns = -1 if timeout is None else <long long>(timeout * 1e9)
        return budget

    cdef Py_ssize_t receive(self, char *memory, Py_ssize_t size, bint is_plain_memory,
                            Budget *budget) except -1:
        """Receive once, at least a byte; 0 at the peer's end."""
        cdef BufferView view
        cdef Py_ssize_t count
        if self.has_ended:
            return 0
        if self.head != NULL:
            count = receive_by_call(self.head, memory, size, 0, is_plain_memory, NULL, budget)
        else:
            data = self.receive_by_method(size)
            borrow_readable(data, &view)
            try:
                count = view.len
                if count > size:
                    raise ValueError(f"{type(self.sock).__name__}.recv({size}) returned "
                                     f"{count} bytes")
                memcpy(memory, view.buf, count)
            finally:
                PyBuffer_Release(&view)
        if count == 0:
            self.has_ended = True
        return count

    cdef object receive_by_method(self, Py_ssize_t size):
        """By the class's recv(), or by its recv_into() where only that is its own."""
        cdef Py_ssize_t count
        if self.is_recv_broken:
            raise OSError(f"{type(self.sock).__name__}."
                          f"{'recv_into' if self.receives_into else 'recv'}() was interrupted "
                          "before: how much it received is not known, so nothing more is read")
        # Not into our memory: a method may keep the view that it is given.
        data = bytearray(size) if self.receives_into else size
        try:
            found = self.receive_method(data)
        except BaseException as error:
            if not self.receive_is_plain:
                self.is_recv_broken = True  # also if there is no memory to find out
                self.is_recv_broken = not is_exact(error)
            raise
        if not self.receives_into:
            return found
        count = found
        return memoryview(data)[:count]

    cdef int send(self, Outbox outbox, Budget *budget) except -1:
        """Send all within a budget. On failure the rest stays in the outbox, and the exception
        has `bytes_sent`, how much of it went out; None: not known."""
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t sent = 0
        self.check_sends()
        try:
            while True:
                try:
                    self.send_front(outbox, budget, &sent)
                finally:
                    outbox.forget(sent)
                    total += sent
                    sent = 0
                if outbox.size == 0:
                    return 0
                if self.head != NULL:
                    check_progress(budget, False)
        except BaseException as error:
            # Counted here: an exception that is raised again has an old `bytes_sent`.
            attach(error, "bytes_sent", None if self.is_broken else total)
            raise

    cdef int check_sends(self) except -1:
        """Refuse to send behind what is not known to have gone out."""
        if self.is_broken:
            name = "sendall" if self.send_method is None else "send"
            error = OSError(f"{type(self.sock).__name__}.{name}() was interrupted before: how "
                            "much it sent is not known, so nothing more is sent")
            attach(error, "bytes_sent", 0)
            raise error
        return 0

    cdef int send_front(self, Outbox outbox, Budget *budget, Py_ssize_t *sent) except -1:
        """Send what one call is given; `sent` counts at any moment how much of it went out.

        The number of parts is bounded: a call that sends few of many must not look at all.
        """
        if self.head == NULL:
            for part in outbox.front_parts(1):
                self.send_by_method(part, sent)
        elif parts_left(outbox):
            send_all_of(
                self.head, outbox.front_parts(
                    NON_BLOCKING_PARTS if budget.timeout_ns == 0 else FASTSOCK_IOV_MAX),
                0, budget, sent, NULL)
        else:
            while sent[0] < outbox.filled - outbox.start:
                sent[0] += transmit(
                    self.head, outbox.memory + outbox.start + sent[0],
                    outbox.filled - outbox.start - sent[0], 0, True, budget)
                check_progress(budget, sent[0] == outbox.filled - outbox.start)
        return 0

    cdef int send_by_method(self, object part, Py_ssize_t *sent) except -1:
        """By the class's send(), or by its sendall() where only that is its own."""
        cdef Py_ssize_t count
        if self.send_method is None:
            self.send_by_sendall(part, sent)
            return 0
        left = memoryview(part)
        while len(left):
            PyErr_CheckSignals()
            try:
                taken = self.send_method(left)
            except BaseException as error:
                # A signal handler also runs after a method in Python has sent: TLS must not
                # repeat that.
                if not self.send_is_plain:
                    self.is_broken = True  # also if there is no memory to find out
                    self.is_broken = not is_exact(error)
                raise
            count = as_size(taken)
            if not 0 < count <= len(left):
                raise ValueError(f"{type(self.sock).__name__}.send() of {len(left)} bytes "
                                 f"returned {count}")
            sent[0] += count
            left = left[count:]
        return 0

    cdef int send_by_sendall(self, object part, Py_ssize_t *sent) except -1:
        """By sendall(), where only that is the class's own: send() would go around it.

        fastsock's own reports in `bytes_sent` how much went out when it failed. Without
        that, what is to be sent next is not known: then nothing is sent any more.
        """
        cdef Py_ssize_t count
        try:
            self.sock.sendall(part)
        except BaseException as error:
            self.is_broken = True  # also if the next line raises
            count = sent_by_sendall(error, len(part))
            if count != NOT_KNOWN:
                self.is_broken = False
                sent[0] += count
            raise
        sent[0] += len(part)
        return 0


cdef bint is_plain_method(object method) except -1:
    """Is it a socket's own, without a line of Python in which a signal handler could run?"""
    return type(method) is BuiltinMethodType and is_socket(method.__self__)


cdef bint is_own(object cls, str name, tuple known) except -1:
    """Has the class a method of its own under this name?"""
    method = getattr(cls, name)
    return all([method is not getattr(one, name) for one in known])
