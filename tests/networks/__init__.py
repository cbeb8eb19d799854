"""Networks that misbehave, in network namespaces of a process of their own.

    python -m tests.networks [WORDS] [--seed SEED] [--json FILE]

A wire of our own (_wire) drops, delays, duplicates and reorders packets; links go down, hosts
are silent, routes refuse, an address family is absent. What TCP carries is whole: of every
connection each byte is numbered, and lost or duplicated ones are counted. What a wire did to
datagrams is known, and just that is what is missing. Where an error is due, it is the stdlib's.
tests/test_networks.py runs a part of it.
"""


def scenarios():
    """All of them: {name: (function, the implementations it runs on)}."""
    from tests.networks import (  # noqa: F401
        _chopped, _families, _icmp, _links, _mtu, _multicast, _packets, _refusals,
    )
    from tests.networks._tally import SCENARIOS
    return SCENARIOS
