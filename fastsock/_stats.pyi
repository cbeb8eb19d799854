from typing import TypedDict

SYSTEM_CALLS: tuple[str, ...]

class _Stats(TypedDict):
    calls: int
    system_calls: dict[str, int]
    tries_failed: int
    polls_saved: int
    gil_kept: int
    waits: int
    busy_polls_won: int
    bytes_in: int
    bytes_out: int

def stats(*, reset: bool = False) -> _Stats: ...
