"""Sockets that are dropped without being closed: a ResourceWarning, with the stdlib's text."""

import gc
import os
import warnings

import pytest

from tests.conftest import TIMEOUT_S


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_forgotten_socket_warns(socket):
    sock = socket.socket()
    fd, text = sock.fileno(), repr(sock)
    with pytest.warns(ResourceWarning) as caught:
        del sock
        gc.collect()
    assert str(caught[0].message) == f"unclosed {text}"
    assert text.startswith("<socket.socket fd=")  # by which test suites filter
    assert not is_open(fd)


def test_a_forgotten_accepted_socket_warns(socket, listener):
    with socket.create_connection(listener.getsockname(), TIMEOUT_S):
        accepted, _ = listener.accept()
        fd, text = accepted.fileno(), repr(accepted)
        with pytest.warns(ResourceWarning) as caught:
            del accepted
            gc.collect()
    assert str(caught[0].message) == f"unclosed {text}"
    assert not is_open(fd)


@pytest.mark.parametrize("shown", ["a name", "a repr"])
def test_a_forgotten_socket_of_a_subclass_warns(socket, shown):
    class Named(socket.socket):
        pass

    class Shown(socket.socket):
        def __repr__(self):
            return "<fastsock.a socket of mine>"
    sock = (Named if shown == "a name" else Shown)()
    fd, text = sock.fileno(), repr(sock)
    with pytest.warns(ResourceWarning) as caught:
        del sock
        gc.collect()
    assert [str(one.message) for one in caught] == [f"unclosed {text}"]
    assert not is_open(fd)


def test_a_forgotten_socket_whose_warning_is_an_error(socket, monkeypatch):
    """Reported to sys.unraisablehook, and closed; an exception that is on its way stays."""
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda event: told.append(
        (event.exc_type, str(event.exc_value))))

    def forget():
        sock = socket.socket()
        names.append((sock.fileno(), repr(sock)))
        raise LookupError
    names = []
    with warnings.catch_warnings(), pytest.raises(LookupError):
        warnings.simplefilter("error")
        forget()
    gc.collect()
    (fd, text), = names
    assert told == [(ResourceWarning, f"unclosed {text}")]
    assert not is_open(fd)


def test_a_closed_or_detached_socket_does_not_warn(socket):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sock = socket.socket()
        sock.close()
        del sock
        sock = socket.socket()
        fd = sock.detach()
        del sock
        gc.collect()
    os.close(fd)
