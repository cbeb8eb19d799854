"""makefile(): modes, buffers, text, timeouts, non-blocking sockets, order of closing."""

import ctypes
import errno
import io
import threading

import pytest

from tests.conftest import TIMEOUT_S


@pytest.fixture
def pair(socket):
    """Two connected sockets with timeouts: a read that waits for too much ends."""
    a, b = socket.socketpair()
    with a, b:
        for sock in a, b:
            sock.settimeout(TIMEOUT_S)
        yield a, b


def is_closed(sock):
    return sock.fileno() == -1


@pytest.mark.parametrize("mode, buffering, kind", [
    ("r", None, io.TextIOWrapper), ("w", None, io.TextIOWrapper),
    ("rw", None, io.TextIOWrapper),
    ("", None, io.TextIOWrapper), ("r", 1, io.TextIOWrapper), ("w", 1, io.TextIOWrapper),
    ("r", 8192, io.TextIOWrapper), ("rb", None, io.BufferedReader),
    ("wb", None, io.BufferedWriter), ("rwb", None, io.BufferedRWPair),
    ("brw", None, io.BufferedRWPair), ("b", None, io.BufferedReader),
    ("rb", 8192, io.BufferedReader), ("wb", 1, io.BufferedWriter),
    ("rb", -1, io.BufferedReader),
    ("rwb", 16, io.BufferedRWPair), ("rb", 0, io.RawIOBase), ("wb", 0, io.RawIOBase),
    ("rwb", 0, io.RawIOBase)])
def test_modes(pair, mode, buffering, kind):
    a, _ = pair
    with a.makefile(mode, buffering) as file:
        assert isinstance(file, kind)
        assert file.readable() is ("r" in mode or "w" not in mode)
        assert file.writable() is ("w" in mode)
        assert not file.seekable()
        if kind is io.BufferedRWPair or mode == "rw":
            with pytest.raises(io.UnsupportedOperation):
                file.fileno()
        else:
            assert file.fileno() == a.fileno()


def test_the_unbuffered_file_is_the_modules(socket, pair):
    a, _ = pair
    with a.makefile("rwb", 0) as file:
        assert type(file) is socket.SocketIO
        assert file.name == a.fileno() and file.mode == "rwb"
        assert not file.closed
    assert file.name == -1 and file.closed


def test_invalid_modes(pair):
    for mode in ["x", "a", "r+", "rU", "rbx", "t"]:
        with pytest.raises(ValueError, match="^invalid mode"):
            pair[0].makefile(mode)
    pair[0].close()
    assert is_closed(pair[0])  # no reference was counted


def test_text_can_not_be_unbuffered(pair):
    a, _ = pair
    with pytest.raises(ValueError, match="^unbuffered streams must be binary$"):
        a.makefile("r", 0)


def test_options_are_keywords(pair):
    with pytest.raises(TypeError):
        pair[0].makefile("r", None, "utf-8")


# -- reading ---------------------------------------------------------------------

def test_lines(pair):
    a, b = pair
    b.sendall(b"one\ntwo\r\n\nlast")
    b.close()
    with a.makefile("rb") as file:
        assert file.readline() == b"one\n"
        assert file.readline(2) == b"tw"
        assert list(file) == [b"o\r\n", b"\n", b"last"]
        assert file.readline() == b"" and file.read() == b""


def test_no_room_in_the_memory_of_a_c_library(pair):
    """Nothing is waited for, and nothing is taken."""
    a, b = pair
    lend = ctypes.pythonapi.PyMemoryView_FromMemory
    lend.argtypes, lend.restype = (ctypes.c_char_p, ctypes.c_ssize_t, ctypes.c_int), ctypes.py_object
    memory = ctypes.create_string_buffer(9)
    for_writing = 0x200
    with a.makefile("rb", 0) as file:
        assert file.readinto(lend(memory, 0, for_writing)) == 0
        b.send(b"later")
        assert file.readinto(lend(memory, 0, for_writing)) == 0
        assert file.readinto(lend(memory, 9, for_writing)) == 5 and memory.value == b"later"


@pytest.mark.parametrize("buffering", [None, 0, 1, 2, 8192])
def test_reading(pair, buffering):
    a, b = pair
    b.sendall(b"0123456789")
    b.close()
    with a.makefile("rb", buffering) as file:
        assert file.read(3) == b"012"
        buffer = bytearray(4)
        assert file.readinto(buffer) == 4 and buffer == b"3456"
        assert file.read(0) == b""
        assert file.read() == b"789"
        assert file.read(5) == b"" and file.readinto(buffer) == 0


def test_unbuffered_reading_gives_what_is_there(pair):
    a, b = pair
    with a.makefile("rb", 0) as file:
        b.sendall(b"x")
        assert file.read(100) == b"x"
        b.sendall(b"yz")
        assert file.readinto(memoryview(bytearray(10))[2:]) == 2


def test_buffered_reading_waits_for_all(pair):
    a, b = pair
    data = bytes(range(256)) * 8000  # more than the sockets' buffers hold

    thread = threading.Thread(target=b.sendall, args=(data,))
    thread.start()
    with a.makefile("rb") as file:
        assert file.read(len(data)) == data
    thread.join(TIMEOUT_S)


def test_reading_ahead_is_in_the_buffer(pair):
    a, b = pair
    b.sendall(b"one\ntwo\n")
    with a.makefile("rb") as file:
        assert file.peek(1)[:1] == b"o"
        assert file.readline() == b"one\n"
        a.setblocking(False)
        with pytest.raises(BlockingIOError):
            a.recv(9)
        assert file.read1() == b"two\n"


def test_text(pair):
    a, b = pair
    with a.makefile("r", encoding="utf-8", newline="") as reader, \
            b.makefile("w", encoding="utf-8", newline="\r\n") as writer:
        writer.write("\u20acuro\nzwei\n")
        writer.flush()
        assert reader.readline() == "\u20acuro\r\n"
        assert reader.read(4) == "zwei"
    with a.makefile("w", encoding="latin-1", errors="replace") as writer:
        writer.write("\u20ac\u00e4")
    assert b.recv(9) == b"?\xe4"


def test_a_buffer_of_one_byte(pair):
    # buffering=1 is a size here, and does not mean lines as with open().
    a, b = pair
    with b.makefile("wb", buffering=1) as writer:
        writer.write(b"one")
        assert a.recv(9) == b"one"


def test_bad_text(pair):
    a, b = pair
    b.sendall(b"\xff\n")
    with a.makefile("r", encoding="utf-8") as file, pytest.raises(UnicodeDecodeError):
        file.readline()
    b.sendall(b"\xff\n")
    with a.makefile("r", encoding="utf-8", errors="replace") as file:
        assert file.readline() == "\ufffd\n"


# -- writing -------------------------------------------------------------------------

def test_writing(pair):
    a, b = pair
    with a.makefile("wb") as file:
        assert file.write(b"one") == 3
        b.setblocking(False)
        with pytest.raises(BlockingIOError):
            b.recv(9)
        file.flush()
        assert b.recv(9) == b"one"
        file.writelines([b"two", bytearray(b"three")])
    assert b.recv(99) == b"twothree"


def test_unbuffered_writing(pair):
    a, b = pair
    with a.makefile("wb", 0) as file:
        assert file.write(b"one") == 3
        assert b.recv(9) == b"one"
        assert file.write(memoryview(b"..two..")[2:5]) == 3
        assert b.recv(9) == b"two"
        assert file.write(b"") == 0


def test_both_ways(pair):
    a, b = pair
    with a.makefile("rwb") as file:
        file.write(b"question\n")
        file.flush()
        assert b.recv(99) == b"question\n"
        b.sendall(b"answer\n")
        assert file.readline() == b"answer\n"


def test_a_large_write(pair):
    a, b = pair
    data = bytes(range(256)) * 8000
    received = bytearray()

    def read():
        while part := b.recv(1 << 20):
            received.extend(part)

    thread = threading.Thread(target=read)
    thread.start()
    with a.makefile("wb") as file:
        file.write(data)
    a.close()
    thread.join(TIMEOUT_S)
    assert received == data


@pytest.mark.parametrize("mode, call", [("rb", lambda file: file.write(b"x")),
                                        ("wb", lambda file: file.read(1)),
                                        ("wb", lambda file: file.readline())])
@pytest.mark.parametrize("buffering", [0, 8192])
def test_the_wrong_direction(pair, mode, call, buffering):
    with pair[0].makefile(mode, buffering) as file, pytest.raises(io.UnsupportedOperation):
        call(file)


def test_a_broken_pipe(pair):
    a, b = pair
    b.close()
    with a.makefile("wb", 0) as file, pytest.raises(BrokenPipeError):
        file.write(b"x")


# -- timeouts and non-blocking sockets -------------------------------------------------

@pytest.mark.parametrize("buffering", [0, 8192])
def test_a_timeout_is_the_end_of_reading(pair, buffering):
    # What was read before the timeout is lost, so the file refuses to go on.
    a, b = pair
    a.settimeout(0.01)
    with a.makefile("rb", buffering) as file:
        with pytest.raises(TimeoutError, match="^timed out$"):
            file.read(4)
        b.sendall(b"late")
        with pytest.raises(OSError, match="^cannot read from timed out object$") as caught:
            file.read(4)
        assert caught.value.errno is None
    assert a.recv(9) == b"late"


def test_another_file_of_the_same_socket_reads_on(pair):
    a, b = pair
    a.settimeout(0.01)
    with a.makefile("rb") as first, a.makefile("rb") as second:
        with pytest.raises(TimeoutError):
            first.readline()
        b.sendall(b"late\n")
        assert second.readline() == b"late\n"


@pytest.mark.parametrize("buffering", [0, 8192])
def test_no_data_without_blocking_is_none(pair, buffering):
    a, b = pair
    a.setblocking(False)
    with a.makefile("rb", buffering) as file:
        assert file.read(4) is None
        assert file.readinto(bytearray(4)) is None
        b.sendall(b"data")
        assert file.read(4) == b"data"
        assert file.read(4) is None


def test_no_room_without_blocking_is_none(pair):
    a, _ = pair
    a.setblocking(False)
    with a.makefile("wb", 0) as file:
        while (count := file.write(bytes(1 << 20))) is not None:
            assert count > 0
        assert file.write(b"x") is None


def test_no_room_without_blocking_in_a_buffered_file(pair):
    a, b = pair
    a.setblocking(False)
    file = a.makefile("wb")
    with pytest.raises(BlockingIOError) as caught:
        while True:
            file.write(bytes(1 << 20))
    assert caught.value.errno == errno.EAGAIN and caught.value.characters_written >= 0
    b.close()
    with pytest.raises(BrokenPipeError):
        file.close()


# -- closing ---------------------------------------------------------------------------

def test_the_socket_first(pair):
    a, b = pair
    file = a.makefile("rwb")
    a.close()
    assert not is_closed(a)
    file.write(b"x")
    file.flush()
    assert b.recv(9) == b"x"
    b.sendall(b"y\n")
    assert file.readline() == b"y\n"
    file.close()
    assert is_closed(a) and file.closed
    assert b.recv(9) == b""


def test_the_file_first(pair):
    a, b = pair
    file = a.makefile("rwb")
    file.close()
    file.close()
    assert not is_closed(a)
    a.sendall(b"x")
    assert b.recv(9) == b"x"
    a.close()
    assert is_closed(a)


def test_several_files(pair):
    a, _ = pair
    files = [a.makefile(mode) for mode in ("rb", "wb", "r", "w", "rwb")]
    a.close()
    for file in files:
        assert not is_closed(a)
        file.close()
    assert is_closed(a)


def test_closing_flushes(pair):
    a, b = pair
    file = a.makefile("wb")
    file.write(b"last")
    a.close()
    file.close()
    assert b.recv(9) == b"last"
    assert b.recv(9) == b""


def test_calls_on_a_closed_file(pair):
    a, _ = pair
    for buffering in (0, 8192):
        file = a.makefile("rwb", buffering)
        file.close()
        for call in (lambda: file.read(1), lambda: file.write(b"x"), lambda: file.readable()):
            with pytest.raises(ValueError):
                call()


def test_detached_under_a_file(pair):
    a, _ = pair
    with a.makefile("rb", 0) as file:
        with a.__class__(fileno=a.detach()):
            with pytest.raises(OSError) as caught:
                file.read(1)
            assert caught.value.errno == errno.EBADF


def test_a_forgotten_file_lets_the_socket_go(pair):
    a, _ = pair
    file = a.makefile("rb")
    a.close()
    del file
    assert is_closed(a)


def test_makefile_of_a_closed_socket(socket):
    # The stdlib allows it, and says EBADF when it is read.
    sock = socket.socket()
    sock.close()
    with sock.makefile("rb", 0) as file, pytest.raises(OSError) as caught:
        file.read(1)
    assert caught.value.errno == errno.EBADF
