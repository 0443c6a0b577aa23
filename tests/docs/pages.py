"""The documentation as tests see it: pages, the code blocks in them, tables, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from tests.support import ROOT

DOCS = ROOT / "docs"

# A fence of at least three backticks, maybe indented in a list, and maybe with a comment before it that says what a test does with it.
_BLOCK = re.compile(
    r"^(?:[ ]*<!-- (?P<mark>[^\n]*?) -->\n)?(?P<indent>[ ]*)```(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One code block."""

    page: Path
    line: int
    """Where its code begins, 1 at the top."""
    language: str
    mark: str
    """What the comment before it says, "" if there is none."""
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page that people read: those of ``docs`` and those beside it."""
    written = [page for page in DOCS.rglob("*.md") if "_build" not in page.parts]
    return sorted(
        [*written, *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"))]
    )


def read(name: str) -> str:
    """Return the text of a page of ``docs``."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """Yield the code blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start("code")) + 1,
            language=found["language"].strip(),
            mark=found["mark"] or "",
            code=dedent(found["code"]),
        )


def prose(page: Path) -> str:
    """Return a page without its code, in blocks and in lines."""
    return re.sub(r"`[^`\n]+`", "", _BLOCK.sub("", page.read_text(encoding="utf-8")))


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables in ``text``, as cells without the spaces around them; heads and rules are among them."""
    lines = [line.strip().strip("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges and Sphinx make them."""
    headings = re.findall(
        r"^#+ (.+)$", _BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
