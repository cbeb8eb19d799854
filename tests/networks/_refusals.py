"""Scenarios of hosts that do not answer: unreachable, silent, busy, forbidden.

Rule: what is raised is what the stdlib raises, by class, number and text. Which of several
addresses was chosen is asserted, and not when.
"""

import contextlib
import errno
import select

import fastsock

from tests.networks._namespaces import FAR, LINK, ROUTED_FAR, ROUTED_FAR6, linked, routed
from tests.networks._tally import (
    TIMEOUT_S, Together, numbered, outcome, scenario, shape_of,
)
from tests.networks._ways import running, wait_until
from tests.serving import Echo

SHORT_S = 0.25
PORT = 7


def attempts(socket, near, host, timeout=SHORT_S):
    """All ways to connect: [what each returned or raised]."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def with_socket(method):
        with socket.socket(family) as sock:
            sock.settimeout(timeout)
            return getattr(sock, method)((host, PORT))

    def with_all_errors():
        try:
            socket.create_connection((host, PORT), timeout=timeout, all_errors=True)
        except ExceptionGroup as group:
            return [shape_of(error) for error in group.exceptions]

    def without_waiting():
        with socket.socket(family) as sock:
            sock.setblocking(False)
            return sock.connect_ex((host, PORT))
    with near.inside():
        return [outcome(lambda: with_socket("connect")), outcome(lambda: with_socket("connect_ex")),
                outcome(lambda: socket.create_connection((host, PORT), timeout=timeout)),
                outcome(with_all_errors), outcome(without_waiting)]


def refusal(tally, near, host, expected, timeout=SHORT_S):
    """Every way to connect meets the same error as in the stdlib, and it is `expected`."""
    found = tally.same(lambda socket: attempts(socket, near, host, timeout), f"connecting to {host}")
    tally.note(found[0])
    for index in (0, 2):
        tally.check(found[index] is not None and found[index][1] == expected,
                    f"{host}: {found[index]}, where errno {expected} was due")
    # And so with a deadline, or as a race of one.
    for options in ({"total_timeout": TIMEOUT_S}, {"happy_eyeballs_delay": 0.1}):
        with near.inside():
            race = outcome(lambda options=options: fastsock.create_connection(
                (host, PORT), timeout=timeout, **options))
        tally.check(race is not None and race[:2] == found[2][:2],
                    f"{host} {options}: {race}, where {found[2]} was due")


@scenario("unreachable: routes that refuse", on=("both",))
def routes(_, tally, chance):
    with linked() as (near, far):
        near.ip("route add blackhole 10.81.0.0/16", "route add prohibit 10.82.0.0/16",
                "route add unreachable 10.83.0.0/16", "route add blackhole fd81::/16",
                "route add prohibit fd82::/16", "route add unreachable fd83::/16")
        for host, expected in (("10.81.0.1", errno.EINVAL), ("10.82.0.1", errno.EACCES),
                               ("10.83.0.1", errno.EHOSTUNREACH), ("10.84.0.1", errno.ENETUNREACH),
                               ("fd81::1", errno.EINVAL), ("fd82::1", errno.EACCES),
                               ("fd83::1", errno.EHOSTUNREACH), ("2001:db8::1", errno.ENETUNREACH)):
            refusal(tally, near, host, expected)


def ask_quickly(space, link):
    """Give up a neighbour that does not answer after 0.15 s, and not 3."""
    for family in ("ipv4", "ipv6"):
        space.set(f"{family}/neigh/{link}/retrans_time_ms", 50)


@scenario("unreachable: a router's ICMP", on=("both",))
def by_router(_, tally, chance):
    with routed() as (near, router, far):
        ask_quickly(router, "r2")
        for host, expected in (("10.77.2.9", errno.EHOSTUNREACH), ("fd77:2::9", errno.EHOSTUNREACH),
                               (ROUTED_FAR, errno.ECONNREFUSED), (ROUTED_FAR6, errno.ECONNREFUSED)):
            refusal(tally, near, host, expected, timeout=TIMEOUT_S)


@scenario("unreachable: a router's routes that refuse", on=("both",))
def by_routers_routes(_, tally, chance):
    """Once each: a router sends such messages to one host at most five at once."""
    with routed() as (near, router, far):
        router.ip("route add prohibit 10.82.0.0/16", "route add unreachable 10.83.0.0/16",
                  "route add prohibit fd82::/16")
        for host, expected in (("10.82.0.1", errno.EHOSTUNREACH), ("10.83.0.1", errno.EHOSTUNREACH),
                               ("fd82::1", errno.EACCES), ("fd84::1", errno.ENETUNREACH)):
            def run(socket, host=host):
                with near.inside():
                    return socket.create_connection((host, PORT), timeout=TIMEOUT_S)
            found = tally.same(run, host)
            tally.check(found[1] == expected, f"{host}: {found}, where {expected} was due")


@scenario("unreachable: nobody has the address", on=("both",))
def no_neighbour(_, tally, chance):
    with linked() as (near, far):
        ask_quickly(near, LINK)
        for host in ("10.77.0.9", "fd77::9"):
            refusal(tally, near, host, errno.EHOSTUNREACH, timeout=TIMEOUT_S)


@contextlib.contextmanager
def with_silence():
    """(near, far): behind the router 10.85/16 and fd85::/16 swallow all."""
    with routed() as (near, router, far):
        router.ip("route add blackhole 10.85.0.0/16", "route add blackhole fd85::/16")
        yield near, far


@scenario("silent: a host that drops SYNs", on=("both",))
def silent(_, tally, chance):
    with with_silence() as (near, far):
        for host in ("10.85.0.1", "fd85::1"):
            found = tally.same(lambda socket, host=host: attempts(socket, near, host), host)
            tally.check([one[0] for one in (found[0], found[2], found[3][0])]
                        == ["TimeoutError"] * 3 and found[4] == errno.EINPROGRESS, found)
            for one in (found[0], found[2]):
                tally.note(one)


@scenario("silent: TCP gives up by itself", on=("both",))
def gives_up(_, tally, chance):
    def run(socket, timeout):
        with near.inside(), socket.socket() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
            sock.settimeout(timeout)
            return sock.connect(("10.85.0.1", PORT))
    with with_silence() as (near, far):
        for timeout in (None, TIMEOUT_S):
            found = tally.same(lambda socket: run(socket, timeout), f"connect(), {timeout} s")
            tally.check(found[1] == errno.ETIMEDOUT, found)


# -- several addresses -----------------------------------------------------------------------

@contextlib.contextmanager
def resolving(socket, *hosts):
    """Any name has these addresses."""
    found = [(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "",
              (host, PORT)) for host in hosts]
    own = socket.getaddrinfo
    socket.getaddrinfo = lambda *arguments, **keywords: found
    try:
        yield
    finally:
        socket.getaddrinfo = own


DEAD = {"silent": ("10.85.0.1", "fd85::1"), "unreachable": ("10.77.2.9", "fd77:2::9"),
        "refused": (ROUTED_FAR, ROUTED_FAR6)}


def listening(socket, far):
    listeners = []
    with far.inside():
        for family, host in ((socket.AF_INET, "10.77.2.2"), (socket.AF_INET6, "fd77:2::2")):
            listeners.append(socket.create_server((host, PORT), family=family))
    return listeners


@scenario("several addresses: the living one is chosen")
def chosen(socket, tally, chance):
    options = [{}]
    if socket is fastsock:
        options += [{"total_timeout": TIMEOUT_S}, {"happy_eyeballs_delay": 0.02},
                    {"happy_eyeballs_delay": 0.02, "total_timeout": TIMEOUT_S}]
    with routed() as (near, router, far), contextlib.ExitStack() as stack:
        router.ip("route add blackhole 10.85.0.0/16", "route add blackhole fd85::/16")
        far.ip(f"addr add 10.77.2.2/24 dev {LINK}", f"addr add fd77:2::2/64 dev {LINK} nodad")
        for living in ("10.77.2.2", "fd77:2::2"):  # before the router asks less patiently
            near.reach(living)
        ask_quickly(router, "r2")
        for listener in listening(socket, far):
            stack.enter_context(listener)
        for living in ("10.77.2.2", "fd77:2::2"):
            for kind, dead in DEAD.items():
                for option in options:
                    # A race need not wait for the silent ones: else there are so many seconds.
                    timeout = TIMEOUT_S if option.get("happy_eyeballs_delay") else 0.3
                    with resolving(socket, *(dead if timeout == TIMEOUT_S else dead[:1]),
                                   living), near.inside():
                        client = socket.create_connection(("a.name", PORT), timeout=timeout, **option)
                    with client:
                        tally.check(client.getpeername()[0] == living,
                                    f"{client.getpeername()} and not {living}: {kind}, {option}")
                        tally.check(client.gettimeout() == timeout, client.gettimeout())


@scenario("several addresses: all are dead", on=("both",))
def all_dead(_, tally, chance):
    def run(socket, **options):
        hosts = [host for kind in DEAD.values() for host in kind]
        with resolving(socket, *hosts), near.inside():
            last = outcome(lambda: socket.create_connection(("a.name", PORT), 0.3, **options))
            try:
                socket.create_connection(("a.name", PORT), 0.3, all_errors=True, **options)
            except ExceptionGroup as group:
                return last, [shape_of(error) for error in group.exceptions]
    with routed() as (near, router, far):
        router.ip("route add blackhole 10.85.0.0/16", "route add blackhole fd85::/16")
        ask_quickly(router, "r2")
        last, every = tally.same(run, "create_connection()")
        tally.check(len(every) == 6 and every[-1] == last, every)
        for error in every:
            tally.note(error)
        _, raced = run(fastsock, happy_eyeballs_delay=0.02)
        tally.check(sorted(one[0] for one in raced) == sorted(one[0] for one in every), raced)
        with resolving(fastsock, "10.85.0.1"), near.inside():
            found = outcome(lambda: fastsock.create_connection(("a.name", PORT), total_timeout=0.2))
        tally.check(found[0] == "TimeoutError", found)


# -- a full queue ----------------------------------------------------------------------------

def fill(socket, near, far, address):
    """Connections that wait to be accepted, and one whose SYN found no room: (them, it)."""
    queued = []
    while True:
        with near.inside():
            client = socket.socket()
        client.setblocking(False)
        before = far.counter("TcpExt", "ListenOverflows")
        try:
            client.connect_ex(address)
            wait_until(lambda client=client, before=before: select.select([], [client], [], 0)[1]
                       or far.counter("TcpExt", "ListenOverflows") > before, "it was decided")
        except BaseException:
            client.close()
            raise
        if not select.select([], [client], [], 0)[1]:
            return queued, client
        queued.append(client)
        assert len(queued) < 20, "the queue is never full"


@scenario("full accept queue: connect waits, or times out")
def full_queue(socket, tally, chance):
    with linked() as (near, far), contextlib.ExitStack() as stack:
        with far.inside():
            listener = stack.enter_context(socket.create_server((FAR, 0), backlog=1))
        listener.settimeout(TIMEOUT_S)
        queued, waiting = fill(socket, near, far, listener.getsockname())
        for client in (*queued, waiting):
            stack.enter_context(client)
        tally.check(len(queued) == 2, f"{len(queued)} are queued for a backlog of 1")
        tally.check(waiting.connect_ex(listener.getsockname()) == errno.EALREADY, "it is connected")
        with near.inside():
            with tally.raises(TimeoutError):
                socket.create_connection(listener.getsockname(), timeout=SHORT_S)
            late = stack.enter_context(socket.socket())
        late.settimeout(TIMEOUT_S)
        with Together(lambda: late.connect(listener.getsockname())):
            for _ in range(len(queued) + 1):
                stack.enter_context(listener.accept()[0])
        wait_until(lambda: late.getpeername() == listener.getsockname(), "it was connected")


@scenario("full accept queue: errors are the stdlib's", on=("both",))
def full_queue_errors(_, tally, chance):
    def run(socket):
        with linked() as (near, far), contextlib.ExitStack() as stack:
            with far.inside():
                listener = stack.enter_context(socket.create_server((FAR, 0), backlog=0))
            queued, waiting = fill(socket, near, far, listener.getsockname())
            for client in (*queued, waiting):
                stack.enter_context(client)
            address = listener.getsockname()
            with near.inside():
                late = stack.enter_context(socket.socket())
                late.settimeout(SHORT_S)
                return [len(queued), waiting.connect_ex(address), late.connect_ex(address),
                        outcome(lambda: socket.create_connection(address, timeout=SHORT_S))]
    found = tally.same(run, "a full queue")
    tally.check(found[3][0] == "TimeoutError", found)
    tally.note(found[3])


@scenario("full accept queue: a Server with max_connections", on=("fastsock",))
def full_server(socket, tally, chance):
    """Who is not accepted yet waits, and is served when others have gone: no byte is lost."""
    with linked() as (near, far):
        with far.inside():
            server = fastsock.Server(Echo, (FAR, 0), max_connections=2, backlog=8)

        def converse():
            data = numbered(16 * 2000, chance)
            with near.inside():
                client = socket.create_connection(server.addresses[0], timeout=TIMEOUT_S)
            with client:
                tally.sends(data)
                with Together(lambda: client.sendall(data)):
                    tally.compare(data, client.recv_exactly(len(data)), "echo")
                tally.check(server.connection_count <= 2, f"{server.connection_count} connections")
        with running(server, far), Together(*[converse] * 10):
            pass


