"""A connection whose messages go to a function, and whose answers go back.

Job: the connections of `fastsock.serve()`. A message is what a framing says, or
whatever arrived. What they share is in _service.pyx.

Rules: the replies to all that one receive brought go out in one system call. While a
peer does not read its answers, its messages wait. A handler that raises ends the
connections whose messages it was given. Bytes that are no message end theirs.
"""

import logging

from cpython.buffer cimport PyBUF_READ, PyObject_CheckBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from fastsock._buffers cimport borrow_readable, fastsock_copy
from fastsock._framing cimport MOST_HEADER, Frame, Framing, raise_incomplete
from fastsock._inbox cimport append, free_inbox, front, length, settle, take
from fastsock._python cimport BufferView, PyBuffer_Release, PyBytes_AS_STRING
from fastsock._readiness cimport READABLE
from fastsock._service cimport is_iterable, make_room
from fastsock._transport cimport MADE_BY_SERVER

from fastsock._exceptions import FramingError, IncompleteReadError, LimitOverrunError
from fastsock._self import own_methods

cdef object logger = logging.getLogger("fastsock.server")

cdef enum:
    MOST_GATHERED = 65536       # replies above are sent before more are made
    LARGE = 16384               # a reply that is not worth to be copied
    MOST_DRAINED = 16           # receives of what had arrived when the server is to end


cdef class HandlerTransport(ServerTransport):
    """A connection of fastsock.serve(), as current_connection() returns it.

    Thread safety: for the server's thread only.
    """

    def __dealloc__(self):
        free_inbox(&self.inbox)

    cdef int opened(self) except -1:
        cdef Service service = self.service
        cdef PyObject *previous = service.current
        if service.on_connect is None:
            return 0
        service.current = <PyObject *>self
        try:
            returned = service.on_connect(self)
            if returned is not None:
                raise TypeError(f"on_connect() returns None, not {type(returned).__name__!r}: "
                                "connection.send() sends a greeting")
            self.send_out()
        except BaseException:
            self.give_up("on_connect()")
        finally:
            service.current = previous
        return 0

    cdef int received(self, const char *data, Py_ssize_t size) except -1:
        cdef Inbox arrived
        if self.is_refused:
            return 0
        if self.is_read_paused:  # by on_connect(), and this came with the TLS handshake
            append(&self.inbox, data, size)
            self.is_held = True
            return 0
        if self.takes_whole():
            return self.answer_whole(PyBytes_FromStringAndSize(data, size))
        if length(&self.inbox) == 0:
            # The usual case: whole messages, which need not be copied anywhere first.
            arrived.memory = <char *>data
            arrived.start = 0
            arrived.end = arrived.capacity = size
            arrived.taken = self.inbox.taken
            try:
                self.take_messages(&arrived)
            finally:
                self.inbox.taken = arrived.taken
                if length(&arrived) and not self.closing:
                    append(&self.inbox, front(&arrived), length(&arrived))
        else:
            append(&self.inbox, data, size)
            self.take_messages(&self.inbox)
            settle(&self.inbox)
        return self.close_if_drained()

    cdef int read(self) except -1:
        if self.comes_large and self.tls is None and self.takes_whole():
            return self.read_into_bytes()
        return ServerTransport.read(self)

    cdef int received_bytes(self, bytes data) except -1:
        return self.answer_whole(data)

    cdef bint takes_whole(self) noexcept:
        """Is what arrives now a message, to be answered now?"""
        return self.service.framing is None and not self.service.is_batch

    cdef int answer_whole(self, bytes message) except -1:
        """Answer what arrived, without a framing: a usual answer is sent as it is."""
        cdef Service service = self.service
        cdef PyObject *previous = service.current
        self.inbox.taken += PyBytes_GET_SIZE(message)
        service.current = <PyObject *>self
        try:
            answer = service.handler(message)
            if (type(answer) is bytes and PyBytes_GET_SIZE(answer) < LARGE
                    and self.tls is None and self.region is None
                    and not (self.closing or self.has_replies)):
                self.send_memory(PyBytes_AS_STRING(<PyObject *>answer),
                                 PyBytes_GET_SIZE(answer))
            else:
                self.reply(answer)
                self.send_out()
        except BaseException:
            self.give_up("the handler")
        finally:
            service.current = previous
        return 0

    cdef int take_messages(self, Inbox *inbox) except -1:
        """Answer the whole messages at the front."""
        cdef Service service = self.service
        cdef PyObject *previous = service.current
        cdef bint is_answering = False
        if service.is_batch:
            return self.collect_messages(inbox)
        service.current = <PyObject *>self
        try:
            while not (self.closing or self.is_held):
                message = self.take_one(inbox)
                if message is None:
                    break
                is_answering = True
                self.reply(service.handler(message))
                is_answering = False
                if service.out_size > MOST_GATHERED:
                    self.send_out()
                if self.is_read_paused:
                    self.is_held = True
            self.send_out()
        except BaseException as error:
            if isinstance(error, (FramingError, LimitOverrunError)) and not is_answering:
                self.refuse(inbox, error)
                self.send_out()
            else:
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    self.is_held = True  # the messages behind wait until the loop goes on
                    self.loop.soon.append((self._resume, ()))
                self.give_up("the handler")
        finally:
            service.current = previous
        return 0

    cdef int collect_messages(self, Inbox *inbox) except -1:
        """Let the whole messages at the front wait for the batch."""
        cdef list messages = self.service.messages
        cdef Py_ssize_t before = len(messages)
        try:
            while True:
                message = self.take_one(inbox)
                if message is None:
                    break
                messages.append(message)
        except (FramingError, LimitOverrunError) as error:
            self.refuse(inbox, error)
        finally:
            if len(messages) > before:
                self.service.owners.append((self, len(messages) - before))
                self.waiting += len(messages) - before
        return 0

    cdef object take_one(self, Inbox *inbox):
        """The message at the front, or None if there is none. Raises FramingError and
        LimitOverrunError for what can't be one."""
        cdef Framing framing = self.service.framing
        cdef Frame frame
        if length(inbox) == 0:
            return None
        if framing is None:
            message = PyBytes_FromStringAndSize(front(inbox), length(inbox))
            take(inbox, length(inbox))
            return message
        if not framing.find(front(inbox), length(inbox), &self.searched, inbox.taken, &frame):
            return None
        message = PyBytes_FromStringAndSize(front(inbox) + frame.header, frame.size)
        take(inbox, frame.total)
        self.searched = 0
        return message

    cdef int refuse(self, Inbox *inbox, object error) except -1:
        """What is at the front is no message, and what follows it can't be told."""
        logger.info("%r sent what is no message: %s", self, error)
        take(inbox, length(inbox))
        self.is_refused = True
        self.refusal = error
        return 0

    cdef int give_up(self, str what) except -1:
        """End the connection for the exception that is being handled: the answers before
        that are sent, whether or not their messages came together with this one."""
        try:
            self.send_out()
            self.flush()
        except Exception:
            pass  # it ends for the first reason
        return self.callback_raised(what)

    cdef int reply(self, object answer) except -1:
        """Write a handler's answer: nothing, a message, or several."""
        if self.closing or answer is None:
            return 0
        self.refuse_behind_a_file()
        if type(answer) is bytes:
            return self.reply_with(
                answer, PyBytes_AS_STRING(<PyObject *>answer), PyBytes_GET_SIZE(answer))
        if PyObject_CheckBuffer(answer):  # also one whose elements could be iterated over
            return self.reply_with_buffer(answer)
        if not is_iterable(answer):
            raise TypeError("a handler returns bytes, None or an iterable of bytes, "
                            f"not {self.service.say_what(answer)}")
        for payload in answer:
            if self.closing:
                break
            self.refuse_behind_a_file()
            if not PyObject_CheckBuffer(payload):
                raise TypeError("the iterable that a handler returns consists of bytes, "
                                f"not {self.service.say_what(payload)}")
            self.reply_with_buffer(payload)
            if self.service.out_size > MOST_GATHERED:
                self.send_out()
        return 0

    cdef int refuse_behind_a_file(self) except -1:
        if self.region is not None:
            raise RuntimeError("a file is being sent: the answer would overtake it")
        return 0

    cdef int reply_with_buffer(self, object payload) except -1:
        cdef BufferView view
        borrow_readable(payload, &view)
        try:
            return self.reply_with(payload, <const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int reply_with(self, object payload, const char *data, Py_ssize_t size) except -1:
        """Write one answer: `payload`, whose bytes are at `data`."""
        cdef Service service = self.service
        cdef Framing framing = service.framing
        cdef char *end
        if framing is not None:
            framing.check_payload(data, size)
        end = make_room(service, 2 * MOST_HEADER + (size if size < LARGE else 0))
        if framing is not None:
            end += framing.write_header(size, end)
        if size < LARGE:
            fastsock_copy(end, data, size)
            end += size
        else:
            service.out_size = end - service.out
            self.has_replies = service.out_size > 0
            if type(payload) is bytes:
                self.say(payload)
            else:  # as bytes, whatever its format is: TLS takes no other
                self.say(PyMemoryView_FromMemory(<char *>data, size, PyBUF_READ))
            end = make_room(service, MOST_HEADER)
        if framing is not None:
            end += framing.write_trailer(end)
        service.out_size = end - service.out
        self.has_replies = service.out_size > 0
        return 0

    cdef int say(self, object data) except -1:
        """Behind the replies that were written."""
        self.queue_out()
        return ServerTransport.say(self, data)

    cdef int send_out(self) except -1:
        """Send the replies that were written."""
        cdef Service service = self.service
        cdef Py_ssize_t size = service.out_size
        if not self.has_replies:
            return 0
        self.has_replies = False
        service.out_size = 0
        if self.closing:
            return 0
        if self.tls is not None:
            return self.say(PyBytes_FromStringAndSize(service.out, size))
        return self.send_memory(service.out, size)

    cdef int queue_out(self) except -1:
        """Let the replies that were written wait for what comes behind them."""
        cdef Py_ssize_t size = self.service.out_size
        if self.has_replies:
            self.has_replies = False
            self.service.out_size = 0
            self.say(PyBytes_FromStringAndSize(self.service.out, size))
        return 0

    cdef int peer_ended(self) except -1:
        if self.waiting:
            self.service.answer_batch()  # TLS: message and end came together
        return self.close_if_drained()

    def send(self, message, /):
        """Send a message, framed as an answer is; returns at once.

        It goes behind what was sent on this connection before: in a handler, behind the
        answers to earlier messages and before the one that the handler returns. Any
        function of the server's thread may call it, also for another connection. Without a
        framing the message is sent as it is.

        Parameters
        ----------
        message : bytes-like
            It may be changed afterwards.

        Raises
        ------
        TypeError
            For anything else.
        ValueError
            The framing has no such message: it is too long, or contains the delimiter.
        RuntimeError
            After write_eof(), or while a file is being sent.

        Notes
        -----
        Nothing is sent on a connection that is closing, as by write(). What the peer does
        not read waits here, and get_write_buffer_size() returns how much that is; above
        `write_high_water` the peer's messages wait as well.
        Thread safety: for the server's thread; others use Server.call_soon_threadsafe().
        """
        cdef Service service = self.service
        if type(message) is not bytes and not PyObject_CheckBuffer(message):
            raise TypeError("message must be a bytes-like object, "
                            f"not {type(message).__name__!r}")
        if self.is_eof_wanted:
            raise RuntimeError("Cannot call send() after write_eof()")
        self.refuse_behind_a_file()
        if self.closing:
            return
        if service.current == <PyObject *>self or self.has_replies:
            self.reply_with_buffer(message)  # it goes out with the other replies
            if service.out_size > MOST_GATHERED:
                self.send_out()
        else:
            self.send_apart(message)

    cdef int send_apart(self, object message) except -1:
        """Send a message while the memory of replies is not this connection's."""
        cdef Framing framing = self.service.framing
        cdef bint was_dispatching = self.is_dispatching
        cdef char[MOST_HEADER] header
        cdef char[MOST_HEADER] trailer
        cdef Py_ssize_t before, after
        if framing is None:
            framed = (message if type(message) is bytes else memoryview(message).tobytes(),)
        elif type(message) is bytes and PyBytes_GET_SIZE(message) >= LARGE and self.tls is None:
            framing.check_payload(PyBytes_AS_STRING(<PyObject *>message),
                                  PyBytes_GET_SIZE(message))
            before = framing.write_header(PyBytes_GET_SIZE(message), header)
            after = framing.write_trailer(trailer)
            framed = (PyBytes_FromStringAndSize(header, before), message,
                      PyBytes_FromStringAndSize(trailer, after))
        else:
            framed = (framing.encode(message),)
        self.is_dispatching = True
        try:
            for part in framed:
                self.say(part)
        except BaseException as error:
            self.fail(error)  # a part of a message may have been sent
            raise
        finally:
            self.is_dispatching = was_dispatching
        if not was_dispatching:
            self.flush()
        return 0

    def write(self, data, /):
        """Send bytes behind the answers that were returned; see Server."""
        self.queue_out()
        ServerTransport.write(self, data)

    def write_eof(self):
        """Tell the peer that no more comes, when the answers were sent."""
        self.queue_out()
        ServerTransport.write_eof(self)

    cdef int close_gently(self) except -1:
        self.queue_out()
        return ServerTransport.close_gently(self)

    cdef int lost(self, object reason) except -1:
        free_inbox(&self.inbox)
        try:
            if self.waiting:  # KeyboardInterrupt left the loop before it was their turn
                self.service.answer_batch()
        finally:
            if self.service.on_disconnect is not None:
                self.say_farewell(self.refusal if reason is None else reason)
        return 0

    cdef int say_farewell(self, object reason) except -1:
        """Call on_disconnect()."""
        cdef Service service = self.service
        cdef PyObject *previous = service.current
        service.current = <PyObject *>self
        try:
            service.run(service.on_disconnect, self, reason)  # the loop may not run any more
        except BaseException:
            self.callback_raised("on_disconnect()")
        finally:
            service.current = previous
        return 0

    cdef int writing_paused(self, bint is_paused) except -1:
        """The peer does not read its answers: its messages wait until it does."""
        if not is_paused:
            # Held until then: the peer's end is not to be seen before its messages.
            self.loop.soon.append((self._resume, ()))
            return 0
        self.is_held = True
        return self.set_interest()

    def resume_reading(self):
        """Read again, and handle the messages that have arrived."""
        ServerTransport.resume_reading(self)
        if self.is_held:
            self.loop.soon.append((self._resume, ()))

    def _resume(self):
        """Internal: continue with the messages that waited."""
        if not self.is_held or self.is_write_paused or self.is_read_paused or self.closing:
            return
        self.is_held = False
        self.set_interest()
        self.is_dispatching = True
        try:
            self.take_messages(&self.inbox)
            settle(&self.inbox)
        except BaseException:
            self.callback_raised("going on with messages that had waited")
        finally:
            self.is_dispatching = False
        if self.service.is_batch:
            self.service.answer_batch()
        self.flush()
        self.close_if_drained()

    cdef int drain(self) except -1:
        """Close between two messages, behind those that have arrived."""
        cdef int64_t before = -1
        cdef int _count
        for _count in range(MOST_DRAINED):
            if (not self.interest & READABLE
                    or before == self.inbox.taken + length(&self.inbox)):
                break
            before = self.inbox.taken + length(&self.inbox)
            try:
                self.ready(READABLE)
            except Exception:
                self.ready_raised()
        if self.waiting:
            self.service.answer_batch()
        self.is_draining = True
        return self.close_if_drained()

    cdef int close_if_drained(self) except -1:
        """Close it if that is wanted, and no message is on its way."""
        if self.waiting or self.closing:
            return 0
        if self.is_refused or not self.is_held and (
                self.has_peer_ended or self.is_draining and length(&self.inbox) == 0):
            if length(&self.inbox):
                self.say_incomplete()
            self.close_gently()
        return 0

    cdef int say_incomplete(self) except -1:
        """The peer's end came inside a message: that is the reason for on_disconnect()."""
        logger.info("%r was ended by its peer inside a message, of which %d bytes had "
                    "arrived", self, length(&self.inbox))
        if self.service.framing is None:
            return 0
        try:
            raise_incomplete(self.service.framing, &self.inbox)
        except IncompleteReadError as error:
            self.refusal = error
        return 0


own_methods(HandlerTransport)


def new_connection(Service service):
    """Internal: a connection for an accepted fd."""
    cdef HandlerTransport made = HandlerTransport.__new__(
        HandlerTransport, MADE_BY_SERVER)
    made.service = service
    return made
