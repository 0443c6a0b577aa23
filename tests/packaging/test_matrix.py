"""The Pythons and Djangos that are promised, tried and told are the same everywhere."""

from __future__ import annotations

import ast
import re
import tomllib

from tests.docs.pages import read, rows
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pairs(name: str = "PAIRS") -> list[tuple[str, str]]:
    """Return the pairs of Python and Django that ``noxfile.py`` has under ``name``."""
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            found: list[tuple[str, str]] = ast.literal_eval(node.value)
            return found
    raise AssertionError(f"noxfile.py has no {name}")


def test_the_matrix_has_what_the_package_promises() -> None:
    classified = re.findall(
        r"Programming Language :: Python :: (3\.\d+)|Framework :: Django :: (\d\.\d)",
        "\n".join(PROJECT["classifiers"]),
    )
    assert {python for python, _ in pairs()} == {python for python, _ in classified if python}
    assert {django for _, django in pairs()} == {django for _, django in classified if django}
    assert PROJECT["requires-python"] == f">={min(pairs())[0]}"


def test_the_matrix_is_the_one_that_the_pages_tell() -> None:
    text = read("how-to/upgrade.md")
    head, _, *lines = rows(text[text.index("## Python and Django") :])
    told = {
        (line[0].removeprefix("Python "), column.removeprefix("Django ")): cell
        for line in lines
        for column, cell in zip(head[1:], line[1:], strict=True)
        if cell in ("whole suite", "every change", "matrix")
    }
    assert set(told) == set(pairs())
    assert {pair for pair, cell in told.items() if cell == "every change"} == set(pairs("EACH"))
    assert [pair for pair, cell in told.items() if cell == "whole suite"] == pairs()[:1]


def test_every_change_has_to_pass_with_each_python_and_each_django() -> None:
    tried = [pairs()[0], *pairs("EACH")]
    assert {python for python, _ in tried} == {python for python, _ in pairs()}
    assert {django for _, django in tried} == {django for _, django in pairs()}
    assert 'make matrix ARGS="--tags each"' in (ROOT / ".ci" / "run").read_text()
