"""Networks that misbehave: scenarios of tests.networks, each on both implementations.

    python -m tests.networks        all of them

One process has the namespaces, and runs what it is told; where there may be none, the tests
are skipped with its reason.
"""

import os

import pytest

from tests.networks._child import Child

#: Left to the command: each takes seconds, or is another of a kind that is here.
LEFT_OUT = (
    "packets dropped: ", "packets doubled: ", "packets late and out of order: ",
    "packets all of these: makefile", "packets all of these: sendmsg",
    "link down and up: messages of", "link down and up: makefile", "link down and up: send",
    "link down and up: recv_exactly", "link down and up: Server with TLS",
    "split at every position: serve() of N", "split at every position: serve() of V",
    "split at every position: serve() of Le", "split at every position: serve() of F",
    "MTU 576: messages of", "MTU 576: makefile", "MTU 576: send", "MTU 576 behind a router: sendf",
    "MTU that changes: messages", "MTU that changes: Relay", "MTU 1280",
    "unreachable: a router's routes", "unreachable: nobody", "silent: ", "several addresses: all",
    "gone for good, silent: sendall, timeout", "gone for good, down: sendall, blocking",
    "a host that is unreachable", "multicast: interface by address",
    "between datagrams: recvmmsg_into",
    "between datagrams: recv, IPv6", "between datagrams: recvmmsg, IPv6")
#: But one of each kind, at least.
KEPT = ("packets dropped: Stream", "packets doubled: messages of Lines",
        "packets late and out of order: serve()", "link down and up: sendall, recv",
        "MTU 576: sendall, recv")

SEED = os.environ.get("FASTSOCK_NETWORKS_SEED", "1")


def chosen():
    try:
        from tests.networks import scenarios
        found = scenarios()
    except ImportError as error:  # what only Linux has
        return [pytest.param(None, None, marks=pytest.mark.skip(reason=str(error)))]
    return [pytest.param(name, on, id=f"{name}-{on}")
            for name, (_, implementations) in found.items() for on in implementations
            if name in KEPT or not any(word in name for word in LEFT_OUT)]


@pytest.fixture(scope="module")
def child():
    started = Child()
    yield started
    started.close()


@pytest.mark.parametrize("name, on", chosen())
def test_networks(child, name, on):
    if child.why_not is not None:
        pytest.skip(f"no network namespaces: {child.why_not}")
    found = child.run(name, on, SEED)
    if found["skipped"]:
        pytest.skip(found["skipped"])
    assert not found["wrong"], "\n".join(found["wrong"])
    if not name.startswith("datagrams"):  # of those the wire drops some
        assert found["lost_bytes"] == found["duplicated_bytes"] == 0
