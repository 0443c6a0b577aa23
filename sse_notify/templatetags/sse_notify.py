"""Template tags for the script and stylesheet, the bell, and the number of unread notifications.

{% load sse_notify %}
{% sse_notify_assets %}          in the head, once
{% sse_notify_widget %}          where the bell goes
{% sse_notify_unread_count %}    the number alone
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django import template
from django.conf import settings  # noqa: TID251  (CSRF_HEADER_NAME is Django's)
from django.template.context import Context
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sse_notify.access.openings import user_key
from sse_notify.inbox import marks
from sse_notify.models import iso
from sse_notify.models.paging import Place

register = template.Library()

_ENDS = {"done": _("Done"), "failed": _("Failed")}
_ENDS |= {"cancelled": _("Cancelled"), "stalled": _("Stalled")}


@register.simple_tag(takes_context=True)
def sse_notify_assets(context: Context) -> SafeString:
    """Return the tags of the stylesheet and the script, with the context's ``csp_nonce`` if any.

    Nothing is inline: ``style-src 'self'; script-src 'self'`` is enough, with or without a nonce.
    """
    nonce = str(context.get("csp_nonce") or "")
    return format_html(
        '<link rel="stylesheet" href="{style}"{nonce}>\n'
        '<script type="module" src="{script}"{nonce}></script>',
        style=static("sse_notify/sse-notify.css"),
        script=static("sse_notify/sse-notify.js"),
        nonce=format_html(' nonce="{}"', nonce) if nonce else "",
    )


@register.inclusion_tag("sse_notify/widget.html", takes_context=True)
def sse_notify_widget(
    context: Context,
    limit: int = 20,
    badge: str = "unread",
    toasts: str = "on",
    *,
    external: bool = False,
    desktop: bool = False,
    sound: str = "",
    title_badge: bool = False,
) -> dict[str, Any]:
    """Render the bell and its panel for the user of the page; nothing for an anonymous visitor.

    Args:
        context: the page's. Its request says who the user is; ``user`` counts only without one.
        limit: items in the panel; the rest is on the list page.
        badge: what the badge counts, "unread" or "unseen".
        toasts: "on", "off", or "urgent": for warnings and errors alone.
        external: whether notifications may link to other sites. Their text is shown anyway.
        desktop: whether the panel offers notifications of the desktop, for when the page is hidden.
        sound: "on" for a short tone with what arrives, the address of a sound file, or "" for none.
        title_badge: whether the page's title begins with the badge's number.

    Raises:
        ValueError: an argument is none of these.
    """
    options = {"external": external, "desktop": desktop, "title_badge": title_badge}
    for name, value in options.items():
        _check(name, value, True, False)  # noqa: FBT003
    _check("badge", badge, "unread", "unseen")
    _check("toasts", toasts, "on", "off", "urgent")
    if sound not in ("", "on") and not str(sound).startswith(("/", "https://", "http://")):
        raise ValueError(f"sound must be 'on' or the address of a sound file, not {sound!r}.")
    user = _user(context)
    if user is None:
        return {"shown": False}
    # Before the items: the stream starts at this cursor, and repeats what arrives meanwhile.
    state = marks.state(user)
    items, following = marks.page(marks.visible(user), limit, Place.top(state.cursor))
    return {
        "shown": True,
        "request": _request(context),
        "csp_nonce": context.get("csp_nonce"),
        "uid": _uid(context),
        "user_key": user_key(user.pk),
        "state": state,
        "items": items,
        "next": following.token if following else None,
        "categories": sorted({item.category for item in items} - {""}),
        "badge": badge,
        "count": state.unread if badge == "unread" else state.unseen,
        "toasts": toasts,
        "limit": limit,
        "sound": sound,
        **options,
        # From the name in the WSGI environment to that of the header, in which case is ignored.
        "csrf_header": settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-"),
    }


@register.simple_tag(takes_context=True)
def sse_notify_unread_count(context: Context) -> int:
    """Return how many notifications of the page's user are unread, 0 for an anonymous visitor."""
    return marks.unread_count(user) if (user := _user(context)) else 0


@register.simple_tag(takes_context=True)
def sse_notify_href(context: Context, address: str, *, own: bool = False) -> str:
    """Return ``address`` if a notification may link there, "" otherwise.

    It may link to http and https, on this site unless the widget was made with ``external=True``.
    An address with a user name is refused, as that can look like another site. The script has the
    same rules for live items.

    Args:
        context: of the widget or the list page.
        address: relative or absolute.
        own: whether it must be on this site in any case, as where a CSRF token goes.
    """
    if not address:
        return ""
    request = _request(context)
    host, is_secure = (request.get_host(), request.is_secure()) if request else (None, False)
    if url_has_allowed_host_and_scheme(address, host, require_https=is_secure):
        return address
    if own or not context.get("external"):
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:  # half an IPv6 address
        return ""
    is_plain = parts.hostname and "@" not in parts.netloc and parts.scheme in ("http", "https")
    return address if is_plain else ""


@register.filter
def sse_notify_iso(moment: datetime | None) -> str:
    """Return a moment as ISO text with its offset from UTC, as live items have it; "" for none."""
    return iso(moment or None) or ""


@register.filter
def sse_notify_progress(progress: Any) -> str:
    """Return the progress of long work in words: its end, its percentage, its stage, its message.

    Args:
        progress: the ``progress`` of an item's ``data``: ``{state, percent, stage, message}``, each
            optional. For anything else the result is "".
    """
    if not isinstance(progress, dict):
        return ""
    parts: list[Any] = [_ENDS.get(str(progress.get("state")))]
    percent: Any = progress.get("percent")
    if isinstance(percent, (int, float)) and math.isfinite(percent):
        parts.append(f"{math.floor(percent)}%")
    parts += [progress.get("stage"), progress.get("message")]
    return " · ".join(str(part) for part in parts if part)


def _check(name: str, value: Any, *choices: Any) -> None:
    if value not in choices or not isinstance(value, type(choices[0])):  # 1 is no True
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}.")


def _request(context: Context) -> Any:
    """Return the request that the page answers, or ``None``.

    The variable ``request`` counts only if it is a request: a page about leave requests may have
    another.
    """
    request = getattr(context, "request", None) or context.get("request")
    return request if hasattr(request, "get_host") else None


def _user(context: Context) -> Any:
    """Return the user who is signed in, or ``None``.

    If there is a request, only its user counts. Django's ``DetailView`` calls the user that a page
    is about ``user``, too, and other users who look at that page must not see the notifications.
    """
    request = _request(context)
    user = getattr(request, "user", None) if request else context.get("user")
    return user if user and user.is_authenticated else None


def _uid(context: Context) -> str:
    """Return a prefix for ids that no other widget of this page has."""
    request = _request(context)
    number = getattr(request, "_sse_notify_widgets", 0) + 1
    if request is not None:
        request._sse_notify_widgets = number
    return f"ssen-{number}"
