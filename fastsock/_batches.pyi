from fastsock._framing import Framing
from fastsock._service import Service, _BatchHandler, _OnConnect, _OnDisconnect

class BatchService(Service):
    def __init__(
        self, handler: _BatchHandler, framing: Framing | None,
        on_connect: _OnConnect | None = None, on_disconnect: _OnDisconnect | None = None,
    ) -> None: ...
    def end_of_wake_up(self) -> None: ...
