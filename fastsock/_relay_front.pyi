from collections.abc import Iterable
from typing import Any
from typing_extensions import disjoint_base

from fastsock._hub import Connection
from fastsock._loop import Watched

IPPROTO_TCP: int
TCP_NODELAY: int

def begin_again() -> None: ...

@disjoint_base
class Rear(Watched): ...

@disjoint_base
class Front(Connection):
    def give_up(self) -> None: ...
    def finish(self) -> None: ...

def new_connection(
    targets: Iterable[tuple[int, Any]], connect_timeout_s: float, counters: list[int]
) -> Front: ...
