"""What an address is: its forms, as text and as a tuple, and what a host resolves to.

Job: the one parser of the command line and the API. No socket is opened here.
"""

from __future__ import annotations

import os
import socket as stdlib_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    # (host, port[, flowinfo[, scope_id]]), or a path.
    _Address = (tuple[str | None, int | str] | tuple[str | None, int, int]
               | tuple[str | None, int, int, int] | str | bytes | os.PathLike[str]
               | os.PathLike[bytes])
    _Found = tuple[int, int, int, str, tuple[Any, ...]]  # of getaddrinfo()

FORMS = "HOST:PORT, :PORT, [IPV6]:PORT or a path with a slash"
LARGEST = {"port": 0xffff, "flowinfo": 0xfffff, "scope_id": 0xffffffff}


def parsed(text: str) -> tuple[str, int] | str:
    """Return the address that a text is: HOST:PORT, :PORT, [IPV6]:PORT, a path with a slash.

    Returns
    -------
    tuple or str
        (host, port), the host "" for all addresses; or the path.

    Raises
    ------
    ValueError
    """
    if not text:
        raise ValueError(f"an address is {FORMS}, not an empty text")
    if "/" in text:
        return text
    host, colon, port = text.rpartition(":")
    if text[0] == "[":
        inside, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise ValueError(f"{text!r} has no closing bracket: write [IPV6]:PORT")
        if not is_number(inside, stdlib_socket.AF_INET6):
            raise ValueError(f"{inside!r} is not an IPv6 address: brackets are for these alone")
        if rest[:1] != ":":
            raise ValueError(f"{text!r} has no port: write [{inside}]:PORT")
        host, port = inside, rest[1:]
    elif is_number(text, stdlib_socket.AF_INET6):
        raise ValueError(f"{text!r} is an IPv6 address without brackets: write [{text}]:PORT"
                         + (f", or [{host}]:{port}" if port.isdecimal() and is_number(
                             host, stdlib_socket.AF_INET6) else ""))
    elif not colon:
        raise ValueError(f"{text!r} has no port: an address is {FORMS}")
    elif ":" in host:
        raise ValueError(f"{host!r} is not a host; an IPv6 address is written [IPV6]:PORT")
    if not port:
        raise ValueError(f"{text!r} has no port after the colon")
    if not (port.isascii() and port.isdecimal()) or int(port[:9]) > LARGEST["port"]:
        raise ValueError(f"{port!r} is not a port, which is 0 to 65535, in {text!r}")
    return host, int(port)


def checked(address: object, what: str = "an address") -> tuple[Any, ...] | str | bytes:
    """Return an address of the API as a tuple or a path, if it is one of either.

    Raises
    ------
    TypeError
        It is neither.
    ValueError
        A text that is more likely a host and a port than a path, or is empty.
    OverflowError
        A number of it is out of range.
    """
    if isinstance(address, os.PathLike):
        path: str | bytes = os.fspath(address)  # certainly a path, whatever it looks like
        return path
    if isinstance(address, (str, bytes)):
        refuse_host_and_port(address, what)
        return address
    if not isinstance(address, tuple) or not 2 <= len(address) <= 4:
        raise TypeError(f"{what} is (host, port[, flowinfo[, scope_id]]) or a path, not "
                        f"{address!r} ({type(address).__name__})")
    port = address[1]
    if isinstance(port, (str, bytes)) and port.isdigit():  # getaddrinfo(3) takes it modulo 65,536
        check_number("port", int(port[:9]))
    elif isinstance(port, int):
        check_number("port", port)
    check_complete(*address[2:])
    return address


def check_complete(*complete: object) -> None:
    """Check flowinfo and scope_id, as far as they are given."""
    for name, value in zip(("flowinfo", "scope_id"), complete):
        if not isinstance(value, int):
            raise TypeError(f"{name} must be an int, not {value!r} ({type(value).__name__})")
        check_number(name, value)


def check_number(name: str, value: int) -> None:
    if not 0 <= value <= LARGEST[name]:
        raise OverflowError(f"the {name} must be 0 to {LARGEST[name]}, not {value}")


def refuse_host_and_port(path: str | bytes, what: str) -> None:
    """Raise ValueError for a path without a slash that has a colon, or is a number of IP."""
    text = path.decode("latin-1") if isinstance(path, bytes) else path
    if "/" in text or text[:1] == "\0":
        return
    if not text:
        raise ValueError(f"{what} is (host, port[, flowinfo[, scope_id]]) or a path, and {path!r} "
                         "is an empty path: write ('', PORT) for all addresses of this machine")
    if ":" in text or is_number(text, stdlib_socket.AF_INET) or (
            is_number(text.strip("[]"), stdlib_socket.AF_INET6)):
        raise ValueError(f"{what} is a tuple of host and port, or a path, and {path!r} is not "
                         f"clearly a path: {right_tuple(text)}; for a path of that name, "
                         f"{'./' + text!r}")


def right_tuple(text: str) -> str:
    """Return what to write where the API was given a host and a port as one text."""
    if text[:1] == "[" and "]" in text:
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif is_number(text, stdlib_socket.AF_INET6):
        host, port = text, ""
        start, _, last = text.rpartition(":")
        if last.isdecimal() and is_number(start, stdlib_socket.AF_INET6):
            if "%" in text:  # of the scope: interfaces have no colons in their names
                return f"write {(start, int(last))!r}"
            return f"write ({text!r}, PORT), or {(start, int(last))!r}"
    elif ":" in text:
        host, _, port = text.rpartition(":")
        if ":" in host and not is_number(host, stdlib_socket.AF_INET6):
            return f"{host!r} is not a host, and a host and a port are written (HOST, PORT)"
    else:
        host, port = text, ""
    if not port:
        return f"write ({host!r}, PORT)"
    if not (port.isascii() and port.lstrip("-").isdecimal()):
        return f"write {(host, port)!r}"  # a service, which the resolver knows by its name
    if port[0] == "-" or int(port[:9]) > LARGEST["port"]:
        return f"{port!r} is not a port, which is 0 to 65535, in {text!r}"
    return f"write {(host, int(port))!r}"


def is_number(host: str, family: int) -> bool:
    """Is it a numeric address of that family, of IPv6 also with %scope?"""
    if family == stdlib_socket.AF_INET6:
        host, percent, scope = host.partition("%")
        if percent and not scope:
            return False
    try:
        stdlib_socket.inet_pton(family, host)
    except (OSError, UnicodeError, ValueError):
        return False
    return True


def resolved(address: Sequence[Any], flags: int = 0) -> list[_Found]:
    """Return what getaddrinfo(3) finds for a checked tuple, complete with its last elements.

    Parameters
    ----------
    address : tuple
        (host, port[, flowinfo[, scope_id]]). One with more than a host and a port is an
        address of IPv6, as in the stdlib.
    flags : int
        AI_PASSIVE and others.

    Raises
    ------
    socket.gaierror, UnicodeError
        With the host in their text.
    """
    host, port, *complete = address
    family = stdlib_socket.AF_INET6 if complete else stdlib_socket.AF_UNSPEC
    try:
        found = stdlib_socket.getaddrinfo(
            host or None, port, family, stdlib_socket.SOCK_STREAM, flags=flags)
    except stdlib_socket.gaierror as error:
        name = f"{host!r}" if isinstance(port, int) else f"{host!r}, port {port!r}"
        raise stdlib_socket.gaierror(
            error.errno, f"can't resolve {name}: {error.strerror}") from None
    except UnicodeError as error:
        raise UnicodeError(f"can't resolve {host!r}: {error}") from None
    return completed(found, *complete)


def completed(found: list[Any], flowinfo: int = 0, scope_id: int = 0) -> list[_Found]:
    """Put the flowinfo and scope_id that a caller gave into addresses of IPv6.

    A scope of the host ("fe80::1%eth0"), which the resolver reports, stays where the caller
    gave 0.
    """
    if not flowinfo and not scope_id:
        return found
    return [(family, kind, proto, name,
             (*sockaddr[:2], flowinfo or sockaddr[2], scope_id or sockaddr[3])
             if family == stdlib_socket.AF_INET6 else sockaddr)
            for family, kind, proto, name, sockaddr in found]


def scoped(source: Any, family: int) -> Any:
    """Return a source address with the scope of a host such as "fe80::1%eth0".

    bind() takes the scope_id from the tuple alone, and it is 0 in one of two elements.
    """
    if family == stdlib_socket.AF_INET6 and isinstance(source, tuple) and len(source) == 2:
        host, port = source
        if isinstance(host, str) and "%" in host and isinstance(port, int):
            return stdlib_socket.getaddrinfo(host, port, stdlib_socket.AF_INET6)[0][4]
    return source


def shown(name: Any) -> str:
    """Return an address, such as getsockname() returns, as the text that parsed() takes."""
    if isinstance(name, (str, bytes)):
        text = os.fsencode(name).decode("utf-8", "backslashreplace")
        return "@" + text[1:] if text[:1] == "\0" else text  # abstract: as ss(8) shows it
    host, port = name[:2]
    if len(name) == 2:
        return f"{host}:{port}"
    if name[3] and "%" not in host:
        try:
            host += "%" + stdlib_socket.if_indextoname(name[3])
        except OSError:
            host += f"%{name[3]}"
    return f"[{host}]:{port}"
