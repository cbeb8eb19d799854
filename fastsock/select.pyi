# What is ours stands on both sides of the star: mypy heeds the first definition of a name,
# other checkers the last.
from fastsock._epoll import epoll as epoll
from fastsock._poll import new_poll as _new_poll
from fastsock._select import select as select

poll = _new_poll

from select import *  # type: ignore[assignment]  # ours are other objects

from fastsock._epoll import epoll as epoll
from fastsock._select import select as select

poll = _new_poll
epoll_is_ours: bool
