from typing_extensions import disjoint_base

from fastsock._hub import Connection

@disjoint_base
class FileRegion: ...
@disjoint_base
class Sender(Connection): ...
