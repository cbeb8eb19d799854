"""create_connection(): the interpreter's, with a numeric fast path and two additions.

Rules: without `deadline` and `happy_eyeballs_delay` every step and every exception
is as in the interpreter's own function, whose names are looked up in `fastsock`
when it is called, where programs and tests replace them. A host that is a number
of IPv4 or IPv6 skips the resolver, unless getaddrinfo was replaced.
"""

import _socket as _interpreter
import sys

from fastsock._socket_class import stdlib_socket

_DEFAULT = stdlib_socket._GLOBAL_DEFAULT_TIMEOUT
_STREAM = int(stdlib_socket.SOCK_STREAM)


def create_connection(address, timeout=_DEFAULT, source_address=None, *, all_errors=False,
                      happy_eyeballs_delay=None, deadline=None):
    """Connect to (host, port) over TCP and return the socket.

    Parameters
    ----------
    address : tuple of str and int
        Host name or number, and port.
    timeout : float or None, optional
        Seconds for each address in turn, and afterwards the socket's timeout; the
        default timeout if left out.
    source_address : tuple, optional
        The (host, port) to bind first.
    all_errors : bool
        Raise an ExceptionGroup of what went wrong with each address, and not only
        the last.
    happy_eyeballs_delay : float, optional
        Race the addresses, of both families in turn, starting the next one after so
        many seconds or when one failed (RFC 8305; it recommends 0.25).
    deadline : float, optional
        Seconds for the whole call, whatever the number of addresses.

    Returns
    -------
    fastsock.socket

    Raises
    ------
    OSError
        Of the last address. TimeoutError when the deadline passed.
    """
    names = _package()
    host, port = address
    exceptions = []
    if happy_eyeballs_delay is not None or deadline is not None:
        from fastsock._race import Race
        race = Race(names, names.getdefaulttimeout() if timeout is _DEFAULT else timeout,
                    source_address, happy_eyeballs_delay, deadline)
        sock = race.run(lambda: resolve(names, host, port), exceptions)
        if sock is None:
            raise_from(exceptions, all_errors)
        return sock
    for family, type, proto, _, destination in resolve(names, host, port):
        sock = None
        try:
            sock = names.socket(family, type, proto)
            if timeout is not _DEFAULT:
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(destination)
            exceptions.clear()  # breaks a reference cycle
            return sock
        except OSError as error:
            if not all_errors:
                exceptions.clear()
            exceptions.append(error)
            if sock is not None:
                sock.close()
    raise_from(exceptions, all_errors)


def resolve(names, host, port):
    """getaddrinfo(), or its answer for a numeric host without asking it."""
    if names.getaddrinfo is names._own_getaddrinfo:
        numeric = number_of(host, port)
        if numeric:
            # Whoever watches name resolution sees this one too.
            sys.audit("socket.getaddrinfo", host, port, 0, _STREAM, 0)
            return numeric
    return names.getaddrinfo(host, port, 0, stdlib_socket.SOCK_STREAM)


def number_of(host, port):
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
    except (OSError, UnicodeError):
        return None


def raise_from(exceptions, all_errors):
    """Raise what the attempts ended with."""
    if not exceptions:
        raise OSError("getaddrinfo returns an empty list")
    try:
        if not all_errors:
            raise exceptions[-1]
        raise ExceptionGroup("create_connection failed", exceptions)
    finally:
        exceptions.clear()  # breaks a reference cycle


def _package():
    import fastsock
    return fastsock
