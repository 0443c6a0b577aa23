"""Every text of the demo is in its catalogues: those that ``makemessages`` would find."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.translation.template import templatize

DEMO = settings.BASE_DIR / "demo_project"
TEMPLATES = settings.BASE_DIR / "templates" / "demo"


def calls(path: Path) -> Iterator[ast.Call]:
    """Yield the calls of gettext in a file; a template's tags are such calls after Django has made Python of them."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        code = templatize(source)
        source = "\n".join(
            re.findall(
                r"(?:\bn?gettext|\b_)\((?:u?'(?:[^'\\]|\\.)*'|u?\"(?:[^\"\\]|\\.)*\"|[\w, ])*\)",
                code,
            )
        )
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and re.fullmatch(r"_|n?gettext(_\w+)?", node.func.id)
        ):
            yield node


@pytest.fixture(scope="module")
def texts() -> set[str]:
    """Every text that is to be translated."""
    found = {
        ast.literal_eval(call.args[0])
        for path in [*DEMO.rglob("*.py"), *TEMPLATES.glob("*.html")]
        for call in calls(path)
        if isinstance(call.args[0], ast.Constant)
    }
    assert len(found) > 200
    assert {"Overview", "Protocol lab", "%(age)s ago", "of %(count)s core"} <= found
    return found


@pytest.mark.parametrize("code", ["de", "zh_Hans", "ar"])
def test_no_text_is_missing_from_a_catalogue_and_none_is_left_over(
    code: str, texts: set[str]
) -> None:
    written = (DEMO / "locale" / code / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    known = {
        ast.literal_eval(f"({text})")
        for text in re.findall(r'^msgid ((?:".*"\n)+)', written, re.MULTILINE)
    } - {""}
    assert known - texts == set()
    assert texts - known == set()
