"""What the arguments of operations are drawn from: plain values, and names of things that
a world makes anew (buffers, addresses, files).

Rules: everything here has a repr() that can be pasted into a test. The first of a list is
what hypothesis shrinks to. No host here is asked of a name server, and none is elsewhere
than in this machine. What stands several times is drawn more often.
"""

import array
import io
import mmap
import socket as stdlib
import struct

try:
    import numpy
except ImportError:  # then that kind of buffer is none, for both implementations
    numpy = None

#: Data to be sent: no two pieces of it look alike.
PATTERN = bytes((7 * i + (i >> 8) + (i >> 16)) & 0xff for i in range(1 << 16)) * 17

# 4,096 is STACK_SIZE, 16,384 and 65,536 are where the GIL is given away, 65,536 and
# 131,072 what the scratch memory and the allocator change at, 1 << 20 the scratch's end.
SMALL_SIZES = [1, 0, 2, 3, 4, 5, 7, 8, 16, 63, 100]
EDGES = [511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 16383, 16384, 16385]
LARGE = [65507, 65508, 65535, 65536, 65537, 131072, 131073, 1 << 20, (1 << 20) + 1]
WRONG_SIZES = [-1, -2, -(1 << 31), -(1 << 63), 1 << 63, 1 << 64, None, "4", 4.0, True]
SIZES = SMALL_SIZES * 12 + EDGES * 3 + LARGE + WRONG_SIZES
DATA_SIZES = SMALL_SIZES * 12 + EDGES * 3 + LARGE


def flag(name):
    return int(getattr(stdlib, name, 0))


_PEEK, _DONTWAIT, _TRUNC, _WAITALL, _OOB, _CTRUNC = map(flag, [
    "MSG_PEEK", "MSG_DONTWAIT", "MSG_TRUNC", "MSG_WAITALL", "MSG_OOB", "MSG_CTRUNC"])
_ERRQUEUE, _CLOEXEC, _NOSIGNAL, _MORE = map(flag, [
    "MSG_ERRQUEUE", "MSG_CMSG_CLOEXEC", "MSG_NOSIGNAL", "MSG_MORE"])
_EOR, _DONTROUTE, _CONFIRM = map(flag, ["MSG_EOR", "MSG_DONTROUTE", "MSG_CONFIRM"])
JUNK_FLAGS = [1 << 31, -(1 << 31), -(1 << 31) - 1, 1 << 64, None, "0", 0.0, 0x4000000, 1 << 27]
RECEIVE_FLAGS = [0] * 30 + [
    _PEEK, _PEEK, _PEEK, _DONTWAIT, _TRUNC, _TRUNC | _PEEK, _TRUNC | _DONTWAIT, _WAITALL,
    _WAITALL | _PEEK, _WAITALL | _DONTWAIT, _OOB, _OOB | _PEEK, _CTRUNC, _ERRQUEUE, _CLOEXEC,
    _PEEK | _DONTWAIT, _NOSIGNAL, -1, *JUNK_FLAGS]
# MSG_MORE holds data back until a timer runs out: never on TCP (see world.py).
SEND_FLAGS = [0] * 30 + [_DONTWAIT, _DONTWAIT, _NOSIGNAL, _OOB, _EOR, _MORE, _DONTROUTE,
                         _CONFIRM, _DONTWAIT | _NOSIGNAL, _PEEK, _TRUNC, *JUNK_FLAGS]
#: With these a send waits for a timer, or for an interface.
HOLDING_FLAGS = _MORE

# -- buffers -------------------------------------------------------------------

READABLE = ["bytes"] * 30 + ["bytearray", "bytearray", "view", "view of bytes", "slice",
                            "array", "cast", "matrix", "mmap", "numpy", "numpy matrix",
                            "strided", "numpy strided", "numpy column", "backwards", "str",
                            "None", "list", "subclass"]
WRITABLE = ["bytearray"] * 24 + ["view", "slice", "array", "cast", "matrix", "mmap", "numpy",
                                "numpy matrix", "strided", "numpy strided", "numpy column",
                                "backwards", "bytes", "view of bytes", "str", "None",
                                "numpy read-only"]


class OwnBytes(bytes):
    pass


def _mmap(size):
    memory = mmap.mmap(-1, max(size, 1))
    memory[:size] = PATTERN[:size]
    return memory


def _numpy(size, step=1):
    if numpy is None:
        return None
    return numpy.frombuffer(bytearray(PATTERN[:size * step]), dtype=numpy.uint8)[::step]


def _numpy_read_only(size):
    if numpy is None:
        return None
    return numpy.frombuffer(PATTERN[:size], dtype=numpy.uint8)


_MAKE = {
    "bytes": lambda size: PATTERN[:size],
    "bytearray": lambda size: bytearray(PATTERN[:size]),
    "subclass": lambda size: OwnBytes(PATTERN[:size]),
    "view": lambda size: memoryview(bytearray(PATTERN[:size])),
    "view of bytes": lambda size: memoryview(PATTERN)[:size],
    "slice": lambda size: memoryview(bytearray(PATTERN[:size + 7]))[3:size + 3],
    "strided": lambda size: memoryview(bytearray(PATTERN[:2 * size]))[::2],
    "backwards": lambda size: memoryview(bytearray(PATTERN[:size]))[::-1],
    "array": lambda size: array.array("i", PATTERN[:size - size % 4]),
    "cast": lambda size: memoryview(bytearray(PATTERN[:size - size % 8])).cast("d"),
    "matrix": lambda size: memoryview(bytearray(PATTERN[:max(size - size % 4, 4)])).cast(
        "B", (2, max(size // 4, 1) * 2)),
    "mmap": _mmap,
    "numpy": _numpy,
    "numpy matrix": lambda size: numpy and _numpy(size - size % 4).reshape(-1, 4),
    "numpy strided": lambda size: _numpy(size, 3),
    "numpy column": lambda size: numpy and _numpy(size - size % 4).reshape(-1, 4)[:, 1],
    "numpy read-only": _numpy_read_only,
    "str": lambda size: "x" * size,
    "list": lambda size: [0] * min(size, 9),
    "None": lambda size: None,
}


def buffer(kind, size):
    """A new buffer of about `size` bytes: exactly so, where its items are single bytes."""
    return _MAKE[kind](size)


def content(target):
    """The bytes of a buffer after a call: what lies in it whatever its form."""
    try:
        return memoryview(target).tobytes()
    except TypeError:
        return None


# -- how buffers are grouped for sendmsg and recvmsg_into: IOV_MAX is 1,024 ------------

COUNTS = [1, 2, 3, 0] * 20 + [7, 100, 1023, 1024, 1025, 2000]

# -- times ----------------------------------------------------------------------------

#: A call that really waits costs this much time: 1 ms, or a tick of the kernel's.
TIMEOUTS = [0, None, 0.001, 0, 0, None, 0.001, 0.0, 1e-9, 0.0005]
ODD_TIMEOUTS = [5, 1.5, 1e9, 9e9, 1e10, 1e300, -1, -1e-9, -0.0, float("nan"), float("inf"), "1",
                True, False, 2 ** 31, 2 ** 63, -2 ** 63, 2 ** 80, b"1", 1j, 0.1234567891, 1e-12]
#: What a second thread does to a socket on which a first one receives.
MEANWHILE = [[("settimeout", timeout) for timeout in timeouts] for timeouts in (
    [20], [20, None], [None], [0], [0, None], [0, 20], [30, 20], [20, None, 20], [None, 20, None])]
MEANWHILE += [[("O_NONBLOCK", False)], [("O_NONBLOCK", False), ("O_NONBLOCK", True)],
              [("SO_RCVTIMEO", struct.pack("ll", 0, 1000))],
              [("SO_RCVTIMEO", struct.pack("ll", 0, 1000)), ("settimeout", 20)]]
FLAGS_OF_BLOCKING = [False, True, 0, 1, 2, -1, None, "x", 0.5, 1 << 80, [], [0]]

# -- options ---------------------------------------------------------------------------

_SOCKET, _IP, _TCP, _IPV6 = (stdlib.SOL_SOCKET, stdlib.IPPROTO_IP, stdlib.IPPROTO_TCP,
                             stdlib.IPPROTO_IPV6)


def _named(level, *names):
    return [(int(level), int(getattr(stdlib, name))) for name in names if hasattr(stdlib, name)]


READ_OPTIONS = [
    *_named(_SOCKET, "SO_TYPE", "SO_ERROR", "SO_RCVBUF", "SO_SNDBUF", "SO_REUSEADDR",
            "SO_KEEPALIVE", "SO_BROADCAST", "SO_ACCEPTCONN", "SO_LINGER", "SO_DOMAIN",
            "SO_PROTOCOL", "SO_PASSCRED", "SO_RCVLOWAT", "SO_OOBINLINE", "SO_PEERCRED",
            "SO_RCVTIMEO"),
    *_named(_TCP, "TCP_NODELAY", "TCP_MAXSEG", "TCP_KEEPIDLE"),
    *_named(_IP, "IP_TTL", "IP_TOS"), *_named(_IPV6, "IPV6_V6ONLY"),
    (_SOCKET, 9999), (9999, 1), (1 << 31, 1), (1, 1 << 64), ("1", 1), (1, None), (-1, -1)]
OPTION_SIZES = [0, 4, 0, 4, 1, 2, 3, 5, 8, 12, 16, 100, 1023, 1024, -1, -(1 << 31), 1 << 31,
                None, "4", 4.0]
# Not SO_RCVTIMEO and SO_SNDTIMEO, which bound what blocks here; no sizes of buffers, which
# TCP takes its time to heed; no SO_RCVLOWAT above 1, which only waiting calls heed.
WRITTEN_OPTIONS = [
    *_named(_SOCKET, "SO_REUSEADDR", "SO_KEEPALIVE", "SO_BROADCAST", "SO_OOBINLINE",
            "SO_PASSCRED", "SO_PASSCRED", "SO_RCVLOWAT", "SO_TYPE"),
    *_named(_TCP, "TCP_NODELAY"), *_named(_IP, "IP_TTL", "IP_TOS", "IP_RECVTOS", "IP_PKTINFO"),
    (_IP, 12), (_IP, 13), *_named(_IPV6, "IPV6_RECVHOPLIMIT", "IPV6_RECVTCLASS"),
    (_SOCKET, 9999), (9999, 1), (1 << 31, 1), ("1", 1)]
OPTION_VALUES = [1, 0, 1, 0, 1, True, False, b"\1\0\0\0", b"\0\0\0\0", b"", b"\1", "1", None,
                 1.0, 1 << 31, -1, 1 << 80, b"\1\0\0\0\0\0\0\0", (None, 4), (None, -1),
                 (1, 4), (None, 0)]
#: Of an option that is kept at 1: other values of it would let a call wait.
ONLY_ONE = {(_SOCKET, flag("SO_RCVLOWAT"))}
AUTOBINDING = {(_SOCKET, flag("SO_PASSCRED"))}

# -- addresses: the first item says what it is (see World.address) ----------------------

ADDRESSES = [
    *[("name of", slot) for slot in (0, 1, 2, 3, 0, 1) * 12],
    *[("path", number) for number in (0, 1) * 3], ("bytes path", 0), ("bytearray path", 1),
    *[("abstract", number) for number in (0, 1) * 2], ("abstract str", 0),
    ("no such path",), ("long path", 107), ("long path", 108), ("long path", 109),
    ("long abstract", 108), ("long abstract", 109),
    ("plain", ""), ("plain", b""), ("plain", None), ("plain", 0), ("plain", "\udcff\0"),
    ("plain", ("127.0.0.1", 0)), ("plain", ("127.0.0.1", 0)), ("plain", ("", 0)),
    ("plain", ("127.0.0.1", 9)), ("plain", ("localhost", 9)), ("plain", (b"127.0.0.1", 9)),
    ("plain", ("127.1", 9)), ("plain", ("127.0.0.1",)), ("plain", ("127.0.0.1", 9, 0)),
    ("plain", ["127.0.0.1", 9]), ("plain", "127.0.0.1"), ("plain", ()),
    ("plain", ("127.0.0.1", -1)), ("plain", ("127.0.0.1", 65536)),
    ("plain", ("127.0.0.1", 1 << 31)), ("plain", ("127.0.0.1", "9")),
    ("plain", ("127.0.0.1", None)), ("plain", ("127.0.0.1", 9.0)), ("plain", ("127.0.0.1", True)),
    ("plain", (None, 9)), ("plain", (9, 9)), ("plain", ("a\0b", 9)), ("plain", ("::1", 9)),
    ("plain", ("<broadcast>", 9)), ("plain", ("255.255.255.255", 9)),
    ("plain", ("::1", 0)), ("plain", ("::1", 0, 0, 0)), ("plain", ("::1", 9, 0, 0, 0)),
    ("plain", ("::1", 0, 1 << 20)), ("plain", ("::1", 0, -1)), ("plain", ("::1", 9, 0, "lo")),
    ("plain", ("::1", 0, None)), ("plain", ("", 0, 0, 0)), ("plain", ("::1", 65536)),
]

FAMILIES = [stdlib.AF_UNIX, stdlib.AF_INET, stdlib.AF_INET6, -1, 9999, -2, "1", 1 << 31, 77]
TYPES = [stdlib.SOCK_STREAM, stdlib.SOCK_DGRAM, stdlib.SOCK_SEQPACKET, -1, 9999, None,
         stdlib.SOCK_STREAM | flag("SOCK_NONBLOCK"), stdlib.SOCK_DGRAM | flag("SOCK_CLOEXEC")]
FAMILIES, TYPES = ([int(item) if isinstance(item, int) else item for item in items]
                   for items in (FAMILIES, TYPES))
PROTOCOLS = [0] * 8 + [6, 17, -1, 9999, 1 << 31, "0"]

# -- control messages: kind and number (see World.messages) ------------------------------

MESSAGES = [()] * 14 + [("fds", 1), ("fds", 2), ("fds", 7), ("fds", 253), ("fds", 254),
            ("fds and more", 1), ("two of fds", 2), ("bad fd", 1), ("credentials", 1),
            ("credentials and fds", 2), ("half an fd", 1), ("ttl", 33), ("unknown", 1),
            ("no sequence", 1), ("too short", 1), ("too long", 1), ("str", 1), ("none", 1)]
CONTROL_ROOM = [64, 0, 1, 8, 15, 16, 17, 19, 20, 21, 23, 24, 25, 28, 31, 32, 40, 56, 1024, 1048,
                4096, -1, 1 << 31, 1 << 64, None, "4"] + [0, 64, 256] * 8

# -- files ---------------------------------------------------------------------------------

FILE_SIZES = [5, 0, 1, 511, 513, 8191, 8192, 8193, 40000]
FILE_KINDS = ["file", "file", "file", "bytesio", "text", "no file"]
OFFSETS = [0] * 6 + [1, 4, 5, 512, 8192, 50000, -1, 1 << 63, 0.0, "0"]
FILE_COUNTS = [None] * 4 + [1, 4, 512, 8192, 8193, 50000, 0, -1, True, 1.0, "1"]
MODES = ["rb", "wb", "rwb", "r", "w", "rw", "x", "b", ""]
BUFFERINGS = [None, 0, 1, 2, -1, 512, 8192]
SEEKABLE = io.BytesIO


def received_into(receive, size):
    """What a receive wrote into a buffer, as bytes."""
    target = bytearray(size)
    return bytes(target[:receive(target)])
