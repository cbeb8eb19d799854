"""What forks: programs for `_forks.py`, `python _programs.py NAME`.

Rules: a program forks a number of times and prints how often. A child ends by os._exit(),
with 0 if all was right for it, and the parent asks for that; whoever hangs is ended by
SIGALRM, which nobody handles.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback

import fastsock
from fastsock.framing import Lines

ANYWHERE = ("127.0.0.1", 0)
LIMIT_S = 20


def fork(child):
    """A child that calls a function, and exits; its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(LIMIT_S)
        child()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for(pid):
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"the child ended with {status:#x}"


def sleeps(thread):
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
        first = file.read().split()[0]
    return first.isdigit() and int(first) != 202 and first != "98"  # not for a lock


def until_it_sleeps(thread):
    while not sleeps(thread):
        os.sched_yield()


def talk(a, b, rounds=20):
    """Both ways, between two sockets of this process."""
    for number in range(rounds):
        data = b"%d" % number * 500
        a.sendall(data)
        assert b.recv_exactly(len(data)) == data
        b.sendall(data)
        assert a.recv_exactly(len(data)) == data


def talk_anew():
    a, b = fastsock.socketpair()
    with a, b:
        a.settimeout(LIMIT_S)
        talk(a, b)


class Echo(asyncio.Protocol):
    """What says "fork" forks in the callback."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if data == b"fork":
            wait_for(fork(talk_anew))
        self.transport.write(data)


def connected(address):
    if not isinstance(address, str):
        return fastsock.create_connection(address, LIMIT_S)
    client = fastsock.socket(fastsock.AF_UNIX)
    client.settimeout(LIMIT_S)
    client.connect(address)
    return client


def ask(address, data):
    with connected(address) as client:
        client.sendall(data)
        assert client.recv_exactly(len(data)) == data


@contextlib.contextmanager
def serving(server):
    """In a thread, and a connection that stays."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = server.addresses[0]
    try:
        with connected(address) as client:
            client.sendall(b"before")
            assert client.recv_exactly(6) == b"before"
            yield address
            # It, and new ones, are served as before.
            client.sendall(b"after")
            assert client.recv_exactly(5) == b"after"
            ask(address, b"new")
    finally:
        server.shutdown()
        thread.join(LIMIT_S)
        assert not thread.is_alive()


# -- the programs: each returns how often it forked ----------------------------------------

def conversation():
    """The child answers on one socket, the parent asks on the other, and both go on."""
    a, b = fastsock.socketpair()
    with a, b:
        for timeout in (None, LIMIT_S) * 5:
            a.settimeout(timeout)
            b.settimeout(timeout)
            talk(a, b)

            def answer():
                for _ in range(20):
                    b.sendall(b.recv_exactly(1000).upper())
                talk_anew()

            pid = fork(answer)
            for _ in range(20):
                a.sendall(b"q" * 1000)
                assert a.recv_exactly(1000) == b"Q" * 1000
            wait_for(pid)
            talk(a, b)
    return 10


def streams():
    """What a Stream had received and not handed out is in both processes."""
    a, b = fastsock.socketpair()
    with a, fastsock.Stream(b, framing=Lines()) as stream:
        for _ in range(10):
            a.sendall(b"one\ntwo\nthree\n")
            assert stream.recv_message() == b"one"

            def read():
                assert stream.recv_messages() == [b"two", b"three"]
                a.sendall(b"from the child\n")

            wait_for(fork(read))
            assert stream.recv_messages() == [b"two", b"three"]
            assert stream.recv_message() == b"from the child"
    return 10


def waiting_threads():
    """Another thread sleeps in a receive, which is not interrupted; the child uses the same
    socket, whose call it has no thread for."""
    for timeout in (None, LIMIT_S) * 5:
        a, b = fastsock.socketpair()
        with a, b:
            a.settimeout(timeout)
            came = []
            thread = threading.Thread(target=lambda: came.append(a.recv_exactly(10)))
            thread.start()
            until_it_sleeps(thread)

            def use():
                a.sendall(b"by the child")
                talk_anew()

            pid = fork(use)
            assert b.recv_exactly(12) == b"by the child"
            wait_for(pid)
            b.sendall(b"0123456789")
            thread.join(LIMIT_S)
            assert came == [b"0123456789"]
    return 10


def server():
    """The parent's serves on, and the child has one of its own."""
    with fastsock.Server(Echo, ANYWHERE) as ours, serving(ours) as address:
        def serve():
            with fastsock.Server(Echo, ANYWHERE) as another, serving(another) as place:
                ask(place, b"the child's own")
            ask(address, b"the parent's")

        for _ in range(5):
            wait_for(fork(serve))
            ask(address, b"between")
    return 5


def server_left_by_child():
    """The child closes its copies: the parent's loop, connections and path are untouched."""
    for options in {}, {"use_poll": True}:
        with fastsock.Server(Echo, ANYWHERE, **options) as ours, serving(ours) as address:
            for _ in range(3):
                wait_for(fork(ours.close))
                ask(address, b"between")
    path = f"/tmp/fastsock-stress-{os.getpid()}"
    with fastsock.Server(Echo, path) as ours:
        wait_for(fork(ours.close))
        assert os.path.exists(path)
        with serving(ours):
            wait_for(fork(ours.close))
            assert os.path.exists(path)
    assert not os.path.exists(path)
    return 8


def server_goes_on_in_child():
    """A server that was made before the fork runs in both: each has a loop of its own."""
    for options in {}, {"use_poll": True}:
        with fastsock.Server(Echo, ANYWHERE, **options) as ours:
            address = ours.addresses[0]

            def serve():
                with serving(ours):
                    ask(address, b"the child serves")

            wait_for(fork(serve))
            with serving(ours):
                ask(address, b"the parent serves")
    return 2


def in_a_callback():
    """fork() in the thread of the loop."""
    for options in {}, {"use_poll": True}:
        with fastsock.Server(Echo, ANYWHERE, **options) as ours, serving(ours) as address:
            for _ in range(5):
                ask(address, b"fork")
    return 10


def in_a_signal_handler():
    """fork() while the loop, in the main thread, waits; both go on serving what they have."""
    for options in {}, {"use_poll": True}:
        with fastsock.Server(Echo, ANYWHERE, **options) as ours:
            main, pids = os.getpid(), []

            def handle(number, frame):
                pid = os.fork()
                if pid:
                    pids.append(pid)
                else:
                    signal.alarm(LIMIT_S)
                    ours.call_soon_threadsafe(ours.shutdown)

            def converse():
                ask(ours.addresses[0], b"before")
                for count in range(1, 6):
                    os.kill(main, signal.SIGUSR1)
                    while len(pids) < count:
                        os.sched_yield()
                    wait_for(pids[-1])  # before another asks: it listens, too
                    ask(ours.addresses[0], b"between")
                ours.shutdown()

            signal.signal(signal.SIGUSR1, handle)
            thread = threading.Thread(target=converse)
            thread.start()
            ours.serve_forever()
            if os.getpid() != main:
                os._exit(0)
            thread.join()
    return 10


def send_from_another_process(sock):
    sock.sendall(b"from another process")
    talk_anew()


def multiprocess():
    context = multiprocessing.get_context("fork")
    a, b = fastsock.socketpair()
    with a, b, fastsock.Server(Echo, ANYWHERE) as ours, serving(ours) as address:
        for _ in range(5):
            process = context.Process(target=send_from_another_process, args=(a,))
            process.start()
            assert b.recv_exactly(20) == b"from another process"
            process.join(LIMIT_S)
            assert process.exitcode == 0
            talk(a, b)
            ask(address, b"between")
        with context.Pool(2) as pool:
            pool.map(ask_by_tuple, [(address, b"%d" % number) for number in range(20)])
    return 7


def ask_by_tuple(arguments):
    ask(*arguments)


def busy_threads():
    """Forks while threads send, receive and wait with all their might."""
    is_over = threading.Event()
    errors = []

    def work():
        try:
            while not is_over.is_set():
                talk_anew()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    count = 0
    end_s = time.monotonic() + 0.5
    while time.monotonic() < end_s or count < 5:
        wait_for(fork(talk_anew))
        count += 1
    is_over.set()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert errors == []
    return count


if __name__ == "__main__":
    signal.alarm(2 * LIMIT_S)
    # 3.12 warns of forks in a process with threads, which is what this is about.
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    print(globals()[sys.argv[1]]())
