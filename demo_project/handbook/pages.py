"""The pages of ``docs/`` and their sections, read when the site starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from django.urls import reverse

_HEADING = re.compile(r"^(#{1,4}) +(.+)$")
_FENCE = re.compile(r"^ *```")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with the text up to the next heading."""

    heading: str
    """The text of the heading."""
    anchor: str
    """The part of the address after "#", empty for the page's own heading."""
    text: str
    """Markdown."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page."""

    name: str
    """Its path in ``docs/`` without the extension: ``"how-to/define-a-topic"``."""
    title: str
    """Its first heading."""
    text: str
    """Markdown."""

    def get_absolute_url(self) -> str:
        """Return its address on this site."""
        return reverse("handbook:page", args=[self.name])

    def sections(self) -> Iterator[Section]:
        """Yield its sections, in order."""
        heading, anchor, lines, fenced = self.title, "", list[str](), False
        for line in self.text.splitlines():
            fenced ^= bool(_FENCE.match(line))
            found = None if fenced else _HEADING.match(line)
            if found is None:
                lines.append(line)
                continue
            if any(lines):
                yield Section(heading=heading, anchor=anchor, text="\n".join(lines).strip())
            heading, anchor, lines = found[2], "" if found[1] == "#" else slug(found[2]), []
        yield Section(heading=heading, anchor=anchor, text="\n".join(lines).strip())


@cache
def pages() -> dict[str, Page]:
    """Return every page by its name."""
    root = settings.BASE_DIR / "docs"
    found = {}
    for path in sorted(root.rglob("*.md")):
        name = path.relative_to(root).with_suffix("").as_posix()
        if not name.startswith("_build/"):
            text = path.read_text(encoding="utf-8")
            title = next(
                (match[2] for match in map(_HEADING.match, text.splitlines()) if match), name
            )
            found[name] = Page(name=name, title=title, text=text)
    return found


def slug(heading: str) -> str:
    """Return the anchor of a heading, as forges and Sphinx make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
