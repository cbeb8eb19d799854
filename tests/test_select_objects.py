"""epoll, poll and select: what they return, and what registering does.

Arguments that are refused are in test_select_arguments.py, waiting in
test_select_waiting.py, long random runs in test_select_randomly.py.
"""

import copy
import os
import pickle
import select as stdlib_select
import socket as stdlib_socket
import sys

import pytest

from fastsock import select
from tests.polling import KINDS, made, requires_epoll

IN, OUT = stdlib_select.POLLIN, stdlib_select.POLLOUT
HUP, ERR, NVAL = stdlib_select.POLLHUP, stdlib_select.POLLERR, stdlib_select.POLLNVAL


@pytest.fixture(params=KINDS)
def poller(request, select_module):
    with made(select_module, request.param) as found:
        yield found


@pytest.fixture
def epoll(select_module):
    with select_module.epoll() as found:
        yield found


@pytest.fixture
def poll(select_module):
    return select_module.poll()


def test_other_names_are_the_stdlibs():
    own = {"epoll", "poll", "select"}
    for name, value in vars(stdlib_select).items():
        if not name.startswith("__") and name not in own:
            assert getattr(select, name) is value
    assert select.select is not stdlib_select.select
    assert select.error is OSError


# -- epoll and poll --------------------------------------------------------------

def test_nothing_registered(poller):
    assert poller.poll(0) == []
    assert poller.poll(0.001) == []


def test_results_are_new_lists_of_tuples_of_ints(poller, pipes):
    reader, writer = pipes(b"x")
    poller.register(reader, IN)
    poller.register(writer, OUT)
    first, second = poller.poll(0), poller.poll(0)
    assert sorted(first) == sorted(second) == sorted([(reader, IN), (writer, OUT)])
    assert type(first) is list and first is not second
    for pair in first:
        assert type(pair) is tuple and [type(item) for item in pair] == [int, int]
    first.clear()  # a caller may do with its list what it likes
    assert sorted(poller.poll(0)) == sorted(second)


def test_without_a_mask_all_is_watched(poller):
    a, b = stdlib_socket.socketpair()
    with a, b:
        b.send(b"x")
        assert poller.register(a) is None
        assert poller.poll(0) == [(a.fileno(), IN | OUT)]


def test_modify(poller):
    a, b = stdlib_socket.socketpair()
    with a, b:
        b.send(b"x")
        poller.register(a, IN)
        for mask, expected in [(OUT, OUT), (IN, IN), (IN | OUT, IN | OUT), (0, None), (IN, IN)]:
            assert poller.modify(a, mask) is None
            assert poller.poll(0) == ([(a.fileno(), expected)] if expected else [])


def test_unregister(poller, pipes):
    reader, _ = pipes(b"x")
    other, _ = pipes(b"x")
    poller.register(reader, IN)
    poller.register(other, IN)
    assert poller.unregister(reader) is None
    assert poller.poll(0) == [(other, IN)]
    poller.register(reader, IN)
    assert sorted(poller.poll(0)) == sorted([(other, IN), (reader, IN)])


def test_objects_with_fileno(poller, pipes):
    reader, _ = pipes(b"x")
    with open(reader, "rb", closefd=False) as file:
        poller.register(file, IN)
        poller.modify(file, IN)
        assert poller.poll(0) == [(reader, IN)]
        poller.unregister(file)
        assert poller.poll(0) == []


def test_data_that_is_read_is_no_event_any_more(poller, pipes):
    reader, writer = pipes()
    poller.register(reader, IN)
    for _ in range(20):
        assert poller.poll(0) == []
        os.write(writer, b"x")
        assert poller.poll(0) == poller.poll() == [(reader, IN)]
        os.read(reader, 1)


def test_hang_up_and_error(poller, pipes):
    reader, writer = pipes()
    broken, gone = pipes()
    poller.register(reader, IN)
    poller.register(gone, 0)  # asked for or not, these two are told
    pipes.close(writer, broken)
    assert sorted(poller.poll(0)) == sorted([(reader, HUP), (gone, ERR)])


def test_a_thousand_events(poller, pipes, many_fds):
    readers = [pipes(b"x")[0] for _ in range(min(1000, many_fds // 2 - 100))]
    for reader in readers:
        poller.register(reader, IN)
    for _ in range(5):
        assert sorted(poller.poll(0)) == [(reader, IN) for reader in sorted(readers)]


def test_objects_can_not_be_pickled(poller):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"^cannot pickle 'select\.\w+' object$"):
            pickle.dumps(poller, protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"^cannot pickle 'select\.\w+' object$"):
            duplicate(poller)


def test_types_are_closed(poller):
    with pytest.raises(TypeError):
        type("Sub", (type(poller),), {})
    with pytest.raises(AttributeError):
        poller.name = 1


# -- epoll -----------------------------------------------------------------------

@requires_epoll
def test_life_of_an_epoll_object(select_module, pipes):
    poller = select_module.epoll()
    assert poller.closed is False and type(poller.fileno()) is int
    assert not os.get_inheritable(poller.fileno())
    with poller as entered:
        assert entered is poller
    assert poller.closed is True
    assert poller.close() is None and poller.close() is None
    with pytest.raises(AttributeError):
        poller.closed = False
    reader, _ = pipes()
    for call in (poller.fileno, poller.poll, lambda: poller.poll(0), poller.__enter__,
                 lambda: poller.register(reader, IN), lambda: poller.modify(reader, IN),
                 lambda: poller.unregister(reader), lambda: poller.poll("x")):
        with pytest.raises(ValueError, match="^I/O operation on closed epoll object$"):
            call()


@requires_epoll
def test_closing_closes_the_fd_also_without_a_call(select_module):
    fd = select_module.epoll().fileno()  # which is nobody's any more
    with pytest.raises(OSError):
        os.fstat(fd)


@requires_epoll
def test_an_fd_that_somebody_else_closed(select_module):
    poller = select_module.epoll()
    os.close(poller.fileno())
    for call in (lambda: poller.poll(0), lambda: poller.register(0, IN)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    if sys.version_info >= (3, 15):
        with pytest.raises(OSError, match="Bad file descriptor"):
            poller.close()
    assert poller.close() is None  # up to 3.14 it tells of no error
    assert poller.closed


@requires_epoll
def test_leaving_by_an_exception_closes(select_module):
    with pytest.raises(KeyError):
        with select_module.epoll() as poller:
            raise KeyError
    assert poller.closed


@requires_epoll
def test_fromfd(select_module, pipes):
    reader, _ = pipes(b"x")
    with select_module.epoll() as first:
        first.register(reader, IN)
        number = os.dup(first.fileno())
        with select_module.epoll.fromfd(number) as second:
            assert type(second) is select_module.epoll and second.fileno() == number
            assert second.poll(0) == [(reader, IN)]
        with pytest.raises(OSError):
            os.fstat(number)
        assert first.poll(0) == [(reader, IN)]


@requires_epoll
def test_fromfd_of_no_fd(select_module):
    with select_module.epoll.fromfd(-1) as poller:  # as the stdlib: a new one
        assert not poller.closed and poller.poll(0) == []
    with pytest.raises(OSError):
        select_module.epoll.fromfd(-5)
    with pytest.raises(TypeError):
        select_module.epoll.fromfd("x")


@requires_epoll
def test_a_refused_fromfd_closes_nothing(select_module):
    with select_module.epoll() as poller:
        next_fd = os.dup(poller.fileno())
        os.close(next_fd)
        for bad in (None, 2**40):
            with pytest.raises((TypeError, OverflowError)):
                select_module.epoll.fromfd(bad)
        assert os.dup(poller.fileno()) == next_fd
        os.close(next_fd)


@requires_epoll
def test_epoll_refuses_what_it_can_not_watch(epoll, pipes, tmp_path):
    reader, _ = pipes(b"x")
    epoll.register(reader, IN)
    with pytest.raises(FileExistsError):
        epoll.register(reader, OUT)
    with open(tmp_path / "file", "wb") as file, pytest.raises(PermissionError):
        epoll.register(file, IN)
    for call in (epoll.unregister, lambda fd: epoll.modify(fd, IN)):
        with pytest.raises(FileNotFoundError):
            call(pipes()[0])
    with pytest.raises(OSError, match="Bad file descriptor"):
        epoll.register(999999, IN)
    with pytest.raises(OSError, match="Invalid argument"):
        epoll.register(epoll, IN)
    assert epoll.poll(0) == [(reader, IN)]


@requires_epoll
def test_maxevents(epoll, pipes):
    readers = [pipes(b"x")[0] for _ in range(10)]
    for reader in readers:
        epoll.register(reader, IN)
    assert len(epoll.poll(0, 3)) == len(epoll.poll(timeout=0, maxevents=3)) == 3
    assert len(epoll.poll(0, 100)) == len(epoll.poll(0, -1)) == len(epoll.poll(maxevents=-1)) == 10
    # The kernel goes round, so that those beyond the limit have their turn.
    seen = {fd for _ in range(10) for fd, _ in epoll.poll(0, 1)}
    assert seen == set(readers)


@requires_epoll
def test_edges(epoll, pipes):
    reader, writer = pipes(b"x")
    epoll.register(reader, IN | stdlib_select.EPOLLET)
    assert epoll.poll(0) == [(reader, IN)]
    assert epoll.poll(0) == epoll.poll(0.001) == []
    os.write(writer, b"x")
    assert epoll.poll() == [(reader, IN)]
    assert epoll.poll(0) == []


@requires_epoll
def test_one_shot(epoll, pipes):
    reader, _ = pipes(b"x")
    epoll.register(reader, IN | stdlib_select.EPOLLONESHOT)
    for _ in range(3):
        assert epoll.poll(0) == [(reader, IN)]
        assert epoll.poll(0) == epoll.poll(0.001) == []
        epoll.modify(reader, IN | stdlib_select.EPOLLONESHOT)


@requires_epoll
def test_epoll_watches_open_files_and_not_numbers(epoll, pipes):
    reader, _ = pipes(b"x")
    other, _ = pipes(b"y")
    kept = os.dup(reader)
    epoll.register(reader, IN)
    assert epoll.poll(0) == [(reader, IN)]
    pipes.close(reader)
    assert epoll.poll(0) == [(reader, IN)]  # the open file is there still, by its copy
    with pytest.raises(OSError, match="Bad file descriptor"):
        epoll.unregister(reader)
    os.close(kept)
    assert epoll.poll(0) == []
    os.dup2(other, reader)
    assert epoll.poll(0) == []  # the number again, and another file
    epoll.register(reader, IN)
    assert epoll.poll(0) == [(reader, IN)]
    os.close(reader)


@requires_epoll
def test_an_epoll_in_an_epoll(select_module, epoll, pipes):
    reader, _ = pipes(b"x")
    with select_module.epoll() as inner:
        epoll.register(inner, IN)
        assert epoll.poll(0) == []
        inner.register(reader, IN)
        assert epoll.poll(0) == [(inner.fileno(), IN)]


# -- poll ------------------------------------------------------------------------

def test_poll_keeps_the_order_of_registration(poll, pipes):
    fds = [pipes(b"x")[0] for _ in range(8)]
    order = [fds[index] for index in (5, 2, 7, 0, 1, 6, 3, 4)]
    for fd in order:
        poll.register(fd, IN)
    assert poll.poll(0) == [(fd, IN) for fd in order]
    poll.register(fds[7], IN | OUT)  # again: other events, and the same place
    poll.modify(fds[0], IN)
    assert poll.poll(0) == [(fd, IN) for fd in order]
    poll.unregister(fds[2])
    order.remove(fds[2])
    assert poll.poll(0) == [(fd, IN) for fd in order]
    poll.register(fds[2], IN)
    assert poll.poll(0) == [(fd, IN) for fd in [*order, fds[2]]]


def test_poll_of_an_unknown_fd(poll, pipes):
    reader, _ = pipes()
    with pytest.raises(FileNotFoundError):
        poll.modify(reader, IN)
    with pytest.raises(KeyError) as caught:
        poll.unregister(reader)
    assert caught.value.args == (reader,)


def test_poll_watches_numbers_and_tells_of_closed_ones(poll, pipes):
    reader, _ = pipes(b"x")
    other, _ = pipes(b"y")
    poll.register(reader, IN)
    assert poll.poll(0) == [(reader, IN)]
    pipes.close(reader)
    assert poll.poll(0) == poll.poll() == [(reader, NVAL)]
    os.dup2(other, reader)
    assert poll.poll(0) == [(reader, IN)]
    os.close(reader)


def test_poll_takes_regular_files(poll, tmp_path):
    with open(tmp_path / "file", "wb") as file:
        poll.register(file)
        assert poll.poll(0) == [(file.fileno(), IN | OUT)]


def test_all_bits_of_a_mask_are_taken(poll, pipes):
    reader, _ = pipes(b"x")
    poll.register(reader, 0xffff)
    [(fd, events)] = poll.poll(0)
    assert fd == reader and events & IN and 0 < events <= 0xffff


def test_most_are_unregistered_again(poll, pipes):
    # Of so many no array would be kept as it is.
    fds = [pipes(b"x")[0] for _ in range(200)]
    for fd in fds:
        poll.register(fd, IN)
    assert len(poll.poll(0)) == 200
    kept = fds[::7]
    for fd in set(fds) - set(kept):
        poll.unregister(fd)
    assert poll.poll(0) == poll.poll(0) == [(fd, IN) for fd in kept]
    for fd in kept:
        poll.modify(fd, IN)
        poll.unregister(fd)
    assert poll.poll(0) == []


def test_poll_is_only_made_by_its_function(select_module):
    with pytest.raises(TypeError, match="^cannot create '.*' instances$"):
        type(select_module.poll())()


# -- select ----------------------------------------------------------------------

def test_select_returns_the_objects(select_module, pipes):
    reader, writer = pipes(b"x")
    empty, full = pipes()
    with open(reader, "rb", closefd=False) as file:
        found = select_module.select([empty, file], [writer], [file, writer], 0)
    assert found == ([file], [writer], [])
    assert type(found) is tuple and [type(item) for item in found] == [list] * 3
    assert select_module.select([], [], [], 0) == ([], [], [])
    assert select_module.select([empty], [], [], 0.001) == ([], [], [])
    assert select_module.select([reader], [full], []) == ([reader], [full], [])


def test_select_keeps_order_and_repetitions(select_module, pipes):
    first, second = pipes(b"x")[0], pipes(b"x")[0]
    assert select_module.select([second, first, second], [], [], 0)[0] == [second, first, second]


@pytest.mark.parametrize("make", [list, tuple, set, iter, lambda items: (item for item in items),
                                  dict.fromkeys])
def test_select_takes_iterables(select_module, pipes, make):
    reader, writer = pipes(b"x")
    assert select_module.select(make([reader]), make([writer]), make([]), 0) == (
        [reader], [writer], [])


def test_select_reads_a_subclass_of_list_by_its_iter(select_module, pipes):
    reader, writer = pipes(b"x")

    class Odd(list):
        def __iter__(self):
            return iter([reader])

        def __getitem__(self, index):
            raise AssertionError("read by number")
    assert select_module.select(Odd([writer, writer]), [], [], 0) == ([reader], [], [])


def test_exceptional_conditions(select_module):
    with stdlib_socket.create_server(("127.0.0.1", 0)) as listener, \
            stdlib_socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            client.send(b"!", stdlib_socket.MSG_OOB)
            assert select_module.select([], [], [server], 20) == ([], [], [server])


@pytest.mark.parametrize("change", ["clear", "grow", "replace"])
def test_a_fileno_that_changes_the_list(select_module, pipes, change):
    reader, writer = pipes(b"x")
    calls = []

    class File:
        def fileno(self):
            calls.append(self)
            if change == "clear":
                files.clear()
            elif change == "grow" and len(files) < 20:
                files.append(File())
            elif change == "replace" and len(calls) == 1:
                files[1] = writer
            return reader

    files = [File() for _ in range(5)]
    kept = list(files)
    found, _, _ = select_module.select(files, [], [], 0)
    if change == "clear":
        assert found == kept[:1]
    elif change == "grow":
        assert len(found) == 20 and found == files
    else:
        assert found == [kept[0], *kept[2:]]  # a writer is not ready to be read


def test_fds_that_are_too_high_for_select(select_module, pipes, many_fds):
    reader, _ = pipes(b"x")
    highest = 1023
    if many_fds <= highest + 1:
        pytest.skip("no fd may be so high here")
    for fd in (highest, highest + 1):
        os.dup2(reader, fd)
        try:
            if fd == highest:
                assert select_module.select([fd], [], [], 0) == ([fd], [], [])
            else:
                for lists in (([fd], [], []), ([], [fd], []), ([], [], [fd])):
                    with pytest.raises(ValueError, match="out of range in select"):
                        select_module.select(*lists, 0)
        finally:
            os.close(fd)


def test_more_objects_than_select_takes(select_module, pipes):
    reader, _ = pipes(b"x")
    assert len(select_module.select([reader] * 1024, [], [], 0)[0]) == 1024
    with pytest.raises(ValueError, match=r"^too many file descriptors in select\(\)$"):
        select_module.select([reader] * 1025, [], [], 0)


def test_select_of_a_closed_fd(select_module, pipes):
    reader, _ = pipes()
    pipes.close(reader)
    with pytest.raises(OSError, match="Bad file descriptor"):
        select_module.select([reader], [], [], 0)
