"""The BSD socket API at C speed, under the names of the stdlib's `socket`.

    import fastsock as socket          one line changed, or
    python -m fastsock run app.py      no line changed

Every public name of this interpreter's `socket` module is here. Exceptions, enums,
constants and name resolution are the very same objects. Beyond the stdlib:

Streams             Stream, framing; FramingError, IncompleteReadError, LimitOverrunError
Datagrams           DatagramBatch, PacketInfo, TruncatedDatagram
Servers             serve, serve_batches, Server, current_connection, systemd_sockets
Proxies             Relay, relay
Existing sockets    adopt, install, uninstall
Waiting             select, selectors: the stdlib's modules, with fastsock's objects
Measuring, tuning   stats, set_busy_poll
Methods of socket   recv_exactly, recv_exactly_into, sendmsg_all, accept_many, recvmmsg,
                    recvmmsg_into, sendmmsg, sendmmsg_from, send_segmented, enable_gro,
                    join_group, leave_group, set_multicast, peer_credentials
Constants           of the kernel that the interpreter lacks, such as UDP_SEGMENT

help(fastsock.Stream), help(fastsock.serve) and so on describe each.
"""

__version__ = "0.1.0"

try:
    # Not by "from", which says of a module that is missing only that its name can't be found.
    import fastsock._methods as _extension
except ModuleNotFoundError as _error:
    if _error.name != "fastsock._methods":
        raise
    raise ImportError(
        "fastsock's extension modules are not beside this file "
        f"({__file__}). In a source checkout build them by: python -m pip install -e . "
        "To use the installed package there instead, start python with -P"
    ) from None

from fastsock import _connect, _constants, functions as _functions
from fastsock._file_class import SocketIO as _file_class
from fastsock._socket_class import adopt, socket as _socket_class, stdlib_socket as _stdlib
from fastsock._busy_poll import set_busy_poll
from fastsock._stats import stats

# What not every program needs is imported when asked for: name, and module.
_LATER = {"DatagramBatch": "_batch", "FramingError": "_exceptions",
          "IncompleteReadError": "_exceptions", "LimitOverrunError": "_exceptions",
          "PacketInfo": "_packet_info", "Relay": "_relay_server", "Server": "_server",
          "Stream": "_stream", "TruncatedDatagram": "_batch",
          "current_connection": "_service", "framing": "framing", "install": "_install",
          "systemd_sockets": "_addresses", "relay": "_relay", "select": "select",
          "selectors": "selectors", "serve": "_serve",
          "serve_batches": "_serve", "uninstall": "_install"}

# Names of the kernel's that this interpreter lacks, then all of the interpreter's:
# also those with an underscore, which http.client and others use.
_extra = {name: value for name, value in _constants.table().items()
          if not hasattr(_stdlib, name)}
globals().update(_extra)
globals().update({name: value for name, value in vars(_stdlib).items()
                  if not (name.startswith("__") and name.endswith("__") or name in _LATER)})
_functions.rebind_all(globals())
socket = _socket_class
socketpair = _functions.socketpair
create_connection = _connect.create_connection
_own_getaddrinfo = getaddrinfo  # noqa: F821 (bound by rebind_all)
SocketIO = _file_class
# The interpreter's own makefile(), which then makes our SocketIO.
socket.makefile = _functions.rebound(_stdlib.socket.makefile, globals())

# Not what a star would put before an `import select` of the stdlib's.
__all__ = [*_stdlib.__all__, *_extra,
           *[name for name in _LATER if name not in ("select", "selectors")],
           "adopt", "set_busy_poll", "stats"]


def __dir__():
    """The names to show, those of _LATER among them; our private modules are left out."""
    shown = {*_LATER, *vars(_stdlib)}
    return [name for name in {**_LATER, **globals()}
            if name in shown
            or not name.startswith("_") and name not in ("capi", "commands", "functions")
            or name.startswith("__") and name.endswith("__")]


def __getattr__(name):
    if name not in _LATER:
        import sys
        # With obj: the interpreter searches its dir() for a name to suggest.
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name,
                             obj=sys.modules.get(__name__))
    import importlib
    module = importlib.import_module(f"{__name__}.{_LATER[name]}")
    value = module if name == _LATER[name] else getattr(module, name)
    globals()[name] = value
    return value
