"""The exceptions that are ours: in Python, where a class costs an extension nothing."""


class IncompleteReadError(EOFError):
    """The peer ended the connection before all bytes had arrived.

    Attributes
    ----------
    partial : bytes
        What had arrived.
    expected : int or None
        How many bytes were asked for; None where that is not known.
    """

    def __init__(self, partial: bytes, expected: int | None) -> None:
        total = "undefined" if expected is None else repr(expected)
        super().__init__(f"{len(partial)} bytes read on a total of {total} expected bytes")
        self.partial = partial
        self.expected = expected

    def __reduce__(self) -> tuple[type, tuple[bytes, int | None]]:
        return type(self), (self.partial, self.expected)


class LimitOverrunError(ValueError):
    """A line or message is longer than its limit. What has arrived of it stays buffered.

    Attributes
    ----------
    consumed : int
        How many bytes at the front of the buffer belong to it, as far as is known.
    """

    def __init__(self, message: str, consumed: int) -> None:
        super().__init__(message)
        self.consumed = consumed

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (self.args[0], self.consumed)


class FramingError(ValueError):
    """What has arrived is no message of this framing.

    Attributes
    ----------
    position : int
        Which byte of the stream is wrong, counted from 0.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (self.args[0], self.position)
