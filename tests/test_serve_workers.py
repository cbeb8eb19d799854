"""serve(workers=2): processes that are kept alive, drained, killed, and leave nothing.

Each test runs a program of its own. All its processes share its standard output: when
that ends, all have ended. What has to happen first is waited for by what they print, log
or answer.
"""

import contextlib
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.conftest import TIMEOUT_S
from tests.network import has_ipv6
from tests.serving import ends, environment, receive
from tests.test_examples import Program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")

PROGRAM = """
import logging, os, signal, socket, sys, threading
import fastsock
from fastsock.framing import Lines

logging.basicConfig(format="%(levelname)s %(message)s")

def fds():
    return sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                  if os.path.lexists(f"/proc/self/fd/{n}"))

def handler(line):
    if line == b"pid":
        return b"%d" % os.getpid()
    if line == b"exit":
        os._exit(7)
    if line == b"leave":
        raise SystemExit(3)
    if line == b"block":
        sys.stdout.write("blocked\\n"), sys.stdout.flush()
        while True:
            signal.pause()
    if line == b"print":
        sys.stdout.write("printed %d\\n" % os.getpid())
    return line.upper()

def ready(addresses):
    print("ready", *(address if isinstance(address, str) else address[1]
                     for address in addresses), flush=True)

before = fds()
try:
    fastsock.serve(handler, **{"address": ("127.0.0.1", 0), "framing": Lines(), "workers": 2,
                               "on_ready": ready, "grace": 20.0, **OPTIONS})
    print("returned")
except KeyboardInterrupt:
    print("interrupted")
assert fds() == before, (before, fds())
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
try:
    print("left", os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child is left")
"""


class Keeper(Program):
    """The program, whose parent process is `process`."""

    def __init__(self, options, folder, code=PROGRAM):
        self.name = "keeper"
        self.output = []
        self.lines = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", "-c", code.replace("OPTIONS", options)],
            cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def ready(self):
        self.places = self.wait_for("^ready (.*)")[1].split()
        return self

    def connect(self):
        if not self.places[0].isdigit():
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(TIMEOUT_S)
            client.connect(self.places[0])
            return client
        return socket.create_connection(("127.0.0.1", int(self.places[0])), timeout=TIMEOUT_S)

    def children(self):
        """The pids of the workers."""
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in path.read_text().split()}

    def workers(self, count=2, but=frozenset()):
        """A connection to each worker: {pid: connection}, whoever's turn it is."""
        found = {}
        while len(found) < count:
            client = self.connect()
            try:
                pid = ask_pid(client)
            except OSError:  # to a worker that was about to end
                pid = None
            if pid is None or pid in found or pid in but:
                client.close()
            else:
                found[pid] = client
        return found

    def end(self, number=signal.SIGTERM):
        """Signal the parent; all that was printed, once all processes have ended."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self):
        status = self.finish()
        assert not self.reader.is_alive(), "a worker has not ended"
        return status

    def clean_up(self):
        if self.process.poll() is None:
            left = self.children()
            self.process.kill()  # its workers end then, unless the test failed
            self.process.wait()
            self.reader.join(5)
            for pid in left if self.reader.is_alive() else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.finish()
        self.process.stdout.close()
        self.process.stdin.close()


def ask_pid(client):
    client.sendall(b"pid\n")
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = client.recv(100)
        if not piece:
            return None
        line += piece
    return int(line)


@pytest.fixture
def keep(tmp_path):
    """keep(options): the program, with these keyword arguments of serve()."""
    kept = []

    def keep(options="{}", **keywords):
        kept.append(Keeper(options, tmp_path, **keywords))
        return kept[-1]

    yield keep
    for one in kept:
        one.clean_up()


def close_all(workers):
    for client in workers.values():
        client.close()


def test_two_workers_serve_and_drain(keep):
    keeper = keep().ready()
    workers = keeper.workers()
    assert set(workers) == keeper.children()
    inside, idle = workers.values()
    inside.sendall(b"uppercas")  # there before SIGTERM, as its answer shows
    inside.sendall(b"e\nunfin")
    assert receive(inside, 10) == b"UPPERCASE\n"
    keeper.process.send_signal(signal.SIGTERM)
    assert ends(idle)
    inside.sendall(b"ished\n")
    assert receive(inside, 11) == b"UNFINISHED\n"
    assert ends(inside)
    close_all(workers)
    assert keeper.ended() == 0, keeper
    assert keeper.output[-2:] == ["returned", "no child is left"]


def test_sigint_is_a_keyboard_interrupt(keep):
    keeper = keep().ready()
    close_all(keeper.workers())
    assert keeper.end(signal.SIGINT) == 0, keeper
    assert keeper.output[-2:] == ["interrupted", "no child is left"]


def test_workers_leave_ctrl_c_to_the_parent(keep):
    keeper = keep().ready()
    workers = keeper.workers()
    for pid, client in workers.items():
        os.kill(pid, signal.SIGINT)
        assert ask_pid(client) == pid
    close_all(workers)
    assert keeper.end() == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number, told", [(signal.SIGTERM, "returned"),
                                          (signal.SIGINT, "interrupted")])
def test_a_signal_as_soon_as_it_is_ready(keep, workers, number, told):
    # Nobody is too late to heed it: a worker that missed it would be killed, and that logged.
    keeper = keep(f"{{'workers': {workers}, 'grace': 0.5, 'on_ready': lambda _: "
                  f"os.kill(os.getpid(), {int(number)})}}")
    assert keeper.ended() == 0, keeper
    assert keeper.output == [told, "no child is left"]


DEATHS = {
    "os._exit": (lambda pid, client: client.sendall(b"exit\n"), 7),
    "SIGKILL": (lambda pid, client: os.kill(pid, signal.SIGKILL), -9),
    "SystemExit": (lambda pid, client: client.sendall(b"leave\n"), 1),
    "SIGTERM": (lambda pid, client: os.kill(pid, signal.SIGTERM), 0),
}


@pytest.mark.parametrize("die, status", DEATHS.values(), ids=DEATHS)
def test_a_worker_that_dies_is_replaced(keep, die, status):
    keeper = keep().ready()
    before = keeper.workers()
    dead, client = before.popitem()
    die(dead, client)
    assert ends(client)
    client.close()
    (alive, other), = before.items()
    assert ask_pid(other) == alive  # nothing happened to it
    keeper.wait_for(f"^WARNING worker {dead} ended with status {status}: another one in 0.1 s$")
    after = keeper.workers()
    assert alive in after and dead not in after
    assert set(after) == keeper.children()
    close_all(after)
    other.close()
    assert keeper.end() == 0, keeper


def test_the_pause_grows(keep):
    keeper = keep().ready()
    stays, other = keeper.workers(1).popitem()  # so that nobody is refused
    dead = set()
    for pause in "0.1", "0.2", "0.4":
        (pid, client), = keeper.workers(1, but=dead | {stays}).items()
        client.sendall(b"exit\n")
        client.close()
        dead.add(pid)
        keeper.wait_for(rf"^WARNING worker {pid} ended with status 7: another one in {pause} s$")
    workers = keeper.workers(but=dead)
    close_all({**workers, None: other})
    assert keeper.end() == 0, keeper


def test_a_dead_worker_is_not_started_again_after_the_end_began(keep):
    keeper = keep().ready()
    workers = keeper.workers()
    for pid, client in workers.items():
        os.kill(pid, signal.SIGKILL)
        assert ends(client)
    close_all(workers)
    assert keeper.end() == 0, keeper
    assert keeper.output[-2:] == ["returned", "no child is left"]


OLD_AT_ONCE = """
from fastsock import _workers
_workers.OLD_AGE_S = 0.0
"""


def test_who_lived_long_does_not_make_the_pause_grow(keep):
    # Here nobody has to live long for that.
    keeper = keep(code=OLD_AT_ONCE + PROGRAM).ready()
    stays, other = keeper.workers(1).popitem()
    dead = set()
    for _ in range(3):
        (pid, client), = keeper.workers(1, but=dead | {stays}).items()
        client.sendall(b"exit\n")
        client.close()
        dead.add(pid)
        keeper.wait_for(rf"^WARNING worker {pid} ended with status 7: another one in 0.1 s$")
    workers = keeper.workers(but=dead)
    close_all({**workers, None: other})
    assert keeper.end() == 0, keeper


#: The end comes while workers are started; by the process's own hand, so that it comes then.
ENDS_AFTER_A_FORK = """
import os, signal
fork = os.fork
def fork_and_end():
    pid = fork()
    if pid:
        print("forked", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
    return pid
os.fork = fork_and_end
"""


def test_no_more_are_started_after_the_end_began(keep):
    keeper = keep("{'workers': 5}", code=ENDS_AFTER_A_FORK + PROGRAM)
    assert keeper.ended() == 0, keeper
    assert keeper.output == ["forked", "returned", "no child is left"]


#: The end comes while a dead worker is spoken of, whose successor is due at once.
ENDS_WITH_A_DEATH = """
import logging, os, signal
from fastsock import _workers
_workers.FIRST_PAUSE_S = 0.0
class Handler(logging.Handler):
    def emit(self, record):
        print(record.getMessage(), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
logging.getLogger("fastsock.server").addHandler(Handler())
"""


def test_nobody_is_started_again_though_it_is_due(keep):
    keeper = keep(code=ENDS_WITH_A_DEATH + PROGRAM).ready()
    workers = keeper.workers()
    dead, client = workers.popitem()
    client.sendall(b"exit\n")
    client.close()
    keeper.wait_for(f"^worker {dead} ended with status 7: another one in 0.0 s$")
    close_all(workers)
    assert keeper.ended() == 0, keeper
    assert keeper.output[-2:] == ["returned", "no child is left"]


def test_a_worker_that_does_not_end_is_killed(keep):
    keeper = keep("{'grace': 0.1}").ready()
    workers = keeper.workers()
    pid, client = workers.popitem()
    client.sendall(b"block\n")
    keeper.wait_for("^blocked$")
    keeper.process.send_signal(signal.SIGTERM)
    keeper.wait_for(f"^WARNING worker {pid} is not done: killed$")
    assert keeper.ended() == 0, keeper
    assert keeper.output[-2:] == ["returned", "no child is left"]
    client.close()
    close_all(workers)


def test_workers_end_with_their_parent(keep):
    keeper = keep().ready()
    workers = keeper.workers()
    keeper.process.kill()
    for client in workers.values():
        assert ends(client)
    assert keeper.ended() == -signal.SIGKILL  # and all hold its output no more
    close_all(workers)


def test_what_workers_print_is_printed_once(keep):
    # Their output is a pipe, and so kept back until they end.
    keeper = keep().ready()
    workers = keeper.workers()
    for client in workers.values():
        client.sendall(b"print\n")
        assert receive(client, 6) == b"PRINT\n"
    close_all(workers)
    assert keeper.end() == 0
    printed = [line for line in keeper.output if line.startswith("printed")]
    assert sorted(printed) == sorted(f"printed {pid}" for pid in workers)


# -- where they listen ---------------------------------------------------------------


def test_unix_address(keep, tmp_path):
    keeper = keep("{'address': 's'}").ready()
    keeper.places = [str(tmp_path / "s")]
    close_all(keeper.workers())
    assert keeper.end() == 0, keeper
    assert not (tmp_path / "s").exists()


def test_a_shared_socket(keep):
    keeper = keep("{'address': None, 'sock': socket.create_server(('127.0.0.1', 0))}").ready()
    close_all(keeper.workers())
    assert keeper.end() == 0, keeper


def test_several_addresses(keep, tmp_path):
    keeper = keep("{'address': [('127.0.0.1', 0), ('127.0.0.1', 0), 's']}").ready()
    places = keeper.places
    assert len(set(places)) == 3 and places[2] == "s"
    pids = set()
    for place in places[0], places[1], str(tmp_path / "s"):
        keeper.places = [place]
        workers = keeper.workers()
        pids |= set(workers)
        close_all(workers)
    assert pids == keeper.children() and len(pids) == 2
    assert keeper.end() == 0, keeper


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_a_port_of_ipv6(keep):
    # Each worker has a listener there, and none of them is IPv4's.
    keeper = keep("{'address': ('::1', 0)}").ready()
    port = int(keeper.places[0])
    pids = set()
    while len(pids) < 2:
        with socket.create_connection(("::1", port), timeout=TIMEOUT_S) as client:
            pids.add(ask_pid(client))
    assert pids == keeper.children()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    assert keeper.end() == 0, keeper


def test_the_port_stays_reserved(keep):
    # Also while no worker listens: nobody else gets it.
    keeper = keep().ready()
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", int(keeper.places[0])))
    assert keeper.end() == 0, keeper


def test_one_worker_is_this_process(keep):
    keeper = keep("{'workers': 1}").ready()
    with keeper.connect() as client:
        assert ask_pid(client) == keeper.process.pid
        client.sendall(b"unfin")
        assert keeper.children() == set()
        client.sendall(b"ished\nx")
        assert receive(client, 11) == b"UNFINISHED\n"
        keeper.process.send_signal(signal.SIGTERM)
        client.sendall(b"\n")
        assert receive(client, 2) == b"X\n"
        assert ends(client)
    assert keeper.ended() == 0, keeper


# -- what goes wrong --------------------------------------------------------------------


def test_not_in_the_main_thread(keep):
    keeper = keep(code="""
import threading, fastsock
def run():
    try:
        fastsock.serve(bytes.upper, ("127.0.0.1", 0), workers=2, on_ready=print)
    except RuntimeError as error:
        print("refused:", error)
thread = threading.Thread(target=run)
thread.start()
thread.join()
""")
    assert keeper.ended() == 0
    assert keeper.output == ["refused: several workers are kept by the main thread only"]


@pytest.mark.parametrize("options", [
    "{'framing': 3}", "{'max_connections': 0}", "{'ssl_context': 3}", "{'no_such': 1}",
    "{'backlog': 0}", "{'address': ('192.0.2.1', 0)}"])
def test_errors_are_said_by_the_parent(keep, options):
    keeper = keep(options, code="import os\nos.fork = None\n" + PROGRAM)
    assert keeper.ended() == 1
    assert re.match(r"(Type|Value|OS)Error: ", keeper.output[-1]), keeper
    assert "worker" not in keeper.output[-1]


def test_an_on_ready_that_raises_ends_all(keep):
    keeper = keep("{'on_ready': lambda _: 1 // 0}")
    assert keeper.ended() == 1
    assert keeper.output[-1].startswith("ZeroDivisionError"), keeper


def test_without_standard_output(tmp_path):
    # As of a daemon: sys.stdout and sys.stderr are None then.
    path = tmp_path / "ready"
    code = PROGRAM.replace("OPTIONS", f"""{{"on_ready": lambda found: (
        open({str(path)!r}, "w").write("x"), os.kill(os.getpid(), signal.SIGTERM))}}""")
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-P", "-c", code],
        env=environment())
    try:
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()  # does nothing to one that has ended
        process.wait()
    assert path.exists()
