from fastsock._exceptions import FramingError as FramingError
from fastsock._exceptions import IncompleteReadError as IncompleteReadError
from fastsock._exceptions import LimitOverrunError as LimitOverrunError
from fastsock._framing import Framing as Framing
from fastsock._framing import Lines as Lines
from fastsock._sized import Fixed as Fixed
from fastsock._sized import LengthPrefix as LengthPrefix
from fastsock._sized import Netstring as Netstring
from fastsock._sized import Varint as Varint

__all__ = [
    "Fixed", "Framing", "FramingError", "IncompleteReadError", "LengthPrefix",
    "LimitOverrunError", "Lines", "Netstring", "Varint",
]
