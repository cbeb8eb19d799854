"""The framings whose messages have a known size: a length in front, or always the same.

The rules are those of _framing.pyx.
"""

import re
import struct

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from fastsock._buffers cimport fastsock_copy
from fastsock._framing cimport Frame, Framing, raise_malformed, raise_overrun

cdef enum:
    LARGEST_MESSAGE = 16777216


cdef class Sized(Framing):
    "Sized()\n--\n\n" \
        """What the framings have in common whose header says how long the payload is."""

    cdef int set_frame(self, Frame *frame, Py_ssize_t header, unsigned long long size,
                       Py_ssize_t trailer, Py_ssize_t available) except -1:
        if size > <unsigned long long>self.limit:
            frame.total = 0
            raise_overrun(self, size, header + <Py_ssize_t>min(
                size, <unsigned long long>(available - header)))
        frame.header = header
        frame.size = <Py_ssize_t>size
        frame.total = header + frame.size + trailer
        return 0


cdef class LengthPrefix(Sized):
    "LengthPrefix(format='!I', *, limit=None, includes_header=False)\n--\n\n" \
        """Messages with their length in front, as one integer of the struct module.

    Parameters
    ----------
    format : str
        One of the integers b, B, h, H, i, I, l, L, q, Q, n, N, with a byte order in
        front if wanted: "!I" is four bytes in network order.
    limit : int
        The longest payload in bytes; by default 16 MiB, or what the integer can say.
    includes_header : bool
        Does the length count itself?
    """
    cdef readonly str format
    cdef readonly bint includes_header
    cdef int width
    cdef bint is_big
    cdef bint is_signed
    cdef unsigned long long largest

    def __init__(self, format="!I", *, limit=None, includes_header=False):
        self.check_unmade()
        if not isinstance(format, str):
            raise TypeError(f"format must be a str, not {type(format).__name__!r}")
        if not re.fullmatch("[@=<>!]?[bBhHiIlLqQ]|@?[nN]", format):
            raise ValueError("format must be one integer of the struct module with an "
                             f"optional byte order, such as '!I', not {format!r}")
        self.format = str(format)
        self.includes_header = includes_header
        self.width = struct.calcsize(format)
        self.is_big = struct.pack(format, 1).endswith(b"\x01") and self.width > 1
        self.is_signed = format.endswith(tuple("bhilqn"))
        self.largest = ~<unsigned long long>0 >> (64 - 8 * self.width + self.is_signed)
        cdef unsigned long long most = self.largest
        if includes_header:
            most -= self.width
        if limit is None:
            limit = min(<unsigned long long>LARGEST_MESSAGE, most)
        elif isinstance(limit, int) and limit > most:
            raise ValueError(f"a length of format {format!r} can say at most {most} bytes: "
                             f"limit can't be {limit}")
        self.set_limit(limit)

    cdef str settings(self):
        return (f"{self.format!r}, limit={self.limit}, "
                f"includes_header={bool(self.includes_header)}")

    cdef bint find(self, const char *data, Py_ssize_t size, Py_ssize_t *searched,
                   int64_t position, Frame *frame) except -1:
        cdef const unsigned char *header = <const unsigned char *>data
        cdef unsigned long long value = 0
        cdef int index
        frame.total = 0
        if size < self.width:
            return False
        if self.is_big:
            for index in range(self.width):
                value = value << 8 | header[index]
        else:
            for index in range(self.width - 1, -1, -1):
                value = value << 8 | header[index]
        if self.is_signed and value > self.largest:
            raise_malformed("a negative length", position)
        if self.includes_header:
            if value < <unsigned long long>self.width:
                raise_malformed(f"a length of {value}, which counts its own {self.width} bytes,",
                                position)
            value -= self.width
        self.set_frame(frame, self.width, value, 0, size)
        return size >= frame.total

    cdef Py_ssize_t write_header(self, Py_ssize_t payload_size, char *target) except -1:
        cdef unsigned long long value = payload_size
        cdef int index
        if self.includes_header:
            value += self.width
        for index in range(self.width):
            target[self.width - 1 - index if self.is_big else index] = <char>(value & 255)
            value >>= 8
        return self.width


cdef class Varint(Sized):
    "Varint(*, limit=16777216)\n--\n\n" \
        """Messages with their length in front as a varint: protobuf's delimited form.

    Parameters
    ----------
    limit : int
        The longest payload in bytes.
    """

    def __init__(self, *, limit=LARGEST_MESSAGE):
        self.check_unmade()
        self.set_limit(limit)

    cdef bint find(self, const char *data, Py_ssize_t size, Py_ssize_t *searched,
                   int64_t position, Frame *frame) except -1:
        cdef unsigned long long value = 0
        cdef unsigned char byte
        cdef int index
        frame.total = 0
        for index in range(<int>min(size, 10)):
            byte = <unsigned char>data[index]
            if index == 9 and byte > 1:
                raise_malformed("a varint of more than 10 bytes" if byte & 128
                                else "a varint of more than 64 bits", position + 9)
            value |= <unsigned long long>(byte & 127) << (7 * index)
            if not byte & 128:
                self.set_frame(frame, index + 1, value, 0, size)
                return size >= frame.total
        return False

    cdef Py_ssize_t write_header(self, Py_ssize_t payload_size, char *target) except -1:
        cdef unsigned long long value = payload_size
        cdef Py_ssize_t count = 0
        while value > 127:
            target[count] = <char>(value & 127 | 128)
            value >>= 7
            count += 1
        target[count] = <char>value
        return count + 1


cdef class Netstring(Sized):
    "Netstring(*, limit=16777216)\n--\n\n" \
        """Messages as netstrings: b"5:hello,".

    Parameters
    ----------
    limit : int
        The longest payload in bytes.

    Source: https://cr.yp.to/proto/netstrings.txt
    """

    def __init__(self, *, limit=LARGEST_MESSAGE):
        self.check_unmade()
        self.set_limit(limit)

    cdef bint find(self, const char *data, Py_ssize_t size, Py_ssize_t *searched,
                   int64_t position, Frame *frame) except -1:
        cdef unsigned long long value = 0
        cdef Py_ssize_t index
        frame.total = 0
        for index in range(size):
            if index > 0 and data[index] == b":":
                self.set_frame(frame, index + 1, value, 1, size)
                break
            if not b"0" <= data[index] <= b"9":
                raise_malformed("no digit or colon in the length of a netstring",
                                position + index)
            if index == 1 and data[0] == b"0":
                raise_malformed("a zero in front of the length of a netstring", position)
            value = value * 10 + (<unsigned char>data[index] - <unsigned char>b"0")
            if value > <unsigned long long>self.limit:
                raise_overrun(self, f"{value} or more", index + 1)
        if frame.total == 0 or size < frame.total:
            return False
        if data[frame.total - 1] != b",":
            raise_malformed("no comma behind a netstring", position + frame.total - 1)
        return True

    cdef Py_ssize_t write_header(self, Py_ssize_t payload_size, char *target) except -1:
        digits = b"%d:" % payload_size
        fastsock_copy(target, PyBytes_AS_STRING(digits), PyBytes_GET_SIZE(digits))
        return PyBytes_GET_SIZE(digits)

    cdef Py_ssize_t write_trailer(self, char *target) except -1:
        target[0] = b","
        return 1


cdef class Fixed(Sized):
    "Fixed(size)\n--\n\n" \
        """Messages of one size, without anything around them.

    Parameters
    ----------
    size : int
        1 or more bytes.
    """

    def __init__(self, size):
        self.check_unmade()
        self.set_limit(size, "size")

    cdef str settings(self):
        return str(self.limit)

    @property
    def size(self):
        """The size of each message in bytes."""
        return self.limit

    cdef bint find(self, const char *data, Py_ssize_t size, Py_ssize_t *searched,
                   int64_t position, Frame *frame) except -1:
        self.set_frame(frame, 0, self.limit, 0, size)
        return size >= frame.total

    cdef int check_payload(self, const char *payload, Py_ssize_t size) except -1:
        if size != self.limit:
            raise ValueError(f"a message of this framing has {self.limit} bytes, not {size}")
        return 0
