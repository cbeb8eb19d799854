"""All scenarios: importing this names them."""

from tests.stress import _signals  # noqa: F401
from tests.stress import _serving  # noqa: F401
from tests.stress import _interrupts  # noqa: F401
from tests.stress import _closers  # noqa: F401
from tests.stress import _handlers  # noqa: F401
from tests.stress import _threads  # noqa: F401
from tests.stress import _forks  # noqa: F401
from tests.stress import _ends  # noqa: F401
