"""The stdlib's `select` module with fastsock's `epoll`, `poll` and `select`.

    from fastsock import select

Every other name is the stdlib's own object (constants, kqueue where there is one).
"""

import select as _stdlib

from fastsock import _epoll, _poll, _select

globals().update({name: value for name, value in vars(_stdlib).items()
                  if not (name.startswith("__") and name.endswith("__"))})
select = _select.select
poll = _poll.new_poll
epoll_is_ours = hasattr(_stdlib, "epoll") and _epoll.is_there()
if epoll_is_ours:
    epoll = _epoll.epoll
