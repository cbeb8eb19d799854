from collections.abc import Iterable
from typing import Any

from fastsock._hub import Connection
from fastsock._loop import Watched

class Rear(Watched): ...

class Front(Connection):
    def give_up(self) -> None: ...
    def finish(self) -> None: ...

def new_connection(
    targets: Iterable[tuple[int, Any]], connect_timeout_s: float, counters: list[int]
) -> Front: ...
