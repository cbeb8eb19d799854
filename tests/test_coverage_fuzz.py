"""What coverage-guided fuzzing kept, fed to the same targets: on any build, without libFuzzer.

`tools/sanitize fuzz` looks for more; see tests/coverage_fuzz/.
"""

import json
import pathlib
import subprocess
import sys

import pytest

import fastsock
from fastsock.commands import http_files

from tests.coverage_fuzz import corpus, native, reference
from tests.coverage_fuzz.targets import TARGETS
from tests.serving import environment

ROOT = pathlib.Path(__file__).parent.parent


def replay(name):
    """Feed all that was kept to a target."""
    if reason := TARGETS[name].why_not():
        pytest.skip(reason)
    with TARGETS[name]() as target:
        for data in corpus.read(name):
            target.check(data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_kept_is_parsed_as_by_the_reference(name):
    assert len(corpus.read(name)) >= 10
    replay(name)


def test_what_is_kept_is_small():
    sizes = {path.name: path.stat().st_size for path in corpus.FOLDER.iterdir()}
    assert set(sizes) == {f"{name}.txt" for name in TARGETS}
    assert sum(sizes.values()) < 300_000


# -- a target that can't fail says nothing ------------------------------------------

class Leaky(fastsock.socket):
    """Says nothing of what was cut off."""

    def recvmsg(self, *arguments):
        data, ancillary, flags, address = super().recvmsg(*arguments)
        return data, ancillary, flags & ~0x28, address


class Lenient(fastsock.socket):
    """Takes a port modulo 65,536."""

    def connect(self, address):
        if isinstance(address, tuple) and len(address) > 1 and isinstance(address[1], int):
            address = (address[0], address[1] & 0xffff, *address[2:])
        return super().connect(address)


def without_limit(framing, data):
    end = data.find(framing.delimiter)
    return (reference.NOTHING if end < 0
            else reference.Found(data[:end], end + len(framing.delimiter), end))


def position_of_varint(framing, data):
    found = reference.first_varint(framing, data)
    return found._replace(position=8) if found.position else found


def opened_anyhow(folder, path, keep_alive):
    try:
        return open(folder / path.lstrip("/"), "rb", buffering=0)
    except (OSError, ValueError):
        raise http_files.Refused(404, keep_alive) from None


def dropping_the_last(function):
    return lambda *arguments: function(*arguments)[:-1]


#: What is broken, and in which target that is found.
FAULTS = {
    "lines without a limit": ("framings", reference.FIRST, fastsock.framing.Lines, without_limit),
    "another position": ("framings", reference.FIRST, fastsock.framing.Varint, position_of_varint),
    "lines of streams": ("streams", reference.FIRST, fastsock.framing.Lines, without_limit),
    "answers are cut off": ("served_messages", TARGETS["served_messages"], "answer",
                            staticmethod(lambda message: message[:2])),
    "a control message is lost": ("control_messages", TARGETS["control_messages"], "unpack",
                                  staticmethod(dropping_the_last(native.unpack))),
    "descriptors stay open": ("control_messages", TARGETS["control_messages"],
                              "close_received_fds", staticmethod(lambda control: None)),
    "control messages without padding": ("control_messages", TARGETS["control_messages"], "pack",
                                         staticmethod(dropping_the_last(native.pack))),
    "a flag is lost": ("descriptors", TARGETS["descriptors"], "receive_class", Leaky),
    "an address is cut off": ("socket_addresses", TARGETS["socket_addresses"], "from_sockaddr",
                              staticmethod(lambda raw, size: native.from_sockaddr(raw, size // 2))),
    "a port is not checked": ("address_texts", TARGETS["address_texts"], "our_class", Lenient),
    "a datagram is lost": ("glued_datagrams", TARGETS["glued_datagrams"], "into_batch",
                           lambda target, *arguments: [(b"", 0)]),
    "files from outside": ("http_requests", http_files, "open_below", opened_anyhow),
}


@pytest.mark.parametrize("name, where, what, broken", FAULTS.values(), ids=FAULTS)
def test_what_was_kept_finds_a_fault(monkeypatch, name, where, what, broken):
    if isinstance(where, dict):
        monkeypatch.setitem(where, what, broken)
    else:
        monkeypatch.setattr(where, what, broken)
    with pytest.raises(AssertionError):
        replay(name)


def test_what_is_written_is_read_again(tmp_path):
    corpus.write("tried", [b"", b"longer", b"a"], tmp_path)
    (tmp_path / "tried.txt").write_text(
        (tmp_path / "tried.txt").read_text().replace("61\n", "61  # it failed once\n"))
    corpus.write("tried", [b"b"], tmp_path)
    assert corpus.read("tried", tmp_path) == {b"a": "it failed once", b"b": None}


# -- the command --------------------------------------------------------------------

def command(*arguments):
    return subprocess.run([sys.executable, "-m", "tests.coverage_fuzz", *map(str, arguments)],
                          cwd=ROOT, env=environment(), text=True, capture_output=True, timeout=300)


def test_without_an_instrumented_build_it_says_so():
    result = command("framings", "--seconds", "1")
    if "__sanitizer" in result.stdout or result.returncode == 0:
        pytest.skip("this build is instrumented")
    assert result.returncode == 77 and result.stdout.startswith("NOT RUN: "), result


def test_on_an_instrumented_build_more_is_covered(tmp_path):
    file = tmp_path / "figures.json"
    result = command("framings", "--empty", "--seconds", "10", "--seed", "1", "--json", file)
    if result.returncode == 77:
        pytest.skip(result.stdout.strip().removeprefix("NOT RUN: "))
    figures = json.loads(file.read_text())
    assert result.returncode == 0, result.stdout
    assert figures["framings_edges"] > 1.5 * figures["framings_edges_at_start"]
    assert figures["counters_in_native_modules"] > 10_000
