from select import *

from fastsock._epoll import epoll as epoll
from fastsock._poll import new_poll as poll, poll as _poll_class
from fastsock._select import select as select

epoll_is_ours: bool
