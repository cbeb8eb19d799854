"""Framings in plain Python: the first message in bytes of which more may come.

Job: what our framings are compared with. Written from their documentation, one byte after
the other where that is plain, and with no regard to speed. No code is shared with ours.
"""

import struct
from typing import NamedTuple

from fastsock.framing import (
    Fixed, FramingError, LengthPrefix, LimitOverrunError, Lines, Netstring, Varint,
)


class Found(NamedTuple):
    """What is known of the message at the front."""

    message: bytes | None = None    # if all of it is there
    total: int | None = None        # its size with all that is around it, where that is known
    size: int | None = None         # its payload's, where that is known
    error: type | None = None       # it is none
    position: int | None = None     # for FramingError: which byte is wrong


NOTHING = Found()


def sized(framing, data, header, size, trailer=b""):
    if size > framing.limit:
        return Found(error=LimitOverrunError)
    total = header + size + len(trailer)
    if len(data) < total:
        return Found(None, total, size)
    if data[header + size:total] != trailer:
        return Found(None, total, size, FramingError, total - 1)
    return Found(data[header:header + size], total, size)


def first_line(framing, data):
    end = data.find(framing.delimiter)
    if end > framing.limit or end < 0 and len(data) - len(framing.delimiter) + 1 > framing.limit:
        return Found(error=LimitOverrunError)
    return NOTHING if end < 0 else Found(data[:end], end + len(framing.delimiter), end)


def first_length_prefixed(framing, data):
    width = struct.calcsize(framing.format)
    if len(data) < width:
        return NOTHING
    size, = struct.unpack(framing.format, data[:width])
    if framing.includes_header:
        size -= width
    if size < 0:
        return Found(error=FramingError, position=0)
    return sized(framing, data, width, size)


def first_varint(framing, data):
    value = 0
    for index, byte in enumerate(data):
        value |= (byte & 0x7f) << 7 * index
        if index == 9 and byte > 1:
            return Found(error=FramingError, position=9)
        if byte < 0x80:
            return sized(framing, data, index + 1, value)
    return NOTHING


def first_netstring(framing, data):
    digits = ""
    for index, byte in enumerate(data):
        if byte == ord(":") and digits:
            return sized(framing, data, index + 1, int(digits), b",")
        if not ord("0") <= byte <= ord("9"):
            return Found(error=FramingError, position=index)
        if digits == "0":
            return Found(error=FramingError, position=0)
        digits += chr(byte)
        if int(digits) > framing.limit:
            return Found(error=LimitOverrunError)
    return NOTHING


def first_fixed(framing, data):
    return sized(framing, data, 0, framing.size)


FIRST = {Lines: first_line, LengthPrefix: first_length_prefixed, Varint: first_varint,
         Netstring: first_netstring, Fixed: first_fixed}


def first(framing, data):
    """What is known of the first message in `data`, which may be empty."""
    return FIRST[type(framing)](framing, data) if data else NOTHING


def all_messages(framing, data):
    """(messages, where the rest begins, what is known of the rest)"""
    messages, at = [], 0
    while (found := first(framing, data[at:])).message is not None:
        messages.append(found.message)
        at += found.total
    return messages, at, found


def encoded(framing, payload):
    """What goes over the wire; None if the framing can't carry it."""
    kind, size = type(framing), len(payload)
    if size > framing.limit or kind is Fixed and size != framing.size:
        return None
    if kind is Lines:
        line = payload + framing.delimiter
        return line if line.index(framing.delimiter) == size else None
    if kind is LengthPrefix:
        counted = struct.calcsize(framing.format) if framing.includes_header else 0
        return struct.pack(framing.format, size + counted) + payload
    if kind is Netstring:
        return str(size).encode() + b":" + payload + b","
    if kind is Varint:
        header = b""
        while size > 0x7f:
            header += bytes([size & 0x7f | 0x80])
            size >>= 7
        return header + bytes([size]) + payload
    return payload
