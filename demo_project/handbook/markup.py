"""Render the documentation's Markdown as HTML: local links, highlighted code, no raw HTML."""

from __future__ import annotations

import re
from functools import cache
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING

from django.utils.safestring import mark_safe
from markdown_it import MarkdownIt

from demo_project.gallery.code import highlighted
from demo_project.handbook.pages import pages, slug

if TYPE_CHECKING:
    from django.utils.safestring import SafeString
    from markdown_it.token import Token

    from demo_project.handbook.pages import Page

#: Comments for the tools that build or test the files.
_ASIDE = re.compile(r"^[ ]*<!--.*?-->\n|^```\{.*?^```\n", re.MULTILINE | re.DOTALL)


@cache
def to_html(page: Page) -> SafeString:
    """Return the page as HTML, without its title."""
    markdown = MarkdownIt("commonmark", {"html": False, "highlight": _block})
    tokens = markdown.enable("table").parse(_ASIDE.sub("", page.text))
    if len(tokens) > 2 and tokens[0].tag == "h1":
        tokens = tokens[3:]
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(tokens[position + 1].content))
        for child in token.children or ():
            if child.type == "link_open":
                _settle(child, page)
    # The parser escapes, and the files are the project's own.
    return mark_safe(str(markdown.renderer.render(tokens, markdown.options, {})))  # noqa: S308


def _block(text: str, language: str, _attributes: str) -> str:
    # Focusable, so that the keyboard can scroll it.
    return f'<pre tabindex="0"><code>{highlighted(text, language)}</code></pre>'


def _settle(link: Token, page: Page) -> None:
    """Point a link to the page on this site; remove a link to a file that is not a page."""
    target, _, anchor = str(link.attrs.get("href", "")).partition("#")
    if re.match(r"https?:", target):
        link.attrSet("rel", "noreferrer")
        return
    name = normpath(join(dirname(page.name), target)).removesuffix(".md") if target else page.name
    if name in pages():
        link.attrSet("href", pages()[name].get_absolute_url() + (f"#{anchor}" if anchor else ""))
    else:
        del link.attrs["href"]
