"""Sockets that multiprocessing passes to another process; plain pickle refuses them."""

import copy
import json
import pickle
import socket as stdlib_socket
import sys

import pytest

from tests.servers import PEERS

EXPECTED = {"class": "fastsock.socket", "is fastsock.socket": True, "asked": "question",
            "family": int(stdlib_socket.AF_INET), "type": int(stdlib_socket.SOCK_STREAM),
            "proto": 0}


def pass_socket(python, start_method, way, order):
    launcher = ["-m", "fastsock", "run"] if order == "installed" else []
    return json.loads(python("-W", "error::ResourceWarning", *launcher,
                             PEERS / "multiprocessing_program.py", start_method, way,
                             order).stdout)


@pytest.mark.parametrize("order", ["fastsock first", "multiprocessing first", "installed"])
@pytest.mark.parametrize("way", ["pipe", "queue", "process", "pool", "listener"])
@pytest.mark.parametrize("start_method", ["spawn", "fork"])
def test_socket_arrives_and_works(python, start_method, way, order):
    expected = dict(EXPECTED)
    if order == "installed" and start_method == "spawn":
        # multiprocessing then passes socket.socket itself, and the new process, in which
        # nothing is installed, makes one of what socket.socket is there.
        expected |= {"class": "socket.socket", "is fastsock.socket": False}
    assert pass_socket(python, start_method, way, order) == expected


@pytest.mark.skipif(sys.platform == "darwin", reason="forkserver is as spawn there")
def test_socket_arrives_by_forkserver(python):
    assert pass_socket(python, "forkserver", "pipe", "fastsock first") == EXPECTED


def test_socket_stays_usable_where_it_was(python):
    """What is sent is a duplicate: closing one leaves the other."""
    python(code="""
import fastsock
from multiprocessing import Pipe
a, b = fastsock.socketpair()
here, there = Pipe()
here.send(a)
copy = there.recv()
assert type(copy) is fastsock.socket and copy.fileno() != a.fileno()
assert (copy.family, copy.type, copy.proto) == (a.family, a.type, a.proto)
a.close()
copy.sendall(b"still open")
assert b.recv(100) == b"still open"
""")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickle_refuses(socket, protocol):
    a, b = socket.socketpair()
    with a, b:
        with pytest.raises(TypeError) as refused:
            pickle.dumps(a, protocol)
        if protocol >= 2:  # below, copyreg's complaint says nothing of pickling
            assert str(refused.value) == "cannot pickle 'socket' object"


def test_copy_refuses(socket):
    a, b = socket.socketpair()
    with a, b:
        for function in (copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot pickle 'socket' object"):
                function(a)


def test_plain_pickle_refuses_when_multiprocessing_is_imported(python):
    python(code="""
import pickle, multiprocessing.reduction, fastsock
from multiprocessing import Pipe
a, b = fastsock.socketpair()
here, there = Pipe()
here.send(a)  # from now on multiprocessing knows the class
there.recv().close()
try:
    pickle.dumps(a)
except TypeError as error:
    assert str(error) == "cannot pickle 'socket' object", error
else:
    raise AssertionError("pickled")
""")


def test_subclass_is_refused_as_the_stdlibs(python):
    program = """
import importlib, sys
socket = importlib.import_module(sys.argv[1])
from multiprocessing import Pipe

class Own(socket.socket):
    pass

a, b = socket.socketpair()
here, there = Pipe()
if sys.argv[1] == "fastsock":
    here.send(a)  # that the class is known must not let its subclasses through
    there.recv().close()
try:
    here.send(Own(fileno=a.detach()))
except Exception as error:
    print(type(error).__name__, error)
else:
    print("sent")
"""
    expected = python("socket", code=program).stdout
    assert expected == "TypeError cannot pickle 'Own' object\n"
    assert python("fastsock", code=program).stdout == expected
