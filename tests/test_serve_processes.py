"""serve_batches() and the callbacks of connections, in this process and in workers.

Each test runs a program of its own, as in test_serve_workers.py; what else workers live
through is there.
"""

import os
import signal

import pytest

from tests.serving import ends, receive
from tests.test_serve_workers import close_all, keep  # noqa: F401  (a fixture)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")

BATCHES = """
import os, sys
import fastsock
from fastsock.framing import Lines

def handler(lines):
    assert type(lines) is list
    return [b"%d" % os.getpid() if line == b"pid" else line.upper() for line in lines]

def ready(addresses):
    print("ready", *(address[1] for address in addresses), flush=True)

fastsock.serve_batches(handler, ("127.0.0.1", 0), framing=Lines(), on_ready=ready, grace=20.0,
                       **OPTIONS)
print("returned")
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_batches(keep, workers):  # noqa: F811
    keeper = keep(f"{{'workers': {workers}}}", code=BATCHES).ready()
    connections = keeper.workers(workers)
    assert set(connections) == (keeper.children() if workers > 1 else {keeper.process.pid})
    for client in connections.values():
        client.sendall(b"a\nb\nunfin")
        assert receive(client, 4) == b"A\nB\n"
    keeper.process.send_signal(signal.SIGTERM)
    for client in connections.values():
        client.sendall(b"ished\n")
        assert receive(client, 11) == b"UNFINISHED\n"
        assert ends(client)
    close_all(connections)
    assert keeper.ended() == 0, keeper
    assert keeper.output[-1] == "returned"
