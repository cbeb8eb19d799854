"""Where a message ends in a stream of bytes: for Stream, or alone, as plain data.

    framing = fastsock.framing.LengthPrefix("!I")
    framing.encode(b"hello")              b"\\x00\\x00\\x00\\x05hello"
    framing.feed(b"\\x00\\x00\\x00\\x05he")   []
    framing.feed(b"llo")                  [b"hello"]
"""

from fastsock._exceptions import FramingError, IncompleteReadError, LimitOverrunError
from fastsock._framing import Framing, Lines
from fastsock._sized import Fixed, LengthPrefix, Netstring, Varint

__all__ = ["Fixed", "Framing", "FramingError", "IncompleteReadError", "LengthPrefix",
           "LimitOverrunError", "Lines", "Netstring", "Varint"]
