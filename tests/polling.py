"""What the tests of select and selectors share: the implementations, pipes, comparisons."""

import contextlib
import os
import resource
import select as stdlib_select
import selectors as stdlib_selectors

import pytest

from fastsock import select, selectors

SELECT_MODULES = {"stdlib": stdlib_select, "fastsock": select}
SELECTOR_MODULES = {"stdlib": stdlib_selectors, "fastsock": selectors}

CLASSES = [name for name in ("EpollSelector", "PollSelector", "SelectSelector")
           if hasattr(stdlib_selectors, name)]

has_epoll = hasattr(stdlib_select, "epoll")
#: Those that are ours: a build without epoll(7) has the stdlib's.
OUR_CLASSES = [name for name in CLASSES if name != "EpollSelector" or select.epoll_is_ours]

requires_epoll = pytest.mark.skipif(not has_epoll, reason="no epoll here")


@pytest.fixture(params=list(SELECT_MODULES))
def select_module(request):
    """The module under test: the stdlib's `select`, then `fastsock.select`."""
    return SELECT_MODULES[request.param]


@pytest.fixture(params=list(SELECTOR_MODULES))
def selectors_module(request):
    """The module under test: the stdlib's `selectors`, then `fastsock.selectors`."""
    return SELECTOR_MODULES[request.param]


@pytest.fixture(params=[*CLASSES, "DefaultSelector"])
def selector_class(request, selectors_module):
    return getattr(selectors_module, request.param)


@pytest.fixture
def selector(selector_class):
    with selector_class() as made:
        yield made


class Pipes:
    """Pipes that are closed in the end; each is (fd to read, fd to write)."""

    def __init__(self):
        self.fds = set()

    def __call__(self, data=b""):
        reader, writer = os.pipe()
        self.fds |= {reader, writer}
        if data:
            os.write(writer, data)
        return reader, writer

    def close(self, *fds):
        for fd in fds:
            os.close(fd)
            self.fds.discard(fd)


@pytest.fixture
def pipes():
    made = Pipes()
    yield made
    made.close(*made.fds)


@pytest.fixture
def many_fds():
    """Raise the soft limit of open fds as far as allowed; the number there is room for."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if before[1] == resource.RLIM_INFINITY else before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, before[0]), before[1]))
    yield resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def outcome(call, *arguments, **keywords):
    """What a call did, to be compared: its result, or its exception's class and text."""
    try:
        return "returned", call(*arguments, **keywords)
    except Exception as error:
        return type(error), str(error)


def same_outcomes(modules, call):
    """The outcome of `call(module)`, which must be the same for each of the modules."""
    found = {name: outcome(call, module) for name, module in modules.items()}
    assert found["fastsock"] == found["stdlib"]
    return found["stdlib"]


class Index:
    """A number by __index__ only."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number

    def __repr__(self):
        return f"Index({self.number})"


class File:
    """An object with fileno(), which returns or raises what it was given."""

    def __init__(self, answer):
        self.answer = answer

    def fileno(self):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def __repr__(self):
        return f"File({self.answer!r})"


@contextlib.contextmanager
def made(select_module, kind):
    """An epoll or poll object, closed at the end if it can be."""
    found = getattr(select_module, kind)()
    try:
        yield found
    finally:
        if kind == "epoll":
            found.close()


#: Milliseconds or seconds, as the kind has it.
UNIT = {"epoll": 1, "poll": 1000}
KINDS = [kind for kind in UNIT if hasattr(stdlib_select, kind)]
OUR_KINDS = [kind for kind in KINDS if kind != "epoll" or select.epoll_is_ours]
