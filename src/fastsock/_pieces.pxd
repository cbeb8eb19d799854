# Calls that are given several pieces of data: what they refuse, and what ends them early.
#
# Contract, of Stream.write, writelines, send_message and send_messages, sendmsg_all, sendmmsg,
# sendmmsg_from and send_segmented (docs/streams.md). The exception has
#   pieces_accepted   how many pieces the call took responsibility for. Pass the others again.
#   bytes_sent        how many bytes went out during the call; None: not known.
#   pieces_returned   of the calls that take an iterable: the pieces that were taken from it and
#                     not accepted. They go before what the iterable still has.

from cpython.buffer cimport PyObject_CheckBuffer

from fastsock._errors cimport attach


cdef enum:
    NOT_KNOWN = -1              # how many bytes a class's own method sent


cdef inline int report(object error, Py_ssize_t accepted, Py_ssize_t bytes_sent) except -1:
    attach(error, "pieces_accepted", accepted)
    return attach(error, "bytes_sent", None if bytes_sent == NOT_KNOWN else bytes_sent)


cdef inline bint is_exact(object error) except -1:
    """Does an exception that leaves a class's own recv or send mean that it moved no data?

    An OSError that the method raised does. Another exception, or one that a signal handler
    raised, may have come once data was moved. The traceback has the frame of a handler, whose
    arguments have the frame that it interrupted, which is the one below it.
    """
    if not isinstance(error, OSError):
        return False
    traceback = error.__traceback__
    while traceback is not None:
        interrupted = traceback.tb_frame.f_back
        if interrupted is not None:
            for value in traceback.tb_frame.f_locals.values():
                if value is interrupted:
                    return False
                if type(value) is tuple:
                    for item in <tuple>value:
                        if item is interrupted:
                            return False
        traceback = traceback.tb_next
    return True


cdef inline Py_ssize_t sent_by_sendall(object error, Py_ssize_t size) except -2:
    """How much of its data a class's own sendall() sent that failed, by its `bytes_sent`.

    It may be that of another sendall() that it called. This one reports in `bytes_given` what
    it was given: it counts for the whole only where that is as much.
    """
    count = getattr(error, "bytes_sent", None)
    given = getattr(error, "bytes_given", size)
    if type(count) is int and 0 <= count <= size and type(given) is int and given == size:
        return count
    return NOT_KNOWN


cdef inline int check_pieces(object pieces, str call, str instead) except -1:
    """Refuse data in place of an iterable of data: its items would be numbers or characters."""
    cdef bint is_data = False
    if type(pieces) is list or type(pieces) is tuple:
        return 0
    if isinstance(pieces, str):
        is_data = True
    elif PyObject_CheckBuffer(pieces):
        is_data = memoryview(pieces).ndim < 2  # an array's rows are pieces
    if is_data:
        raise TypeError(f"{call}() takes an iterable of bytes-like objects, not "
                        f"{type(pieces).__name__!r}: use {instead}")
    return 0


cdef inline int take_all(object pieces, list taken, str what) except -1:
    """All pieces of an iterable; if it raises, those before are in `taken`."""
    try:
        pieces = iter(pieces)
    except TypeError:
        raise TypeError(f"{what} must be an iterable") from None
    for piece in pieces:
        taken.append(piece)
    return 0
