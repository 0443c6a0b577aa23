"""The Pythons and Djangos that are promised, tried and told are the same everywhere."""

from __future__ import annotations

import ast
import re
import tomllib

from tests.docs.pages import read, rows
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pairs() -> list[tuple[str, str]]:
    """Return the pairs of Python and Django in ``noxfile.py``."""
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAIRS":
            found: list[tuple[str, str]] = ast.literal_eval(node.value)
            return found
    raise AssertionError("noxfile.py has no PAIRS")


def test_the_matrix_has_what_the_package_promises() -> None:
    classified = re.findall(
        r"Programming Language :: Python :: (3\.\d+)|Framework :: Django :: (\d\.\d)", "\n".join(PROJECT["classifiers"])
    )
    assert {python for python, _ in pairs()} == {python for python, _ in classified if python}
    assert {django for _, django in pairs()} == {django for _, django in classified if django}
    assert PROJECT["requires-python"] == f">={min(pairs())[0]}"


def test_the_matrix_is_the_one_that_the_pages_tell() -> None:
    text = read("how-to/upgrade.md")
    head, _, *lines = rows(text[text.index("## Python and Django") :])
    told = {
        (line[0].removeprefix("Python "), column.removeprefix("Django "))
        for line in lines
        for column, cell in zip(head[1:], line[1:], strict=True)
        if cell in ("every change", "matrix")
    }
    assert told == set(pairs())
