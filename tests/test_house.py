"""The house itself: sizes, circles, generated files, stubs, what the README says.

Reads the source tree, so it is skipped where only the tests were copied.
"""

import pathlib
import re
import subprocess
import sys

import pytest

import fastsock

ROOT = pathlib.Path(__file__).parent.parent
SOURCE = ROOT / "src" / "fastsock"

pytestmark = pytest.mark.skipif(not SOURCE.is_dir(), reason="no source tree beside the tests")

GENERATED = {"_constants_table.h"}


def code_files():
    for folder, patterns in ((ROOT / "src", ("*.pyx", "*.pxd", "*.h")),
                             (ROOT / "fastsock", ("*.py",)), (ROOT / "tests", ("*.py",)),
                             (ROOT / "tools", ("*.py",)), (ROOT / "examples", ("*.py",))):
        for pattern in patterns:
            for path in sorted(folder.rglob(pattern)):
                if path.name not in GENERATED:
                    yield path


def test_no_file_is_above_1000_lines():
    sizes = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in code_files()}
    assert len(sizes) > 40
    assert {path: size for path, size in sizes.items() if size > 1000} == {}


def cimports():
    """Which of our Cython files takes declarations from which: {name: {names}}."""
    graph = {}
    for path in SOURCE.glob("*.p[yx][xd]"):
        text = path.read_text()
        found = set(re.findall(r"^(?:from|cimport) fastsock\.(\w+)", text, re.MULTILINE))
        for names in re.findall(r"^from fastsock cimport ([\w, ]+)", text, re.MULTILINE):
            found |= {name.strip() for name in names.split(",")}
        graph.setdefault(path.stem, set()).update(found - {path.stem})
    return graph


def python_imports():
    """Which of our Python files imports which at its top: {name: {names}}."""
    graph = {}
    for path in (ROOT / "fastsock").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found = set()
        for package, names in re.findall(
                r"^(?:try:\n    )?from (fastsock[\w.]*) import ([^\n]+)", path.read_text(),
                re.MULTILINE):
            for imported in re.findall(r"\w+", names.split("#")[0]):
                module = f"{package}.{imported}"
                found.add(module if (ROOT / module.replace(".", "/")).with_suffix(".py").exists()
                          else package)
        graph[name] = found - {name, "fastsock"}
    return graph


def circle_in(graph):
    """A list of names that import one another in a circle, or None."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name):] + [name]
        if name in done:
            return None
        path.append(name)
        for used in sorted(graph.get(name, ())):
            if circle := visit(used):
                return circle
        path.pop()
        done.add(name)
        return None

    return next((circle for name in sorted(graph) if (circle := visit(name))), None)


def test_circles_would_be_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


@pytest.mark.parametrize("graph", [cimports, python_imports])
def test_imports_make_no_circle(graph):
    found = graph()
    assert sum(map(len, found.values())) > 5
    assert circle_in(found) is None


def test_the_constants_table_is_up_to_date():
    subprocess.run([sys.executable, ROOT / "tools" / "generate_constants.py", "--check"],
                   check=True)


def test_each_extension_has_a_stub():
    names = {path.stem for path in SOURCE.glob("*.pyx")}
    stubs = {path.stem for path in (ROOT / "fastsock").glob("*.pyi")}
    assert names and names <= stubs
    assert {name for name in stubs if name.startswith("_")} - {"__init__"} <= names


def test_stubs_name_what_is_not_the_stdlibs():
    stub = (ROOT / "fastsock" / "__init__.pyi").read_text()
    ours = set(fastsock.__all__) - set(fastsock._stdlib.__all__)
    named = set(re.findall(r"^(?:def |class )?(\w+)", stub, re.MULTILINE))
    named |= set(re.findall(r"import (\w+) as \1\b", stub))
    assert {"adopt", "install", "uninstall"} <= ours <= named


def test_contributing_names_each_source_file():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in [*SOURCE.glob("*.pyx"), *SOURCE.glob("*.h")]:
        assert path.name in text, f"CONTRIBUTING.md does not say what {path.name} is for"


def test_links_in_the_documentation_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_platform_header_has_the_only_ifdefs():
    # A header's guard, and what kind of CPython it is, are no matter of the platform.
    harmless = re.compile(r"#\s*(ifndef FASTSOCK_\w+_H|ifdef Py_GIL_DISABLED|if PY_VERSION_HEX .*)$")
    for path in SOURCE.glob("*.h"):
        conditions = [line for line in path.read_text().splitlines()
                      if re.match(r"#\s*if", line) and not harmless.match(line)]
        assert path.name in GENERATED | {"_platform.h"} or not conditions, path.name


def test_no_other_file_asks_which_system_it_is():
    of_systems = re.compile(
        r"\b(__(linux|APPLE|\w*BSD|DragonFly|sun|MACH)(__)?|FASTSOCK_PORTABLE|UNAME_SYSNAME"
        r"|sys\.platform|os\.(name|uname)|platform\.system)\b")
    assert of_systems.search((SOURCE / "_platform.h").read_text())
    files = [path for pattern in ("*.pyx", "*.pxd", "*.h") for path in SOURCE.glob(pattern)]
    files += (ROOT / "fastsock").glob("*.py")
    assert len(files) > 100
    asking = {path.name for path in files if of_systems.search(path.read_text())}
    assert asking == {"_platform.h"}
