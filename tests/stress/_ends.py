"""The interpreter ends while loops run, and daemon threads wait: no crash, no hang.

Rules: a program of `_endings.py` in a process of its own each time. Its exit status is 0, and
it complains of nothing; how long it took from its last line to its end is the latency.
"""

import subprocess
import sys
import time

from tests.stress import _forks
from tests.stress._forks import LIMIT_S, environment
from tests.stress._run import scenario

ENDINGS = _forks.PROGRAMS.with_name("_endings.py")

#: From the program's last line to the end of its process: the promise is "no hang".
LONGEST_S = 20


def ending(name, how, run):
    while run.goes_on():
        process = subprocess.Popen(
            [sys.executable, "-P", ENDINGS, name, *how], env=environment(),
            bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            shown = process.stdout.readline()
            began_ns = time.monotonic_ns()
            more, complaints = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            run.expect(False, "it hangs")
            return
        took_ns = time.monotonic_ns() - began_ns
        run.latencies_ns.append(took_ns)
        run.expect(shown == b"ends\n", f"it says {shown!r}")
        run.expect(process.returncode == 0, f"exit status {process.returncode}",
                   complaints[-1000:])
        run.expect(complaints == b"", "it complains:", complaints[-1000:])
        run.expect(name != "using_at_exit" or more == b"asked\n", f"it says {more!r}")
        run.expect(took_ns < LONGEST_S * 1e9, f"it took {took_ns / 1e9} s")
        run.rounds += 1


for name in ("waiting_receivers", "waiting_senders", "waiting_others", "busy", "serving"):
    title = name.replace("_", " ")
    scenario(f"ends: {title}", name, [])(ending)
    scenario(f"ends: {title}, sys.exit()", name, ["exit"])(ending)
for name in ("exiting_in_a_loop", "exiting_by_a_signal", "using_at_exit", "using_in_finalizers"):
    scenario(f"ends: {name.replace('_', ' ')}", name, [])(ending)


SUBINTERPRETER = '''
import sys
import fastsock
try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        print("none")
        sys.exit()
SAYS = """
import sys
sys.path[:] = {path!r}
try:
    import fastsock
except ImportError as error:
    print("refused:", error, flush=True)
"""
for config in ["legacy", "isolated"] if interpreters.__name__ == "_interpreters" else [None]:
    made = interpreters.create(config) if config else interpreters.create()
    problem = getattr(interpreters, "run_string", None)(made, SAYS.format(path=sys.path))
    assert problem is None, problem
    interpreters.destroy(made)
    a, b = fastsock.socketpair()  # here it goes on
    with a, b:
        a.sendall(b"x")
        assert b.recv_exactly(1) == b"x"
'''


@scenario("ends: subinterpreters")
def subinterpreters(run):
    """Of each kind that there is: an ImportError, and the main interpreter goes on."""
    while run.goes_on():
        result = subprocess.run([sys.executable, "-P", "-c", SUBINTERPRETER], text=True,
                                env=environment(), capture_output=True, timeout=LIMIT_S)
        lines = result.stdout.splitlines()
        run.expect(result.returncode == 0, f"exit status {result.returncode}:",
                   result.stderr[-1000:])
        run.expect(lines and all(line == "none" or line.startswith("refused: ")
                                 and "interpreter" in line for line in lines), lines)
        run.add(refused=len(lines))
        run.rounds += 1
