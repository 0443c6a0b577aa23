"""Source code for the pages, read from the file and highlighted with CSS classes."""

from __future__ import annotations

import inspect
import re
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.safestring import mark_safe
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

#: Comments for linters and type checkers, which pages leave out: patterns and replacements.
_ASIDES = [
    (re.compile(pattern, re.MULTILINE), left)
    for pattern, left in (
        (r"  # (type: ignore|noqa).*$", ""),
        (r"/\*\* @type \{[^*]*\} \*/ \(((?:[^()]|\([^()]*\))*)\)", r"\1"),
        (r"^ */\*\* @\w+ .*\*/\n", ""),
        (r"/\*\* @\w+ \{[^*]*\} \*/ ", ""),
        (r"(/\*\* [^@*]*) @\w+ .*\*/$", r"\1 */"),
        (r"^( +\*\n)? +\* @\w+ .*\n", ""),
        (r"(;\n\n)\n+", r"\1"),
    )
]
_LANGUAGES = {".py": "python", ".js": "javascript", ".html": "html+django", ".css": "css"}


@cache
def source_of(path: str) -> tuple[str, SafeString]:
    """Return the file and the highlighted source of a name or of a whole file.

    For example ``"package.module.name"`` or ``"static/demo/lab.js"``.
    """
    if "/" in path:
        file = settings.BASE_DIR / path
        return path, highlighted(
            _for_readers(file.read_text(encoding="utf-8")), _LANGUAGES[file.suffix]
        )
    thing = import_string(path)
    found = inspect.getsourcefile(inspect.unwrap(thing))
    if found is None:
        raise ValueError(f"{path} has no source file")
    name = Path(found).resolve().relative_to(settings.BASE_DIR).as_posix()
    return name, highlighted(_for_readers(dedent(inspect.getsource(thing))), "python")


def _for_readers(text: str) -> str:
    for aside, left in _ASIDES:
        text = aside.sub(left, text)
    return text


@cache
def highlighted(text: str, language: str) -> SafeString:
    """Return ``text`` highlighted, or unchanged if the language is unknown."""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    # Pygments escapes the text.
    return mark_safe(highlight(text.strip(), lexer, HtmlFormatter(nowrap=True)).rstrip())  # noqa: S308
