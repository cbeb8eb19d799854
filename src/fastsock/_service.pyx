"""What the connections of one serve() share: its functions, its framing, its memory.

Job: checks of the functions that serve() is given, and of what they return; which
connection the running function is of; where replies are gathered. It knows no connection.
"""

import functools
import types

from cpython.iterator cimport PyIter_Check
from libc.stdlib cimport free, realloc

cdef str SERVICE = "fastsock.Service"       # in of_thread(): the one that runs in this thread

cdef extern from "Python.h":
    PyObject *PyThreadState_GetDict() noexcept


cdef inline dict of_thread():
    """This thread's values. Not threading.local, which a program may have replaced."""
    return <dict><object>PyThreadState_GetDict()


cdef enum:
    CO_COROUTINE = 0x80         # of code.co_flags, as inspect has them
    CO_ASYNC_GENERATOR = 0x200


cdef bint is_iterable(object value) except -1:
    """Can it be several answers? A str or a dict is a mistake, though it can be iterated."""
    if type(value) is list or type(value) is tuple or PyIter_Check(value):
        return True
    if isinstance(value, (str, dict)):
        return False
    return hasattr(value, "__iter__") or hasattr(value, "__getitem__")


def check_function(str what, function, /):
    """Raise TypeError for what can't be called, and for a function whose result must be
    awaited, which no loop here does."""
    if not callable(function):
        raise TypeError(f"{what} must be callable, not {type(function).__name__!r}")
    called = function
    while isinstance(called, functools.partial):
        called = called.func
    code = getattr(called, "__code__", None)
    if code is None:  # an object with a method __call__()
        code = getattr(getattr(type(called), "__call__", None), "__code__", None)
    if isinstance(code, types.CodeType) and code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
        raise TypeError(f"{what} must be a plain function, not the coroutine function "
                        f"{function!r}: there is no asyncio loop that would run it")


cdef class Service:
    """What the connections of one serve() share.

    Parameters
    ----------
    handler : callable
        bytes -> bytes, None or an iterable of bytes.
    framing : Framing or None
    on_connect, on_disconnect : callable or None
        As of serve().
    """

    def __init__(self, handler, Framing framing, on_connect=None, on_disconnect=None):
        check_function("handler", handler)
        if on_connect is not None:
            check_function("on_connect", on_connect)
        if on_disconnect is not None:
            check_function("on_disconnect", on_disconnect)
        if framing is not None:
            framing.check_made()
        self.handler = handler
        self.on_connect = on_connect
        self.on_disconnect = on_disconnect
        self.framing = framing

    def __dealloc__(self):
        free(self.out)

    def run(self, function, *arguments):
        """Internal: call a function; current_connection() is for this service meanwhile."""
        previous = of_thread().get(SERVICE)
        of_thread()[SERVICE] = self
        try:
            function(*arguments)
        finally:
            of_thread()[SERVICE] = previous

    cdef int answer_batch(self) except -1:
        """Give the handler the messages that wait for it, if it takes batches."""
        return 0

    cdef str say_what(self, object answer):
        """For an error: the class of an answer that is none, and the handler it is of."""
        name = getattr(self.handler, "__name__", None) or type(self.handler).__name__
        return f"{type(answer).__name__!r} ({answer!r:.60}, from {name}())"

    cdef int grow(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t room = max(4096, self.out_size + size + self.out_room)
        cdef char *memory = <char *>realloc(self.out, room)
        if memory == NULL:
            raise MemoryError(f"no memory for {room} bytes of replies")
        self.out = memory
        self.out_room = room
        return 0


def current_connection():
    """Return the connection whose message the running handler was given.

    Returns
    -------
    HandlerTransport
        With send(), get_extra_info("peername"), close() and the other methods of asyncio's
        transports. In on_connect() and on_disconnect() it is the connection they are
        called with.

    Raises
    ------
    RuntimeError
        No handler runs in this thread, or one of serve_batches(), whose messages come
        from many connections.
    """
    cdef Service service = of_thread().get(SERVICE)
    if service is None or service.current == NULL:
        raise RuntimeError("current_connection() is for a handler of fastsock.serve() while "
                           "it runs, and not for one of serve_batches()")
    return <object>service.current
