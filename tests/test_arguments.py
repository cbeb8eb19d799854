"""What each method takes and refuses: bad and odd calls, run on both implementations.

A row of the table is an expression; what the stdlib returns or raises (exception
class and errno) is what fastsock must. Texts of exceptions are not compared.
"""

import array
import contextlib
import decimal
import fractions
import re
import socket as stdlib_socket
import sys

import pytest

import fastsock
from tests.conftest import HIDES_AN_ITERABLES_ERROR

HUGE = 2**31  # one more than a C int has room for


class Index:
    """An object that is an integer by __index__ only."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number


class IntOnly:
    """An object that converts to int, but is no index."""

    def __int__(self):
        return 1


class Broken:
    """An object whose conversions raise an exception of their own."""

    def __index__(self):
        raise LookupError("no index")

    def __bool__(self):
        raise LookupError("no truth")

    def __float__(self):
        raise LookupError("no float")

    def __iter__(self):
        raise LookupError("no iterator")


class OwnFloat(float):
    pass


class OwnBytes(bytes):
    pass


class OwnInt(int):
    pass


def strided():
    return memoryview(bytearray(20))[::2]


def readonly():
    return memoryview(b"0123456789")


def filled(call, buffer):
    """The result of a call that fills a buffer, and the buffer's bytes after it."""
    return call(buffer), bytes(buffer)


def timeout_after(sock, value):
    sock.settimeout(value)
    return sock.gettimeout(), sock.getblocking()


def blocking_after(sock, value):
    sock.setblocking(value)
    return sock.gettimeout(), sock.getblocking()


def kept(sock, *arguments):
    """setsockopt, and the option's value after it."""
    return sock.setsockopt(*arguments), sock.getsockopt(*arguments[:2])


@contextlib.contextmanager
def world(module):
    """The names that an expression may use: non-blocking sockets of `module`."""
    a, b = module.socketpair()
    with a, b, module.socket(module.AF_INET, module.SOCK_DGRAM) as udp, \
            module.create_server(("127.0.0.1", 0)) as listening:
        b.sendall(b"0123456789")
        for sock in a, b, udp:
            sock.setblocking(False)
        yield {**globals(), **vars(module), "sock": a, "udp": udp,
               "listening": listening, "s": module}


def outcome(module, expression):
    with world(module) as names:
        try:
            result = eval(expression, names)  # the expressions stand in this file
        except Exception as error:
            return "raised", type(error), getattr(error, "errno", None)
        if isinstance(result, stdlib_socket.socket):
            with result:
                return "made", result.family, result.type, result.proto
        return "returned", type(result), result


RECV_SIZES = ["", "4", "0", "-1", "10, 0, 0", "'4'", "b'4'", "None", "4.0", "Index(4)", "True",
              "OwnInt(4)", "IntOnly()", "Broken()", "2**63", "-2**63", "2**64", "4, None",
              "4, '0'", "4, 0.0", "4, Index(0)", "4, HUGE", "4, -HUGE - 1", "4, MSG_PEEK",
              "4, True", "-1, None", "'4', None", "4, Broken()", "0, HUGE", "-1, HUGE"]

BUFFERS = ["bytearray(4)", "bytearray(0)", "bytearray(40)", "memoryview(bytearray(4))",
           "array.array('i', [0, 0])", "array.array('i')", "memoryview(bytearray(8)).cast('i')",
           "memoryview(bytearray(8)).cast('B', (2, 4))"]

BAD_BUFFERS = ["", "b'1234'", "readonly()", "strided()", "'1234'", "None", "4", "[0, 0]",
               "object()", "OwnBytes(b'12')"]

BUFFER_SIZES = ["4", "8", "9", "0", "-1", "None", "'4'", "4.0", "Index(4)", "True", "2**63",
                "IntOnly()", "4, 0", "4, None", "4, 0.0", "4, HUGE", "4, '0'", "9, HUGE",
                "-1, None", "4, Index(MSG_PEEK)", "4, 0, 0", "Broken()", "4, Broken()"]

BUFFER_KEYWORDS = ["buffer=bytearray(4)", "bytearray(4), nbytes=2",
                   "bytearray(4), flags=MSG_PEEK", "bytearray(4), nbytes=2, flags=0",
                   "buffer=bytearray(4), nbytes=5", "nbytes=2", "bytearray(4), size=2",
                   "bytearray(4), buffer=bytearray(2)", "bytearray(4), 2, nbytes=2",
                   "buffer=None", "bytearray(4), flags=None",
                   "bytearray(4), flags=0, nbytes=0, buffer=1", "**{'buffer': bytearray(2)}"]

SEND_DATA = ["b''", "b'abc'", "bytearray(b'abc')", "bytearray()", "readonly()", "strided()",
             "memoryview(b'abcdef')[1:3]", "array.array('i', [1, 2])", "OwnBytes(b'abc')",
             "'abc'", "''", "None", "3", "[b'abc']", "object()", "", "b'abc', 0",
             "b'abc', None", "b'abc', '0'", "b'abc', 0.0", "b'abc', Index(0)", "b'abc', HUGE",
             "b'abc', -HUGE - 1", "b'abc', True and 0", "b'abc', 0, 0", "'abc', None",
             "b'abc', Broken()", "'abc', HUGE", "data=b'abc'", "b'abc', flags=0",
             "memoryview(bytearray(8)).cast('B', (2, 4))"]

# Port 9 of loopback: a datagram leaves, whether or not somebody listens.
SENDTO = ["", "b'a'", "b'a', ('127.0.0.1', 9)", "b'a', 0, ('127.0.0.1', 9)",
          "b'a', ('127.0.0.1', 9), 0", "b'a', 0, ('127.0.0.1', 9), 0", "b'a', 0", "b'a', None",
          "b'a', 0, None", "'a', ('127.0.0.1', 9)", "None, ('127.0.0.1', 9)",
          "b'a', '0', ('127.0.0.1', 9)", "b'a', None, ('127.0.0.1', 9)",
          "b'a', HUGE, ('127.0.0.1', 9)", "b'a', 0.0, ('127.0.0.1', 9)",
          "b'a', Index(0), ('127.0.0.1', 9)", "b'a', ['127.0.0.1', 9]", "b'a', '127.0.0.1'",
          "b'a', ('127.0.0.1',)", "b'a', ('127.0.0.1', 9, 0)", "b'a', ('127.0.0.1', '9')",
          "b'a', ('127.0.0.1', 9.0)", "b'a', ('127.0.0.1', Index(9))", "b'a', (9, 9)",
          "b'a', ('127.0.0.1', -1)", "b'a', ('127.0.0.1', 65536)", "b'a', ('127.0.0.1', HUGE)",
          "b'a', ('127.0.0.1', 2**80)", "b'a', ('127.0.0.1', None)", "b'a', (None, 9)",
          "b'a', ('127.0.0.1', True)", "strided(), ('127.0.0.1', 9)", "'a', 0, None",
          "b'a', address=('127.0.0.1', 9)", "data=b'a'", "b'a', Broken(), ('127.0.0.1', 9)",
          "bytearray(b'a'), ('127.0.0.1', 9)", "readonly(), 0, ('127.0.0.1', 9)",
          "b'', ('127.0.0.1', 9)", "'a', HUGE, None", "b'a', HUGE, None"]

ADDRESSES = ["", "None", "0", "'127.0.0.1'", "['127.0.0.1', 9]", "('127.0.0.1',)", "()",
             "('127.0.0.1', 9, 0)", "('127.0.0.1', '9')", "('127.0.0.1', 9.0)", "(None, 9)",
             "('127.0.0.1', -1)", "('127.0.0.1', 65536)", "('127.0.0.1', 2**80)", "(9, 9)",
             "('127.0.0.1', None)", "('127.0.0.1', Broken())", "b'127.0.0.1'", "('a\\0b', 9)",
             "(memoryview(b'127.0.0.1'), 9)", "('127.0.0.1', -2**80)", "('127.0.0.1', 0), 0",
             "address=('127.0.0.1', 0)", "(('127.0.0.1', 0),)"]

SETSOCKOPT = ["", "1", "1, 2", "SOL_SOCKET, SO_REUSEADDR, 1", "SOL_SOCKET, SO_REUSEADDR, True",
              "SOL_SOCKET, SO_REUSEADDR, Index(1)", "SOL_SOCKET, SO_REUSEADDR, b'\\1\\0\\0\\0'",
              "SOL_SOCKET, SO_REUSEADDR, b''", "SOL_SOCKET, SO_REUSEADDR, b'\\1'",
              "SOL_SOCKET, SO_REUSEADDR, bytearray(4)", "SOL_SOCKET, SO_REUSEADDR, readonly()",
              "SOL_SOCKET, SO_REUSEADDR, array.array('i', [1])",
              "SOL_SOCKET, SO_REUSEADDR, strided()", "SOL_SOCKET, SO_REUSEADDR, HUGE",
              "SOL_SOCKET, SO_REUSEADDR, -HUGE - 1", "SOL_SOCKET, SO_REUSEADDR, 2**80",
              "SOL_SOCKET, SO_REUSEADDR, 1.0", "SOL_SOCKET, SO_REUSEADDR, '1'",
              "SOL_SOCKET, SO_REUSEADDR, None", "SOL_SOCKET, SO_REUSEADDR, None, 4",
              "SOL_SOCKET, SO_REUSEADDR, None, 0", "SOL_SOCKET, SO_REUSEADDR, None, -1",
              "SOL_SOCKET, SO_REUSEADDR, None, 2**32", "SOL_SOCKET, SO_REUSEADDR, None, 2**80",
              "SOL_SOCKET, SO_REUSEADDR, None, None", "SOL_SOCKET, SO_REUSEADDR, None, 4.0",
              "SOL_SOCKET, SO_REUSEADDR, None, '4'", "SOL_SOCKET, SO_REUSEADDR, None, Index(4)",
              "SOL_SOCKET, SO_REUSEADDR, 1, 4", "SOL_SOCKET, SO_REUSEADDR, b'\\1\\0\\0\\0', 4",
              "SOL_SOCKET, SO_REUSEADDR, None, 4, 4", "'1', SO_REUSEADDR, 1",
              "SOL_SOCKET, '2', 1", "HUGE, SO_REUSEADDR, 1", "SOL_SOCKET, HUGE, 1",
              "None, SO_REUSEADDR, 1", "1.0, SO_REUSEADDR, 1", "SOL_SOCKET, 2.0, 1",
              "Index(SOL_SOCKET), Index(SO_REUSEADDR), 1", "SOL_SOCKET, 9999, 1", "9999, 1, 1",
              "SOL_SOCKET, SO_REUSEADDR, Broken()", "SOL_SOCKET, SO_REUSEADDR, IntOnly()",
              "'1', SO_REUSEADDR, None, 4", "SOL_SOCKET, SO_REUSEADDR, Broken(), 4",
              "'1', SO_REUSEADDR, b''", "SOL_SOCKET, SO_RCVTIMEO, b'\\0' * 16",
              "SOL_SOCKET, SO_RCVTIMEO, b'\\0' * 3"]

SETSOCKOPT_KEYWORDS = ["level=1, option=2, value=1", "1, 2, value=1", "1, 2, None, optlen=4"]

GETSOCKOPT = ["", "1", "SOL_SOCKET, SO_TYPE", "SOL_SOCKET, SO_TYPE, 0",
              "SOL_SOCKET, SO_TYPE, 4", "SOL_SOCKET, SO_TYPE, 1", "SOL_SOCKET, SO_TYPE, 1024",
              "SOL_SOCKET, SO_TYPE, -1", "SOL_SOCKET, SO_TYPE, -HUGE",
              "SOL_SOCKET, SO_TYPE, HUGE", "SOL_SOCKET, SO_TYPE, None",
              "SOL_SOCKET, SO_TYPE, '4'", "SOL_SOCKET, SO_TYPE, 4.0",
              "SOL_SOCKET, SO_TYPE, Index(4)", "SOL_SOCKET, SO_TYPE, True",
              "SOL_SOCKET, SO_TYPE, 4, 4", "'1', SO_TYPE", "SOL_SOCKET, None", "1.0, SO_TYPE",
              "HUGE, SO_TYPE", "SOL_SOCKET, HUGE", "SOL_SOCKET, 9999", "9999, 1",
              "SOL_SOCKET, 9999, 4", "level=1, option=3", "SOL_SOCKET, SO_TYPE, buflen=4",
              "SOL_SOCKET, SO_TYPE, Broken()", "Index(SOL_SOCKET), True * SO_TYPE",
              "'1', SO_TYPE, -1"]

TIMEOUTS = ["", "None", "0", "0.0", "-0.0", "1", "1.5", "True", "False", "OwnInt(3)",
            "OwnFloat(.5)", "1e-9", "1e-12", "5e-324", "-1", "-1.0", "-1e-9", "-1e-300",
            "float('nan')", "float('inf')", "-float('inf')", "1e9", "1e9 + .5", "9e9", "1e10",
            "1e300", "2**31", "2**63", "-2**63", "2**63 // 10**9", "2**80", "-2**80", "'1'",
            "b'1'", "Index(2)", "IntOnly()", "Broken()", "decimal.Decimal('1.5')",
            "decimal.Decimal(2)", "fractions.Fraction(3, 2)", "fractions.Fraction(2)", "1j",
            "[1]", "object()", "1, 2", "0.1234567891", "999999999", "10**9", "123456.789012345"]

BLOCKING = ["", "None", "0", "1", "True", "False", "2", "-1", "'x'", "''", "[]", "[0]", "0.5",
            "0.0", "object()", "Broken()", "Index(1)", "2**80", "-HUGE - 1", "HUGE", "b''",
            "1, 2", "Index(0)", "IntOnly()", "OwnInt(0)", "-2**80"]

BACKLOGS = ["", "0", "1", "-1", "-HUGE", "HUGE - 1", "HUGE", "2**80", "None", "'1'", "1.0",
            "True", "Index(3)", "1, 2", "backlog=1", "Broken()", "IntOnly()"]

SHUTDOWNS = ["", "SHUT_RD", "SHUT_WR", "SHUT_RDWR", "3", "-1", "HUGE", "2**80", "None", "'1'",
             "1.0", "True", "Index(2)", "how=1", "1, 2", "Broken()", "IntOnly()"]

SENDMSG = ["", "[b'ab', b'c']", "[]", "()", "iter([b'ab', b'c'])", "(x for x in [b'a'])",
           "b'ab'", "['ab']", "'ab'", "''", "b''", "None", "3", "[None]", "[b'ab', 'c']",
           "[strided()]", "[readonly(), bytearray(b'a'), array.array('i', [1])]", "Broken()",
           "{b'ab': 1}", "bytearray(b'ab')", "[b'']", "[b'a'], []", "[b'a'], ()",
           "[b'a'], None", "[b'a'], 3", "[b'a'], [None]", "[b'a'], [()]", "[b'a'], [(1, 1)]",
           "[b'a'], [(1, 1, b'', 1)]", "[b'a'], [('1', 1, b'')]", "[b'a'], [(1, None, b'')]",
           "[b'a'], [(1, 1, 'x')]", "[b'a'], [(1, 1, None)]", "[b'a'], [(1.0, 1, b'')]",
           "[b'a'], [(HUGE, 1, b'')]", "[b'a'], ['abc']", "[b'a'], [b'abc']", "[b'a'], 'a'",
           "[b'a'], [[1, 1, None]]", "[b'a'], [{0: 1, 1: 1, 2: b''}]", "[b'a'], Broken()",
           "[b'a'], iter([])", "[b'a'], [(1, 1, strided())]", "[b'a'], [], None",
           "[b'a'], [], '0'", "[b'a'], [], 0.0", "[b'a'], [], HUGE", "[b'a'], [], Index(0)",
           "[b'a'], [], 0, None", "[b'a'], [], 0, 5", "[b'a'], [], 0, ('127.0.0.1', 9)",
           "[b'a'], [], 0, None, 0", "buffers=[b'a']", "[b'a'], ancdata=[]", "[b'a'], flags=0",
           "[b'a'], [], HUGE, 5", "['a'], [None], 0, 5", "['a'], None", "[b'a'], [[1, 1]], '0'",
           "[b'a'], [(1, 99, b'')]", "[b'a'], [(9999, 1, b'1234')]"]

RECVMSG = ["", "4", "0", "-1", "'4'", "None", "4.0", "Index(4)", "True", "2**63", "4, 0",
           "4, -1", "4, 16", "4, 1", "4, HUGE", "4, 2**63", "4, None", "4, '4'", "4, 4.0",
           "4, Index(4)", "4, 0, 0", "4, 0, None", "4, 0, HUGE", "4, 0, 0.0", "4, 0, MSG_PEEK",
           "4, 0, 0, 0", "bufsize=4", "4, ancbufsize=4", "4, flags=0", "-1, -1", "-1, 0, HUGE",
           "4, -1, '0'", "Broken()", "4, Broken()", "-1, HUGE"]

RECVMSG_INTO = ["", "[bytearray(4)]", "(bytearray(2), bytearray(4))", "iter([bytearray(4)])",
                "[]", "()", "[bytearray(0)]", "bytearray(4)", "bytearray(0)", "None", "4",
                "[b'abcd']", "['abcd']", "[None]", "[readonly()]", "[strided()]", "'abcd'",
                "''", "[bytearray(2), b'']", "Broken()", "[array.array('i', [0])]",
                "[bytearray(4)], -1", "[bytearray(4)], 16", "[bytearray(4)], None",
                "[bytearray(4)], '1'", "[bytearray(4)], 1.0", "[bytearray(4)], HUGE",
                "[bytearray(4)], 2**63", "[bytearray(4)], 0, None", "[bytearray(4)], 0, HUGE",
                "[bytearray(4)], 0, MSG_PEEK", "[bytearray(4)], 0, 0, 0",
                "buffers=[bytearray(4)]", "[bytearray(4)], ancbufsize=0", "None, None",
                "None, -1", "['a'], -1", "[bytearray(4)], Broken()"]

CONSTRUCTORS = ["'x'", "1.0", "None", "AF_INET, 'x'", "AF_INET, None", "AF_INET, 1.0",
                "AF_INET, 1, 'x'", "AF_INET, 1, None", "AF_INET, 1, 1.0", "HUGE", "-HUGE - 1",
                "AF_INET, HUGE", "AF_INET, 1, HUGE", "9999", "-2", "AF_INET, 9999",
                "AF_INET, 1, 9999", "AF_INET, -2", "AF_UNIX, 1, 1", "AF_UNIX, 1, -2",
                "0, 0, 0, None, 0", "AF_INET, 1, 0, 'x'", "AF_INET, 1, 0, -1", "fileno=-1",
                "fileno='x'", "fileno=1.0", "fileno=2**80", "fileno=HUGE", "fileno=10**6",
                "fileno=-HUGE - 1", "fileno=Index(-1)", "fileno=Index(10**6)",
                "fileno=Broken()", "fam=1", "AF_INET, family=1", "'x', fileno=10**6",
                "None, fileno=10**6", "AF_INET, 1, HUGE, 10**6", "Broken()", "IntOnly()",
                "AF_INET, Broken()", "-1, 9999, -1, None"]

PAIRS = ["'x'", "1.0", "AF_INET", "9999", "HUGE", "AF_UNIX, 9999", "AF_UNIX, 'x'",
         "AF_UNIX, None", "AF_UNIX, 1, 9", "AF_UNIX, 1, None", "AF_UNIX, 1, HUGE",
         "AF_UNIX, 1, 0, 0", "fam=1", "AF_UNIX, HUGE", "None, 'x'", "-1", "AF_UNIX, Broken()",
         "AF_UNIX, -1", "AF_UNIX, 1, -1"]

NO_ARGUMENTS = ["accept", "getsockname", "getpeername", "close", "detach", "fileno",
                "gettimeout", "getblocking", "dup", "get_inheritable"]

def rows(call, arguments):
    """The expressions that put each of `arguments` in the place of ... in `call`."""
    return [call.replace("...", row) for row in arguments]


def needs_value(arguments):
    return [row for row in arguments if row not in ("", "1, 2")]


INTO = [*BAD_BUFFERS, *(f"bytearray(8), {row}" for row in BUFFER_SIZES), *BUFFER_KEYWORDS,
        "'x', -1", "'x', None", "b'x', HUGE, HUGE"]
POSITIONAL = ["bufsize=4", "4, flags=0", "buffersize=4"]

#: What is tested: the expressions of it.
TABLE = {
    "recv": rows("sock.recv(...)", RECV_SIZES + POSITIONAL),
    "recvfrom": rows("sock.recvfrom(...)", RECV_SIZES + POSITIONAL),
    "recv_into": [*rows("filled(sock.recv_into, ...)", BUFFERS),
                  *rows("sock.recv_into(...)", INTO)],
    "recvfrom_into": [*rows("filled(sock.recvfrom_into, ...)", BUFFERS),
                      *rows("sock.recvfrom_into(...)", INTO)],
    "send": rows("sock.send(...)", SEND_DATA),
    "sendall": rows("sock.sendall(...)", SEND_DATA),
    "sendto": rows("udp.sendto(...)", SENDTO),
    "bind": rows("udp.bind(...)", ADDRESSES),
    "connect": rows("udp.connect(...)", ADDRESSES),
    "connect_ex": rows("udp.connect_ex(...)", ADDRESSES),
    "setsockopt": [*rows("kept(udp, ...)", [row for row in SETSOCKOPT if row.count(",") >= 2]),
                   *rows("udp.setsockopt(...)", SETSOCKOPT)],
    "setsockopt keywords": rows("udp.setsockopt(...)", SETSOCKOPT_KEYWORDS),
    "getsockopt": rows("udp.getsockopt(...)", GETSOCKOPT),
    "settimeout": [*rows("timeout_after(sock, ...)", needs_value(TIMEOUTS)),
                   *rows("sock.settimeout(...)", ["", "1, 2", "timeout=1", "value=1"])],
    "setblocking": [*rows("blocking_after(sock, ...)", needs_value(BLOCKING)),
                    *rows("sock.setblocking(...)", ["", "1, 2", "flag=1"])],
    "listen": [*rows("udp.listen(...)", BACKLOGS), *rows("listening.listen(...)", BACKLOGS)],
    "shutdown": rows("sock.shutdown(...)", SHUTDOWNS),
    "sendmsg": rows("sock.sendmsg(...)", SENDMSG),
    "recvmsg": rows("sock.recvmsg(...)", RECVMSG),
    "recvmsg_into": rows("sock.recvmsg_into(...)", RECVMSG_INTO),
    "the class": rows("s.socket(...)", CONSTRUCTORS),
    "socketpair": rows("s.socketpair(...)", PAIRS),
    "no arguments": [f"sock.{name}({row})" for name in NO_ARGUMENTS for row in ("1", "x=1")],
    "attributes": [
        "sock.family", "sock.type", "sock.proto", "sock.timeout", "sock.set_inheritable()",
        "sock.makefile('x')", "sock.makefile(1)",
        *(f"setattr(sock, '{name}', 1)"
          for name in ("family", "type", "proto", "timeout", "recv", "new")),
        *(f"delattr(sock, '{name}')" for name in ("family", "type", "proto", "timeout"))],
}


@pytest.mark.filterwarnings("ignore:__index__ returned:DeprecationWarning")
@pytest.mark.parametrize("name", TABLE)
def test_both_take_and_refuse_the_same(name):
    differences = {}
    for expression in TABLE[name]:
        if HIDES_AN_ITERABLES_ERROR and re.match(r"sock\.\w+msg\w*\(.*Broken\(\)\)", expression):
            continue  # on the page "Differences"
        expected, found = outcome(stdlib_socket, expression), outcome(fastsock, expression)
        if found != expected:
            differences[expression] = {"stdlib": expected, "fastsock": found}
    assert differences == {}


def test_errors_have_the_stdlibs_texts(socket, pair):
    # Those texts of the stdlib that programs are known to look at or to print.
    a, b = pair
    b.sendall(b"x")
    for text, call in [
            ("negative buffersize in recv", lambda: a.recv(-1)),
            ("negative buffersize in recvfrom", lambda: a.recvfrom(-1)),
            ("negative buffersize in recv_into", lambda: a.recv_into(bytearray(1), -1)),
            ("buffer too small for requested bytes", lambda: a.recv_into(bytearray(1), 2)),
            ("nbytes is greater than the length of the buffer",
             lambda: a.recvfrom_into(bytearray(1), 2)),
            ("negative buffer size in recvmsg()", lambda: a.recvmsg(-1)),
            ("invalid ancillary data buffer length", lambda: a.recvmsg(1, -1)),
            ("Timeout value out of range", lambda: a.settimeout(-1)),
            ("Invalid value NaN (not a number)", lambda: a.settimeout(float("nan")))]:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == text
    with socket.socket() as inet:
        with pytest.raises(TypeError, match="AF_INET address must be tuple, not str$"):
            inet.bind("127.0.0.1")
        with pytest.raises(OverflowError, match=r"^bind\(\): port must be 0-65535\.$"):
            inet.bind(("127.0.0.1", 65536))
        with pytest.raises(TypeError, match=r"^sendto\(\) takes 2 or 3 arguments \(1 given\)$"):
            inet.sendto(b"")


@pytest.mark.parametrize("size", [1025, 2000, 1 << 20])
def test_getsockopt_has_no_limit_of_its_own(size):
    # The stdlib refuses more than 1,024 bytes: a difference that is documented.
    with stdlib_socket.socket() as plain, pytest.raises(OSError):
        plain.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_TYPE, size)
    with fastsock.socket() as sock:
        value = sock.getsockopt(fastsock.SOL_SOCKET, fastsock.SO_TYPE, size)
        assert value == int(fastsock.SOCK_STREAM).to_bytes(4, "little")


def test_overflowing_option_value(socket):
    error = OverflowError if sys.version_info >= (3, 15) else TypeError
    with socket.socket() as sock:
        for value in (2**31, -2**31 - 1, 2**80):
            with pytest.raises(error):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, value)


def test_a_failed_call_releases_the_buffer(pair):
    # A buffer that is still lent can't be resized: BufferError.
    a, _ = pair
    a.setblocking(False)
    buffer = bytearray(8)
    for call in [lambda: a.recv_into(buffer, 9), lambda: a.recv_into(buffer, -1),
                 lambda: a.recv_into(buffer, 0, 1 << 40), lambda: a.recv_into(buffer, None),
                 lambda: a.recvfrom_into(buffer, 9), lambda: a.recvfrom_into(buffer, 1, None),
                 lambda: a.recvmsg_into([buffer, b""]), lambda: a.recvmsg_into([buffer], -1),
                 lambda: a.send(buffer, None), lambda: a.sendall(buffer, 1 << 40),
                 lambda: a.sendto(buffer, "0", ""), lambda: a.sendto(buffer, None),
                 lambda: a.sendmsg([buffer, None]), lambda: a.sendmsg([buffer], [(1, 1, None)]),
                 lambda: a.sendmsg([b""], [(1, 1, buffer), (1, 1, None)])]:
        with pytest.raises((TypeError, ValueError, OverflowError)):
            call()
        buffer.append(0)
        buffer.pop()
