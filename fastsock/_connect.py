"""create_connection(): the interpreter's, with a numeric fast path and two additions.

Rules: without `total_timeout` and `happy_eyeballs_delay` every step and every exception
is as in the interpreter's own function, whose names are looked up in `fastsock`
when it is called, where programs and tests replace them. A host that is a number
of IPv4 or IPv6 skips the resolver, unless getaddrinfo was replaced.
"""

import _socket as _interpreter
import sys

from fastsock._socket_class import stdlib_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

    from fastsock._race import _Address, _Found

    _Target = (tuple[str | None, int] | tuple[str | None, int, int]
               | tuple[str | None, int, int, int])
    from fastsock._socket_class import socket

_DEFAULT: "Any" = vars(stdlib_socket)["_GLOBAL_DEFAULT_TIMEOUT"]  # of no type one could name
_STREAM = int(stdlib_socket.SOCK_STREAM)


def create_connection(address: "_Target", timeout: float | None = _DEFAULT,
                      source_address: "_Address | None" = None, *, all_errors: bool = False,
                      happy_eyeballs_delay: float | None = None,
                      total_timeout: float | None = None) -> "socket":
    """Connect to (host, port) over TCP and return the socket.

    Parameters
    ----------
    address : tuple of str and int
        Host name or number, and port; of IPv6 also (host, port, flowinfo, scope_id).
    timeout : float or None, optional
        Seconds for each address in turn, and afterwards the socket's timeout; the
        default timeout if left out.
    source_address : tuple, optional
        The (host, port) to bind first; of IPv6 also (host, port, flowinfo, scope_id).
    all_errors : bool
        Raise an ExceptionGroup of what went wrong with each address, and not only
        the last.
    happy_eyeballs_delay : float, optional
        Race the addresses, of both families in turn, starting the next one after this
        many seconds, or at once when an attempt fails (RFC 8305; it recommends 0.25).
        With infinity the next one only starts when an attempt fails.
    total_timeout : float, optional
        Seconds for the whole call, whatever the number of addresses. None and infinity:
        no bound.

    Returns
    -------
    fastsock.socket

    Raises
    ------
    OSError
        Of the last address. TimeoutError when `total_timeout` passed.
    ValueError
        `happy_eyeballs_delay` or `total_timeout` is NaN, or not above 0; `timeout` is NaN
        or negative.
    OverflowError
        `timeout` is infinite: as in the stdlib, None is the socket's timeout without a bound.
    """
    names = _package()
    complete: tuple[int, ...] = ()
    try:
        host, port = address  # type: ignore[misc]  # longer ones: below
    except ValueError:
        if not isinstance(address, (tuple, list)) or not 3 <= len(address) <= 4:
            raise
        host, port, *rest = address
        complete = tuple(rest)
    if complete:
        from fastsock._address_forms import check_complete
        check_complete(*complete)
    exceptions: list[Exception] = []
    if happy_eyeballs_delay is not None or total_timeout is not None:
        from fastsock._race import Race
        race = Race(names, names.getdefaulttimeout() if timeout is _DEFAULT else timeout,
                    source_address, happy_eyeballs_delay, total_timeout)
        winner = race.run(lambda: resolve(names, host, port, complete), exceptions)
        if winner is None:
            raise_from(exceptions, all_errors)
        return winner
    for family, type, proto, _, destination in resolve(names, host, port, complete):
        sock: socket | None = None
        try:
            made: socket = names.socket(family, type, proto)
            sock = made
            if timeout is not _DEFAULT:
                made.settimeout(timeout)
            if source_address:
                from fastsock._address_forms import scoped
                made.bind(scoped(source_address, made.family))
            made.connect(destination)
            exceptions.clear()  # breaks a reference cycle
            return made
        except OSError as error:
            if not all_errors:
                exceptions.clear()
            exceptions.append(error)
            if sock is not None:
                sock.close()
    raise_from(exceptions, all_errors)


def resolve(names: "ModuleType", host: str | bytes | None,
            port: str | bytes | int | None, complete: tuple[int, ...] = ()) -> "list[_Found]":
    """getaddrinfo(), or its answer for a numeric host without asking it.

    `complete` is flowinfo and scope_id, as far as the caller gave them.
    """
    if complete:
        from fastsock._address_forms import completed
        return completed(names.getaddrinfo(
            host, port, stdlib_socket.AF_INET6, stdlib_socket.SOCK_STREAM), *complete)
    if names.getaddrinfo is names._own_getaddrinfo:
        numeric = number_of(host, port)
        if numeric:
            # Whoever watches name resolution sees this one too.
            sys.audit("socket.getaddrinfo", host, port, 0, _STREAM, 0)
            return numeric
    found: list[_Found] = names.getaddrinfo(host, port, 0, stdlib_socket.SOCK_STREAM)
    return found


def number_of(host: object, port: object) -> "list[_Found] | None":
    """The one address of a host that is a number; None for what needs a resolver."""
    if type(host) is not str or type(port) is not int or not 0 <= port <= 0xffff:
        return None
    try:
        if ":" not in host:
            # Only the dotted form of four numbers: the resolver knows others.
            _interpreter.inet_pton(stdlib_socket.AF_INET, host)
            return [(stdlib_socket.AF_INET, stdlib_socket.SOCK_STREAM,
                     stdlib_socket.IPPROTO_TCP, "", (host, port))]
        if "%" in host:
            return None
        _interpreter.inet_pton(stdlib_socket.AF_INET6, host)
        return [(stdlib_socket.AF_INET6, stdlib_socket.SOCK_STREAM,
                 stdlib_socket.IPPROTO_TCP, "", (host, port, 0, 0))]
    except (OSError, ValueError):  # not ASCII, or with a null character
        return None


def raise_from(exceptions: list[Exception], all_errors: bool) -> "NoReturn":
    """Raise what the attempts ended with."""
    if not exceptions:
        raise OSError("getaddrinfo returns an empty list")
    try:
        if not all_errors:
            raise exceptions[-1]
        raise ExceptionGroup("create_connection failed", exceptions)
    finally:
        exceptions.clear()  # breaks a reference cycle


def _package() -> "ModuleType":
    import fastsock
    return fastsock
