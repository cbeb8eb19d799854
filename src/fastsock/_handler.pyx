"""A connection whose messages go to a function, and whose answers go back.

Job: the connections of `fastsock.serve()`. A message is what a framing says, or
whatever arrived.

Rules: the replies to all that one receive brought go out in one system call. While a
peer does not read its answers, its messages wait. A handler that raises ends the
connections whose messages it was given. Bytes that are no message end theirs.
"""

import functools
import logging
import types

from cpython.buffer cimport PyBUF_READ, PyObject_CheckBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.iterator cimport PyIter_Check
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

from fastsock._buffers cimport borrow_readable, fastsock_copy
from fastsock._framing cimport MOST_HEADER, Frame
from fastsock._inbox cimport append, free_inbox, front, length, settle, take
from fastsock._python cimport BufferView, PyBuffer_Release, PyBytes_AS_STRING
from fastsock._readiness cimport READABLE

from fastsock._exceptions import FramingError, LimitOverrunError
from fastsock._self import own_methods

cdef object logger = logging.getLogger("fastsock.server")
cdef str SERVICE = "fastsock.Service"       # in of_thread(): the one that runs in this thread

cdef extern from "Python.h":
    PyObject *PyThreadState_GetDict() noexcept


cdef inline dict of_thread():
    """This thread's values. Not threading.local, which a program may have replaced."""
    return <dict><object>PyThreadState_GetDict()


cdef enum:
    MOST_GATHERED = 65536       # replies above are sent before more are made
    LARGE = 16384               # a reply that is not worth to be copied
    MOST_DRAINED = 16           # receives of what had arrived when the server is to end
    CO_COROUTINE = 0x80         # of code.co_flags, as inspect has them
    CO_ASYNC_GENERATOR = 0x200


cdef bint is_iterable(object value) except -1:
    """Can it be several answers? A str or a dict is a mistake, though it can be iterated."""
    if type(value) is list or type(value) is tuple or PyIter_Check(value):
        return True
    if isinstance(value, (str, dict)):
        return False
    return hasattr(value, "__iter__") or hasattr(value, "__getitem__")


cdef int refuse_coroutines(str what, object function) except -1:
    """Raise TypeError for a function whose result must be awaited, which no loop here does."""
    called = function
    while isinstance(called, functools.partial):
        called = called.func
    code = getattr(called, "__code__", None)
    if code is None:  # an object with a method __call__()
        code = getattr(getattr(type(called), "__call__", None), "__code__", None)
    if isinstance(code, types.CodeType) and code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
        raise TypeError(f"{what} must be a plain function, not the coroutine function "
                        f"{function!r}: there is no asyncio loop that would run it")
    return 0


cdef class Service:
    """What the connections of one serve() share.

    Parameters
    ----------
    handler : callable
        bytes -> bytes, None or an iterable of bytes; with `batch`, a list of bytes -> a
        list of as many of these.
    framing : Framing or None
    batch : bool
    """

    def __init__(self, handler, Framing framing, batch):
        if not callable(handler):
            raise TypeError(f"handler must be callable, not {type(handler).__name__!r}")
        refuse_coroutines("handler", handler)
        if framing is not None:
            framing.check_made()
        self.handler = handler
        self.framing = framing
        self.is_batch = batch
        self.messages = []
        self.owners = []

    def __dealloc__(self):
        free(self.out)

    def new_connection(self):
        """Internal: a connection for an accepted fd."""
        cdef HandlerTransport made = HandlerTransport.__new__(HandlerTransport)
        made.service = self
        return made

    def run(self, function):
        """Internal: call what runs the loop; current_connection() is for its handlers."""
        previous = of_thread().get(SERVICE)
        of_thread()[SERVICE] = self
        try:
            function()
        finally:
            of_thread()[SERVICE] = previous

    def answer_batch(self):
        """Internal: at the end of a wake-up, give the handler all that it brought."""
        cdef HandlerTransport connection
        cdef Py_ssize_t count, position, index
        cdef list messages = self.messages
        cdef list owners = self.owners
        cdef list answers
        if not messages:
            return
        self.messages = []
        self.owners = []
        try:
            returned = self.handler(messages)
            if type(returned) is not list and (
                    PyObject_CheckBuffer(returned) or not is_iterable(returned)):
                raise TypeError("a handler of batches returns a list of answers, "
                                f"not {self.say_what(returned)}")
            answers = <list>returned if type(returned) is list else list(returned)
            if len(answers) != len(messages):
                raise ValueError(f"the handler returned {len(answers)} answers to "
                                 f"{len(messages)} messages")
        except BaseException:
            for connection, count in owners:
                connection.waiting -= count  # also where KeyboardInterrupt goes on
            for connection, _ in owners:
                connection.callback_raised("the handler of a batch with messages")
            answers = None
        if answers is None:
            return
        position = 0
        for connection, count in owners:
            connection.waiting -= count
            if not connection.closing:
                connection.is_dispatching = True
                try:
                    for index in range(position, position + count):
                        connection.reply(answers[index])
                    connection.send_out()
                except BaseException:
                    connection.give_up("the answer of a batch handler")
                finally:
                    connection.send_out()  # before a KeyboardInterrupt; else nothing is left
                    connection.is_dispatching = False
                connection.flush()
                connection.close_if_drained()
            position += count

    cdef str say_what(self, object answer):
        """For an error: the class of an answer that is none, and the handler it is of."""
        name = getattr(self.handler, "__name__", None) or type(self.handler).__name__
        return f"{type(answer).__name__!r} ({answer!r:.60}, from {name}())"

    cdef char *make_room(self, Py_ssize_t size) except NULL:
        """Where the replies end, with room for so many bytes."""
        if self.out_room - self.out_size < size:
            self.grow(size)
        return self.out + self.out_size

    cdef int grow(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t room = max(4096, self.out_size + size + self.out_room)
        cdef char *memory = <char *>realloc(self.out, room)
        if memory == NULL:
            raise MemoryError(f"no memory for {room} bytes of replies")
        self.out = memory
        self.out_room = room
        return 0


cdef class HandlerTransport(ServerTransport):
    """A connection of fastsock.serve(), as current_connection() returns it.

    Thread safety: for the server's thread only.
    """

    def __dealloc__(self):
        free_inbox(&self.inbox)

    cdef int opened(self) except -1:
        return 0

    cdef int received(self, const char *data, Py_ssize_t size) except -1:
        cdef Inbox arrived
        if self.is_refused:
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
                    and self.tls is None and self.region is None and not self.closing):
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
            self.send_out()
        except BaseException as error:
            if isinstance(error, (FramingError, LimitOverrunError)) and not is_answering:
                self.refuse(inbox, error)
                self.send_out()
            else:
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    self.is_held = True  # the messages behind wait until the loop goes on
                    self.loop.soon.append((self.resume, ()))
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
        end = service.make_room(2 * MOST_HEADER + (size if size < LARGE else 0))
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
            end = service.make_room(MOST_HEADER)
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
        if length(&self.inbox):
            logger.info("%r was ended by its peer inside a message, of which %d bytes had "
                        "arrived", self, length(&self.inbox))
        if self.waiting:
            self.service.answer_batch()  # TLS: message and end came together
        return self.close_if_drained()

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
        return 0

    cdef int writing_paused(self, bint is_paused) except -1:
        """The peer does not read its answers: its messages wait until it does."""
        if not is_paused:
            # Held until then: the peer's end is not to be seen before its messages.
            self.loop.soon.append((self.resume, ()))
            return 0
        self.is_held = True
        return self.set_interest()

    def resume(self):
        """Internal: go on with the messages that waited."""
        if not self.is_held or self.is_write_paused or self.closing:
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
            self.close_gently()
        return 0


own_methods(HandlerTransport)


def current_connection():
    """The connection whose message the running handler was given.

    Returns
    -------
    HandlerTransport
        With get_extra_info("peername"), write(), close() and the other methods of
        asyncio's transports.

    Raises
    ------
    RuntimeError
        No handler runs in this thread, or one that takes batches, whose messages come
        from many connections.
    """
    cdef Service service = of_thread().get(SERVICE)
    if service is None or service.current == NULL:
        raise RuntimeError("current_connection() is for a handler of fastsock.serve() while "
                           "it runs, and not for one of serve_batches()")
    return <object>service.current
