import ssl
from typing_extensions import disjoint_base

@disjoint_base
class TlsFilter:
    def __init__(
        self, context: ssl.SSLContext, server_side: bool = True,
        server_hostname: str | None = None,
    ) -> None: ...
