"""What fastsock did in this process: counted always, shown by `fastsock.stats()`.

Rule: a counter is one addition in memory; nothing is counted that costs more.
System calls that no hot loop makes (bind, getsockopt, ...) are not counted.
"""

from libc.string cimport memset

SYSTEM_CALLS = ("recv", "recvfrom", "recvmsg", "send", "sendto", "sendmsg", "sendfile",
                "accept", "connect", "poll", "recvmmsg", "sendmmsg")
assert len(SYSTEM_CALLS) == SYSTEM_CALL_COUNT


def stats(*, reset=False):
    """What fastsock did in this process since it was imported, or last reset.

    Parameters
    ----------
    reset : bool
        Set every counter to 0 after reading it.

    Returns
    -------
    dict of str to int, and "system_calls" to a dict of name to int
        calls: operations that may block (recv, send, accept, ...); tries_failed:
        system calls that were tried first and found nothing ready; polls_saved:
        operations of a socket with a timeout that needed no poll; gil_kept: system
        calls made without giving the GIL away; waits: sleeps for a socket;
        busy_polls_won: waits that ended while busy-polling; bytes_in, bytes_out.

    Thread safety: counters are read one after the other while other threads go on.
    """
    result = {
        "calls": counters.calls,
        "system_calls": {
            name: counters.system_calls[index] for index, name in enumerate(SYSTEM_CALLS)},
        "tries_failed": counters.tries_failed,
        "polls_saved": counters.polls_saved,
        "gil_kept": counters.gil_kept,
        "waits": counters.waits,
        "busy_polls_won": counters.busy_polls_won,
        "bytes_in": counters.bytes_in,
        "bytes_out": counters.bytes_out,
    }
    if reset:
        memset(&counters, 0, sizeof(counters))
    return result
