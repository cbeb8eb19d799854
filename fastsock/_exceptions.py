"""The exceptions that are ours: in Python, where a class costs an extension nothing."""


class IncompleteReadError(EOFError):
    """The peer ended the connection before all bytes had arrived.

    Attributes
    ----------
    partial : bytes
        What had arrived.
    expected : int
        How many bytes were asked for.
    """

    def __init__(self, partial, expected):
        super().__init__(f"{len(partial)} bytes read on a total of {expected} expected bytes")
        self.partial = partial
        self.expected = expected

    def __reduce__(self):
        return type(self), (self.partial, self.expected)
