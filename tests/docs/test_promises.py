"""Every promise names its test, and the test is there."""

from __future__ import annotations

import re

import pytest

from tests.support import ROOT

_PAGE = "".join(
    (ROOT / "docs" / "explanation" / name).read_text() for name in ("promises.md", "browsers.md")
)
_NAMED = sorted(set(re.findall(r"`(tests/[^`:]+)(?:::([^`]+))?`", _PAGE)))


@pytest.mark.parametrize(("path", "name"), _NAMED)
def test_a_named_test_exists(path: str, name: str) -> None:
    source = (ROOT / path).read_text()
    assert "def test_" in source
    assert not name or re.search(rf"def {name}\(", source)


def test_every_file_of_the_fault_suite_shows_a_promise() -> None:
    files = {f"tests/faults/{path.name}" for path in (ROOT / "tests" / "faults").glob("test_*.py")}
    assert files - {path for path, _ in _NAMED} == set()
