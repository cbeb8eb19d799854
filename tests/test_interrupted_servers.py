"""KeyboardInterrupt where a server begins: it may be run again, and closed."""

import _thread
import operator
import socket as stdlib_socket
import sys

import pytest

import fastsock
from fastsock._loop import Loop

from tests.protocol_servers import Recorder


def test_a_loop_that_is_interrupted_as_it_begins():
    loop = Loop()
    loop.call_soon_threadsafe(loop.stop)
    with pytest.raises(KeyboardInterrupt):
        # From C to C: the signal is met by the first Python code that run() calls.
        list(map(operator.call, [_thread.interrupt_main, loop.run]))
    assert not loop.is_running
    loop.run()
    loop.close()


def interrupt(frame, event, function):
    """For sys.setprofile(): KeyboardInterrupt as soon as a lock was acquired."""
    if event == "c_return" and function.__name__ == "acquire":
        sys.setprofile(None)
        raise KeyboardInterrupt


def test_a_server_that_is_interrupted_as_it_begins():
    with fastsock.Server(Recorder, ("127.0.0.1", 0)) as server:
        address = server.addresses[0]
        with pytest.raises(KeyboardInterrupt):
            sys.setprofile(interrupt)
            server.serve_forever()
        server.call_soon_threadsafe(server.shutdown)
        server.serve_forever()
    with pytest.raises(ConnectionRefusedError):
        stdlib_socket.create_connection(address)
