"""The stdlib's `selectors` module with fastsock's selectors.

    from fastsock import selectors

Each is a subclass of the stdlib's selector of the same name; every other name
(SelectorKey, EVENT_READ, BaseSelector, KqueueSelector, ...) is the stdlib's own object.
"""

import selectors as _stdlib

from fastsock import _selectors, select as _select
from fastsock._self import own_methods as _own_methods
from fastsock._socket_class import socket as _socket_class

_selectors.know_fileno(_socket_class.fileno)
globals().update({name: value for name, value in vars(_stdlib).items()
                  if not (name.startswith("__") and name.endswith("__"))})


class SelectSelector(_selectors.SelectMethods, _stdlib.SelectSelector):
    """Select-based selector: select(2) on sets that are kept, without lists of fds."""


# Some of these a system lacks, or a library such as gevent has taken away.
if hasattr(_stdlib, "PollSelector"):
    class PollSelector(_selectors.PollMethods, _stdlib.PollSelector):
        """Poll-based selector: poll(2) on an array that is kept."""

        _selector_cls = _select.poll


if hasattr(_stdlib, "EpollSelector") and _select.epoll_is_ours:
    class EpollSelector(_selectors.EpollMethods, _stdlib.EpollSelector):
        """Epoll-based selector, which hands out what it handed out before."""

        _selector_cls = _select.epoll


for _cls in tuple(globals().values()):
    if isinstance(_cls, type) and issubclass(_cls, _selectors.SelectorMethods):
        _own_methods(_cls)

# The stdlib's choice for this system: kqueue's selector stays its own.
DefaultSelector = globals().get(_stdlib.DefaultSelector.__name__, _stdlib.DefaultSelector)
