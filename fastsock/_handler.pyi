from _typeshed import ReadableBuffer
from typing import final

from fastsock._exceptions import FramingError as FramingError
from fastsock._exceptions import LimitOverrunError as LimitOverrunError
from fastsock._service import Service
from fastsock._transport_methods import ServerTransport

@final
class HandlerTransport(ServerTransport):
    def send(self, message: ReadableBuffer, /) -> None: ...
    def resume_reading(self) -> None: ...
    def _resume(self) -> None: ...

def new_connection(service: Service) -> HandlerTransport: ...
