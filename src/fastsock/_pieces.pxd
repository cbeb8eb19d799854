# Calls that are given several pieces of data: what they refuse, and what ends them early.
#
# Contract, of Stream.write, writelines, send_message and send_messages, sendmsg_all, sendmmsg,
# sendmmsg_from and send_segmented (docs/streams.md). The exception has
#   pieces_accepted   how many pieces the call took responsibility for. Pass the others again.
#   bytes_sent        how many bytes went out during the call.
#   pieces_returned   of the calls that take an iterable: the pieces that were taken from it and
#                     not accepted. They go before what the iterable still has.

from cpython.buffer cimport PyObject_CheckBuffer

from fastsock._errors cimport attach


cdef inline int report(object error, Py_ssize_t accepted, object bytes_sent) except -1:
    attach(error, "pieces_accepted", accepted)
    return attach(error, "bytes_sent", bytes_sent)


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
