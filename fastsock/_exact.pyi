class IncompleteReadError(EOFError):
    partial: bytes
    expected: int
    def __init__(self, partial: bytes, expected: int) -> None: ...
