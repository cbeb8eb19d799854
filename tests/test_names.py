"""What the package shows of itself: dir(), completion, help(), and hints for misspelt names."""

import pydoc
import rlcompleter
import socket as stdlib_socket
import sys
import types

import pytest

import fastsock

OURS = sorted(set(fastsock.__all__) - set(stdlib_socket.__all__) - set(fastsock._extra))


def one_underscore(names):
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_dir_lists_all_that_is_public():
    names = dir(fastsock)
    assert {*fastsock.__all__, "select", "selectors", "Stream", "serve"} <= set(names)
    assert names == sorted(set(names))
    for name in names:
        getattr(fastsock, name)


def test_dir_lists_what_the_stdlibs_lists():
    """Also names with an underscore, which http.client and others use."""
    names = set(dir(fastsock))
    assert set(dir(stdlib_socket)) <= names
    assert one_underscore(names) == one_underscore(dir(stdlib_socket))
    assert "_GLOBAL_DEFAULT_TIMEOUT" in names
    assert fastsock._GLOBAL_DEFAULT_TIMEOUT is stdlib_socket._GLOBAL_DEFAULT_TIMEOUT


def test_dir_lists_no_module_of_the_inside():
    import fastsock.commands.info
    import fastsock.functions
    modules = {name for name in dir(fastsock)
               if isinstance(getattr(fastsock, name), types.ModuleType)
               and not hasattr(stdlib_socket, name) and not name.startswith("__")}
    # The stdlib's module has `selectors` of its own before 3.14.
    assert modules | {"selectors"} == {"framing", "select", "selectors"}
    assert "selectors" in dir(fastsock)
    assert fastsock.functions and fastsock.commands.info and fastsock._methods  # but it is there


def test_dir_lists_what_a_program_puts_there(monkeypatch):
    monkeypatch.setattr(fastsock, "mine", 1, raising=False)
    assert "mine" in dir(fastsock)


def test_dir_imports_nothing(python):
    result = python(code="""if True:
        import sys, fastsock
        before = set(sys.modules)
        dir(fastsock)
        print(set(sys.modules) - before, "fastsock._stream" in before, "inspect" in before)
    """)
    assert result.stdout == "set() False False\n"


@pytest.mark.parametrize("typed, completed", [
    ("fastsock.Str", "fastsock.Stream("), ("fastsock.serv", "fastsock.serve("),
    ("fastsock.Rel", "fastsock.Relay("), ("fastsock.fram", "fastsock.framing")])
def test_tab_completion(typed, completed):
    assert completed in rlcompleter.Completer({"fastsock": fastsock}).attr_matches(typed)


# -- help() ----------------------------------------------------------------------------

def test_the_docstring_names_each_addition():
    words = set(fastsock.__doc__.replace(",", " ").replace(";", " ").replace(":", " ").split())
    assert set(OURS) - words == set()
    methods = {name for name in dir(fastsock.socket)
               if not name.startswith("_") and not hasattr(stdlib_socket.socket, name)}
    assert "recv_exactly" in methods and methods - words == set()
    named = {word for word in words if "_" in word} - {"set_busy_poll", "current_connection"}
    assert not {word for word in named if hasattr(stdlib_socket, word)}


def test_help_describes_each_addition():
    text = pydoc.plain(pydoc.render_doc(fastsock))
    assert text.startswith("Python Library Documentation: package fastsock")
    for name in OURS:
        value = getattr(fastsock, name)
        if isinstance(value, type):
            assert f"\n    class {name}(" in text, name
        elif callable(value):
            assert f"\n    {name}(" in text, name
        else:
            assert isinstance(value, types.ModuleType) and f"\n    {name}" in text, name
        if callable(value):
            assert value.__doc__.strip().splitlines()[0] in text


# -- names that are not there ----------------------------------------------------------

@pytest.mark.parametrize("misspelt, meant", [
    ("Sream", "Stream"), ("Datagrambatch", "DatagramBatch"), ("Servr", "Server"),
    ("create_conection", "create_connection"), ("AF_INTE", "AF_INET")])
def test_a_misspelt_name(python, misspelt, meant):
    result = python(code=f"import fastsock; fastsock.{misspelt}", check=False)
    assert result.stderr.endswith(
        f"AttributeError: module 'fastsock' has no attribute '{misspelt}'. "
        f"Did you mean: '{meant}'?\n")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="since 3.12")
def test_a_misspelt_name_that_is_imported(python):
    result = python(code="from fastsock import Sream", check=False)
    assert "ImportError: cannot import name 'Sream' from 'fastsock'" in result.stderr
    assert result.stderr.endswith("Did you mean: 'Stream'?\n")


def test_the_error_is_as_the_interpreters(socket):
    with pytest.raises(AttributeError) as caught:
        socket.no_such_name  # noqa: B018 (it raises)
    assert caught.value.name == "no_such_name" and caught.value.obj is socket
    assert str(caught.value) == f"module {socket.__name__!r} has no attribute 'no_such_name'"
    assert not hasattr(socket, "no_such_name") and getattr(socket, "_no_such", None) is None


# -- the order -------------------------------------------------------------------------

def test_the_order_of_names_is_always_the_same(python):
    orders = {python(code="import fastsock; print(fastsock.__all__, dir(fastsock))",
                     env={"PYTHONHASHSEED": str(seed)}).stdout for seed in (1, 2, 3, 4)}
    assert len(orders) == 1
    assert len(fastsock.__all__) == len(set(fastsock.__all__))
