import selectors as _stdlib
import sys
from fastsock import _selectors
from selectors import EVENT_READ as EVENT_READ
from selectors import EVENT_WRITE as EVENT_WRITE
from selectors import BaseSelector as BaseSelector
from selectors import SelectorKey as SelectorKey

class SelectSelector(_selectors.SelectMethods, _stdlib.SelectSelector): ...
class PollSelector(_selectors.PollMethods, _stdlib.PollSelector): ...

if sys.platform == "linux":
    class EpollSelector(_selectors.EpollMethods, _stdlib.EpollSelector): ...

if sys.platform != "linux" and sys.platform != "win32":
    from selectors import KqueueSelector as KqueueSelector

# Another name of one of these, which one depends on the system: as typeshed has it.
class DefaultSelector(_stdlib.DefaultSelector): ...
