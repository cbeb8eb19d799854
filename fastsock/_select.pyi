from _typeshed import FileDescriptorLike
from collections.abc import Iterable
from typing import TypeVar

_R = TypeVar("_R", bound=FileDescriptorLike)
_W = TypeVar("_W", bound=FileDescriptorLike)
_X = TypeVar("_X", bound=FileDescriptorLike)

def select(
    rlist: Iterable[_R], wlist: Iterable[_W], xlist: Iterable[_X],
    timeout: float | None = None, /,
) -> tuple[list[_R], list[_W], list[_X]]: ...
