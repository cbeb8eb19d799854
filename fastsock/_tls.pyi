import ssl

class TlsFilter:
    ssl_object: ssl.SSLObject
    is_established: bool
    has_ended: bool
    def __init__(self, context: ssl.SSLContext) -> None: ...
