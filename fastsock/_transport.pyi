from typing_extensions import disjoint_base

from fastsock._sender import Sender

@disjoint_base
class Transport(Sender):
    def _end_handshake(self) -> None: ...
    def _finish(self) -> None: ...
