"""The messages of many connections, given to the handler in one call.

Job: what serve_batches() does at the end of a wake-up of the loop. The connections put their
messages there (_handler.pyx), and get the answers back.

Rules: a connection's answers are in the order of its messages. A handler that raises ends all
connections whose messages it was given; an answer that is none ends its own.
"""

from cpython.buffer cimport PyObject_CheckBuffer

from fastsock._framing cimport Framing
from fastsock._handler cimport HandlerTransport
from fastsock._service cimport is_iterable


cdef class BatchService(Service):
    """As Service, for a handler that takes a list of messages.

    Parameters
    ----------
    handler : callable
        A list of bytes -> an iterable of as many answers.
    framing, on_connect, on_disconnect
        As of Service.
    """

    def __init__(self, handler, Framing framing, on_connect=None, on_disconnect=None):
        Service.__init__(self, handler, framing, on_connect, on_disconnect)
        self.is_batch = True
        self.messages = []
        self.owners = []

    def end_of_wake_up(self):
        """Internal: give the handler all that this wake-up brought."""
        self.answer_batch()

    cdef int answer_batch(self) except -1:
        cdef HandlerTransport connection
        cdef Py_ssize_t count, position, index
        cdef list messages = self.messages
        cdef list owners = self.owners
        cdef list answers
        if not messages:
            return 0
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
                connection.waiting -= count  # also where KeyboardInterrupt propagates
            for connection, _ in owners:
                connection.callback_raised("the handler of a batch with messages")
            answers = None
        if answers is None:
            return 0
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
        return 0
