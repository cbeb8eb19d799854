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


CALLBACKS = """
import os
import fastsock
from fastsock.framing import Lines

def handler(line):
    return b"%d" % os.getpid() if line == b"pid" else line.upper()

def ready(addresses):
    print("ready", *(address[1] for address in addresses), flush=True)

def on_connect(connection):
    assert fastsock.current_connection() is connection
    print("connect", os.getpid(), connection.get_extra_info("peername")[1], flush=True)

def on_disconnect(connection, reason):
    assert fastsock.current_connection() is connection
    print("disconnect", os.getpid(), connection.get_extra_info("peername")[1], reason,
          flush=True)

fastsock.serve(handler, ("127.0.0.1", 0), framing=Lines(), on_ready=ready, grace=20.0,
               on_connect=on_connect, on_disconnect=on_disconnect, **OPTIONS)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_callbacks_are_called_where_the_connection_is(keep, workers):  # noqa: F811
    keeper = keep(f"{{'workers': {workers}}}", code=CALLBACKS).ready()
    connections = keeper.workers(workers)
    names = {pid: client.getsockname()[1] for pid, client in connections.items()}
    closed = next(iter(connections.values()))
    closed.close()
    keeper.wait_for(f"^disconnect {next(iter(names))} {next(iter(names.values()))} None$")
    assert keeper.end() == 0, keeper  # the others end by the server
    close_all(connections)
    output = [line for line in keeper.output if line.split()[0] != "ready"]
    for pid, name in names.items():
        assert output.count(f"connect {pid} {name}") == 1
        assert output.count(f"disconnect {pid} {name} None") == 1
        assert output.index(f"connect {pid} {name}") < output.index(
            f"disconnect {pid} {name} None")
    assert len([line for line in output if line.startswith("connect")]) == len(
        [line for line in output if line.startswith("disconnect")])
