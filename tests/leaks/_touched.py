"""Which public operations were called: a profiler's view of some code.

Rule: an operation is a public method of a class, or a function, that is fastsock's own. What
is the interpreter's (getaddrinfo and the like) is not, nor are properties and constructors.
"""

import contextlib
import inspect
import sys
import threading
import types

import fastsock
from fastsock import framing, select, selectors
from fastsock._transport_methods import ServerTransport

FUNCTIONS = ["adopt", "create_connection", "current_connection", "install", "systemd_sockets",
             "relay", "set_busy_poll", "socketpair", "stats", "uninstall"]


#: Not for programs, but between a server's modules; and what a profiler does not see whose
#: it is, a static method.
LEFT_OUT = {"transport.end_handshake", "transport.finish", "transport.unwatch", "epoll.fromfd"}


def classes():
    found = {"socket": fastsock.socket, "Stream": fastsock.Stream, "Server": fastsock.Server,
             "Relay": fastsock.Relay, "DatagramBatch": fastsock.DatagramBatch,
             "PacketInfo": fastsock.PacketInfo, "transport": ServerTransport,
             "SocketIO": fastsock.SocketIO, "poll": type(select.poll())}
    found |= {name: getattr(framing, name)
              for name in ("Lines", "LengthPrefix", "Varint", "Netstring", "Fixed")}
    found |= {name: getattr(selectors, name)
              for name in ("EpollSelector", "PollSelector", "SelectSelector")
              if hasattr(selectors, name)}
    if hasattr(select, "epoll"):
        found["epoll"] = select.epoll
    return found


def is_ours(cls, name):
    """Is the method defined by a class of fastsock's?"""
    owner = next(base for base in cls.__mro__ if name in vars(base))
    return owner.__module__.partition(".")[0] == "fastsock"


def operations():
    """The names of all: "socket.recv", "relay"."""
    found = set(FUNCTIONS)
    for title, cls in classes().items():
        found |= {f"{title}.{name}" for name in dir(cls)
                  if not name.startswith("_") and is_ours(cls, name)
                  and callable(getattr(cls, name, None))}  # a build may be without it
    return found - LEFT_OUT


UNTOLD = "cython_function_or_method"


def noting(method, name, touched):
    def call(*arguments, **keywords):
        touched.add(name)
        return method(*arguments, **keywords)
    return call


@contextlib.contextmanager
def recorded():
    """A set that fills with the names of operations that are called, in any new thread too."""
    known = classes()
    touched = set()
    codes = {}
    for title, cls in known.items():
        for name in dir(cls):
            function = inspect.unwrap(inspect.getattr_static(cls, name))
            function = getattr(function, "__func__", function)
            # Some are taken from their module when they are first asked for.
            function = (function if isinstance(function, types.FunctionType)
                        else getattr(cls, name, None))
            if isinstance(function, (types.FunctionType, types.MethodType)):
                codes.setdefault(function.__code__, []).append((cls, f"{title}.{name}"))
    for name in FUNCTIONS:
        function = getattr(fastsock, name)
        if isinstance(function, types.FunctionType):
            codes.setdefault(function.__code__, []).append((None, name))
    # Cython's functions are calls of which a profiler is not told.
    untold = {name: method for name in dir(fastsock.socket) if not name.startswith("_")
              and type(method := getattr(fastsock.socket, name, None)).__name__ == UNTOLD}
    for name, method in untold.items():
        setattr(fastsock.socket, name, noting(method, f"socket.{name}", touched))
    natives = {id(getattr(fastsock, name)): name for name in FUNCTIONS}

    def profile(frame, event, argument):
        if event == "c_call":
            if id(argument) in natives:
                touched.add(natives[id(argument)])
            owner = getattr(argument, "__self__", None)
            # __name__ of a class's method; a module's function has the module.
            if owner is not None and not isinstance(owner, types.ModuleType):
                for title, cls in known.items():
                    if issubclass(owner if isinstance(owner, type) else type(owner), cls):
                        touched.add(f"{title}.{argument.__name__}")
        elif event == "call" and frame.f_code in codes:
            code = frame.f_code
            given = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
            for cls, name in codes[code]:
                if cls is None or isinstance(given, cls) or given is cls:
                    touched.add(name)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield touched
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        for name, method in untold.items():
            setattr(fastsock.socket, name, method)
