import socket

def relay(
    a: socket.socket, b: socket.socket, /, *, idle_timeout: float | None = None
) -> tuple[int, int]: ...
