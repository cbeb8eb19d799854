"""Our C functions that parse what the kernel wrote, called from Python with any bytes.

How: what a .pxd declares is in its module's `__pyx_capi__`, with which other modules find it:
on every build, the released one included. Nothing is added for tests.

Rule: the memory that is given to them is malloc()'s and as large as it must be, no larger:
AddressSanitizer sees a read behind it.
"""

import contextlib
import ctypes
import socket
import sys

from fastsock import _address, _ancillary

SOCKADDR_STORAGE_BYTES = 128

_name_of = ctypes.pythonapi.PyCapsule_GetName
_name_of.argtypes, _name_of.restype = [ctypes.py_object], ctypes.c_char_p
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.argtypes, _pointer_of.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
_malloc = ctypes.pythonapi.PyMem_Malloc
_malloc.argtypes, _malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
_free = ctypes.pythonapi.PyMem_Free
_free.argtypes, _free.restype = [ctypes.c_void_p], None


def why_not():
    """Why they can't be called here, or None."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return "the structures are laid out here as 64-bit Linux has them"
    return None


def _function(module, name, result, *arguments):
    """A C function of a module, by the name that its .pxd has. With the GIL held."""
    capsule = module.__pyx_capi__[name]
    return ctypes.PYFUNCTYPE(result, *arguments)(_pointer_of(capsule, _name_of(capsule)))


class MessageHeader(ctypes.Structure):
    """struct msghdr."""

    _fields_ = [("name", ctypes.c_void_p), ("name_size", ctypes.c_uint32),
                ("parts", ctypes.c_void_p), ("part_count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("control_size", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class SocketAddress(ctypes.Structure):
    """SocketAddress of _address.pxd."""

    _fields_ = [("storage", ctypes.c_ubyte * SOCKADDR_STORAGE_BYTES), ("size", ctypes.c_uint32)]


_unpack = _function(_ancillary, "unpack", ctypes.py_object, ctypes.c_void_p)
_pack = _function(_ancillary, "pack", ctypes.c_int, ctypes.py_object, ctypes.c_void_p)
_close_fds = _function(_ancillary, "close_received_fds", ctypes.c_int, ctypes.c_void_p)
_from_sockaddr = _function(_address, "from_sockaddr", ctypes.py_object, ctypes.c_void_p)
_parse_address = _function(_address, "parse_address", ctypes.c_int, ctypes.c_void_p,
                           ctypes.py_object, ctypes.c_void_p, ctypes.py_object)


@contextlib.contextmanager
def _header_with(control):
    """A msghdr whose control messages are these bytes."""
    header = MessageHeader(control_size=len(control))
    if control:
        # No array of ctypes: a small one is a part of its object, with more memory behind it.
        header.control = _malloc(len(control))
        ctypes.memmove(header.control, control, len(control))
    try:
        yield header
        left = ctypes.string_at(header.control, len(control)) if control else b""
        assert left == control, "reading changed it"
    finally:
        _free(header.control)


def unpack(control):
    """The control messages in what recvmsg(2) wrote: a list of (level, type, data)."""
    with _header_with(control) as header:
        return _unpack(ctypes.addressof(header))


def close_received_fds(control):
    """Close the descriptors that came with it."""
    with _header_with(control) as header:
        _close_fds(ctypes.addressof(header))


def pack(messages):
    """What sendmsg(2) is given for these control messages."""
    header = MessageHeader()
    try:
        _pack(messages, ctypes.addressof(header))
        return ctypes.string_at(header.control, header.control_size) if header.control else b""
    finally:
        _free(header.control)


def from_sockaddr(raw, size):
    """The address in Python's form, of a sockaddr whose size the kernel said."""
    address = SocketAddress(size=size)
    ctypes.memmove(address.storage, raw, min(len(raw), SOCKADDR_STORAGE_BYTES))
    return _from_sockaddr(ctypes.addressof(address))


def parse_address(sock: socket.socket, address):
    """The bytes of the sockaddr that a call on this socket is made with."""
    parsed = SocketAddress()
    # A socket's fields begin where the object does.
    _parse_address(id(sock), address, ctypes.addressof(parsed), "connect")
    assert parsed.size <= SOCKADDR_STORAGE_BYTES, parsed.size
    return bytes(parsed.storage)[:parsed.size]
