"""The module-level functions: create_connection, create_server, fromfd, ...

They are the interpreter's own, bound to the names of this package: they make our
sockets, follow the interpreter's version, and look `socket`, `getaddrinfo` and the
like up in `fastsock` at call time, where programs and tests replace them.
"""

import types

from fastsock._methods import socketpair
from fastsock._socket_class import stdlib_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["rebind_all", "rebound", "socketpair"]


def rebind_all(namespace: "dict[str, Any]") -> None:
    """Put every Python function of the stdlib's module into `namespace`, bound to it."""
    for name, function in vars(stdlib_socket).items():
        # Not those that gevent or eventlet put there: they belong to another module.
        if (isinstance(function, types.FunctionType)
                and function.__globals__ is vars(stdlib_socket)):
            namespace[name] = rebound(function, namespace)


def rebound(function: types.FunctionType, namespace: "dict[str, Any]") -> types.FunctionType:
    """A copy of a Python function that looks its names up in `namespace`."""
    copy = types.FunctionType(function.__code__, namespace, function.__name__,
                              function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    copy.__qualname__ = function.__qualname__
    copy.__module__ = namespace["__name__"]
    return copy
