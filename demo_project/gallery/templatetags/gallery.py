"""What the demo's templates need beyond Django's own: the menu, icons, avatars, and source code as it is."""

from __future__ import annotations

import inspect
import re
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.module_loading import import_string
from django.utils.safestring import mark_safe
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from demo_project.gallery.scenarios import by_heading

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.utils.safestring import SafeString

register = template.Library()

_ROOT = Path(__file__).resolve().parents[3]
_TINTS = 6
#: What is said to linters and type checkers, not to readers.
_ASIDE = re.compile(r"  # (type: ignore|noqa).*$", re.MULTILINE)


@register.inclusion_tag("demo/_menu.html", takes_context=True)
def menu(context: dict[str, Any]) -> dict[str, Any]:
    """Render the menu, with the current scenario marked."""
    match = context["request"].resolver_match
    return {"headings": by_heading(), "current": match.app_name if match else ""}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Render one symbol of ``icons.svg``; it says nothing that the text beside it does not."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>', static("demo/icons.svg"), name
    )


@register.simple_tag
def avatar(user: User) -> SafeString:
    """Render the initials of ``user`` on a tint that is always the same for this user."""
    initials = f"{user.first_name[:1]}{user.last_name[:1]}".strip() or user.username[:2].upper()
    return format_html('<span class="avatar avatar--{}" aria-hidden="true">{}</span>', user.pk % _TINTS, initials)


@register.inclusion_tag("demo/_source.html")
def source(path: str) -> dict[str, Any]:
    """Render the source of a function or class of this site, taken from the file itself: ``{% source "package.module.name" %}``."""
    file, code = _source(path)
    return {"file": file, "code": code}


@register.simple_block_tag
def code(content: str, language: str) -> SafeString:
    """Render what stands between the tags with its syntax marked; classes only, as the page's policy has no inline styles."""
    return _highlight(content, language)


@cache
def _source(path: str) -> tuple[str, SafeString]:
    thing = import_string(path)
    file = inspect.getsourcefile(inspect.unwrap(thing))
    if file is None:
        raise ValueError(f"{path} has no source file")
    return Path(file).resolve().relative_to(_ROOT).as_posix(), _highlight(
        _ASIDE.sub("", dedent(inspect.getsource(thing))), "python"
    )


@cache
def _highlight(text: str, language: str) -> SafeString:
    # Pygments escapes what it marks up.
    return mark_safe(highlight(text.strip(), get_lexer_by_name(language), HtmlFormatter(nowrap=True)).rstrip())  # noqa: S308
