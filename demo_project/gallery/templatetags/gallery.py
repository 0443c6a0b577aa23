"""Template tags of the demo: the menu, icons, avatars and source code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html

from demo_project.gallery.code import highlighted, source_of
from demo_project.gallery.scenarios import by_heading, scenario_of
from demo_project.handbook.pages import pages

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.utils.safestring import SafeString

register = template.Library()

_TINTS = 6


@register.inclusion_tag("demo/_menu.html", takes_context=True)
def menu(context: dict[str, Any]) -> dict[str, Any]:
    """Render the menu, with the current scenario marked."""
    return {"headings": by_heading(), "current": _namespace(context)}


@register.inclusion_tag("demo/_guide.html", takes_context=True)
def guide(context: dict[str, Any]) -> dict[str, Any]:
    """Render the link to the documentation of the current scenario."""
    scenario = scenario_of(_namespace(context))
    return {"page": pages()[scenario.guide] if scenario else None}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Render one symbol of ``icons.svg``, hidden from screen readers."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("demo/icons.svg"),
        name,
    )


@register.simple_tag
def avatar(user: User) -> SafeString:
    """Render the initials of ``user`` on a colour that stays the same for this user."""
    initials = f"{user.first_name[:1]}{user.last_name[:1]}".strip() or user.username[:2].upper()
    return format_html(
        '<span class="avatar avatar--{}" aria-hidden="true">{}</span>', user.pk % _TINTS, initials
    )


@register.inclusion_tag("demo/_source.html")
def source(path: str) -> dict[str, Any]:
    """Render source code of this site, read from the file.

    ``{% source "package.module.name" %}`` renders a function or class,
    ``{% source "static/demo/lab.js" %}`` a whole file.
    """
    file, code = source_of(path)
    return {"file": file, "code": code}


@register.simple_block_tag
def code(content: str, language: str) -> SafeString:
    """Render the code between the tags highlighted.

    It uses only classes, because the page's policy forbids inline styles.
    """
    return highlighted(content, language)


def _namespace(context: dict[str, Any]) -> str:
    match = context["request"].resolver_match
    return match.app_name if match else ""
