"""A server beside a thread that computes: python -m benchmarks computing

The share of its unloaded rate that a server keeps."""

from benchmarks.echo_server import ON_ASYNCIO, ON_SERVER
from benchmarks.measure import Figure, native
from benchmarks.servers import load, python, running

COMPUTE = """
import threading
def compute():
    number = 0
    while True:
        number += 1
threading.Thread(target=compute, daemon=True).start()
"""


def share_kept(code):
    """Rate beside a computing thread, of the rate without."""
    rates = {}
    for beside in (False, True):
        with running(python((COMPUTE if beside else "") + code)) as (port, _):
            load(port, seconds=0.5)
            rates[beside] = load(port, seconds=5)
    return rates[True] / rates[False]


def rows():
    if native("echo") is None:
        return
    yield Figure("asyncio beside a computing thread: share of its rate that is lost",
                 1 - share_kept(ON_ASYNCIO + "asyncio.run(main())"))
    yield Figure("Server beside a computing thread: share of its rate that is lost",
                 1 - share_kept(ON_SERVER))
