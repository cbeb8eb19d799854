"""The programs in the documentation run as they stand."""

import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parent.parent / "docs"


def programs():
    for page in sorted(DOCS.glob("*.md")):
        for number, code in enumerate(
                re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            if ">>>" not in code and "import fastsock as socket\n" != code:
                yield pytest.param(code, id=f"{page.name}-{number}")


def test_there_are_programs():
    assert list(programs())


@pytest.mark.parametrize("code", list(programs()))
def test_program_of_the_documentation(python, code):
    python("-W", "error", code=code)
