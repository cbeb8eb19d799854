"""Misuse of the methods and the proof, and counts of system calls beside the stdlib's."""

import inspect
import re
import subprocess
import sys

import pytest

import fastsock
from fastsock import _object
from tests.conftest import TIMEOUT_S, requires_program
from tests.tracing import ACCEPT

SocketMethods = fastsock.socket.__mro__[1]


# -- for test_class.py ---------------------------------------------------------

def test_prove_accepts_the_class():
    assert _object.prove(fastsock.socket) is None


def test_prove_refuses_a_class_that_lacks_the_fields(python):
    # In a process of its own: it works on memory, and leaves a pipe open.
    result = python(code="""if True:
        import _socket
        import fastsock
        from fastsock import _object
        try:
            _object.prove(_socket.socket)
        except (ImportError, AttributeError) as error:
            print("refused")
    """)
    assert result.stdout == "refused\n"


@pytest.mark.parametrize("name", sorted(
    name for name, value in vars(SocketMethods).items()
    if not name.startswith("_") and callable(value)))
def test_each_method_has_a_signature(name):
    assert str(inspect.signature(getattr(fastsock.socket, name))).startswith("(self")


MISUSE = """if True:
    import faulthandler, sys
    faulthandler.enable()
    from fastsock._methods import SocketMethods
    class OnAList(SocketMethods, list):
        pass
    arguments = [(), (1,), (1, 2), (1, 2, 1), (b"x",), (bytearray(1),), ([b"x"],),
                 ([bytearray(1)],), (("127.0.0.1", 9),), (b"x", ("127.0.0.1", 9))]
    count = 0
    for make in (object, lambda: OnAList.__new__(OnAList), lambda: SocketMethods.__new__(
            SocketMethods)):
        for name, value in vars(SocketMethods).items():
            if name.startswith("__") and name != "__init__":
                continue
            for given in arguments if callable(value) else [()]:
                try:
                    if callable(value):
                        value(make(), *given)
                    else:
                        value.__get__(make())
                except (TypeError, AttributeError):
                    count += 1
                else:
                    sys.exit(f"{name}{given} worked on a {type(make()).__name__}")
    print(count > 500)
"""


def test_no_misuse_ends_the_process(python):
    assert python(code=MISUSE).stdout == "True\n"


# -- for test_makefile.py ------------------------------------------------------

@pytest.mark.parametrize("buffering", [0, None])
def test_send_and_recv_into_of_a_subclass_are_used(socket, pair, buffering):
    class Shouting(socket.socket):
        def recv_into(self, buffer, *arguments):
            count = super().recv_into(buffer, *arguments)
            buffer[:count] = bytes(buffer[:count]).upper()
            return count

        def send(self, data, *arguments):
            return super().send(bytes(data).upper(), *arguments)

    a, b = pair
    b.settimeout(TIMEOUT_S)
    with Shouting(fileno=a.detach()) as shouting:
        shouting.settimeout(TIMEOUT_S)
        with shouting.makefile("rwb", buffering) as file:
            b.sendall(b"abc\n")
            assert file.readline() == b"ABC\n"
            file.write(b"def")
            file.flush()
            assert b.recv(9) == b"DEF"


@pytest.mark.parametrize("newline, lines", [
    (None, ["a\n", "b\n", "c\n"]), ("", ["a\r\n", "b\r", "c\n"]),
    ("\n", ["a\r\n", "b\rc\n"]), ("\r\n", ["a\r\n", "b\rc\n"]), ("\r", ["a\r", "\nb\r", "c\n"]),
])
def test_newline_read(pair, newline, lines):
    a, b = pair
    with a.makefile("r", encoding="ascii", newline=newline) as file:
        b.sendall(b"a\r\nb\rc\n")
        b.close()
        assert list(file) == lines


# -- for test_audit.py ---------------------------------------------------------

@pytest.mark.parametrize("timeout", [None, 0, 20])
def test_accept_raises_only_new(socket, python, timeout):
    assert python(code=f"""if True:
        import sys
        import {socket.__name__} as socket
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname(), 20)
        server.settimeout({timeout})
        seen = []
        sys.addaudithook(lambda event, args: event.startswith("socket.") and seen.append(event))
        connection, _ = server.accept()
        print(seen)
        for sock in (connection, client, server):
            sock.close()
    """).stdout == "['socket.__new__']\n"


# -- for test_syscalls.py ------------------------------------------------------

@requires_program("strace")
@pytest.mark.parametrize("timeout, each", [(None, ACCEPT), (0, ACCEPT),
                                           (20, ["poll", *ACCEPT])])
def test_fifty_accepts(socket, tmp_path, timeout, each):
    if subprocess.run(["strace", "-f", "-o", tmp_path / "probe", "true"],
                      capture_output=True, timeout=60).returncode:
        pytest.skip("strace may not trace here")
    code = f"""if True:
        import os
        import {socket.__name__} as socket
        server = socket.create_server(("127.0.0.1", 0), backlog=60)
        clients = [socket.create_connection(server.getsockname(), 20) for _ in range(50)]
        server.settimeout({timeout})
        kept = []
        os.access("/mark-begin", os.F_OK)
        for _ in range(50):
            kept.append(server.accept())
        os.access("/mark-end", os.F_OK)
    """
    subprocess.run(["strace", "-f", "-o", tmp_path / "trace", sys.executable, "-P", "-c", code],
                   check=True, capture_output=True, timeout=60, cwd=tmp_path)
    part = re.search(r"/mark-begin[^\n]*\n(.*)\n[^\n]*/mark-end",
                     (tmp_path / "trace").read_text(), re.DOTALL)
    memory = {"brk", "mmap", "munmap", "mremap", "madvise", "futex", "mprotect"}
    names = [name for name in re.findall(r"^\d+ +(\w+)\(", part[1], re.MULTILINE)
             if name not in memory]
    if socket is fastsock:
        assert names == each * 50
    else:  # the counting sees the calls that ours saves
        assert names.count("accept4") == names.count("getsockname") == 50
