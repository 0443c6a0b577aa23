"""Template tags for the script and stylesheet, the widget, and the number of unread notifications.

{% load sse_notify %}
{% sse_notify_assets %}          in the head, once
{% sse_notify_widget %}          the bell with its panel
{% sse_notify_unread_count %}    only the number
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
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sse_notify.access.openings import user_key
from sse_notify.conf import get_settings
from sse_notify.inbox import marks
from sse_notify.inbox.preferences import label_of
from sse_notify.models import iso
from sse_notify.models.paging import Place
from sse_notify.sse.format import shown
from sse_notify.topics import has_inbox
from sse_notify.views.forms import MAX_PAGE

register = template.Library()
register.filter("sse_notify_category", label_of)

_CORNERS = ("bottom-end", "bottom-start", "top-end", "top-start")
_ENDS = {"done": _("Done"), "failed": _("Failed")}
_ENDS |= {"cancelled": _("Cancelled"), "stalled": _("Stalled")}


@register.simple_tag(takes_context=True)
def sse_notify_assets(context: Context) -> SafeString:
    """Return the tags of the stylesheet and the script, with the context's ``csp_nonce`` if any.

    Nothing is inline, so the policy ``style-src 'self'; script-src 'self'`` needs no nonce. A
    script of another host has ``crossorigin``, as modules are always requested with CORS.
    """
    nonce = str(context.get("csp_nonce") or "")
    script = static("sse_notify/sse-notify.js")
    return format_html(
        '<link rel="stylesheet" href="{style}"{nonce}>\n'
        '<script type="module" src="{script}"{crossorigin}{nonce}></script>',
        style=static("sse_notify/sse-notify.css"),
        script=script,
        crossorigin=" crossorigin" if urlsplit(script).netloc else "",
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
    position: str = "bottom-end",
    transport: str = "fetch",
) -> dict[str, Any]:
    """Render the bell and its panel for the signed-in user; nothing for an anonymous visitor.

    Args:
        context: the page's context. The user comes from its request, or from ``user`` if the
            context has no request.
        limit: the most items in the panel, 1 to 100; the list page shows the rest.
        badge: what the badge counts, "unread" or "unseen".
        toasts: "on", "off", or "urgent": only for warnings and errors.
        external: whether notifications may link to other sites. Their text is shown anyway.
        desktop: whether the panel offers desktop notifications, for when the page is hidden.
        sound: "on" for a short tone at each notification, the URL of a sound file, or "" for none.
        title_badge: whether the page's title begins with the badge's number.
        position: the corner of the window for the toasts, "bottom-end", "bottom-start", "top-end"
            or "top-start". Where text runs from right to left, the end is on the left.
        transport: what opens the stream in the browser: "fetch", or "eventsource" for the browser's
            own ``EventSource``.

    Raises:
        ValueError: an argument is none of these.
    """
    if type(limit) is not int or not 1 <= limit <= MAX_PAGE:  # True is an int
        raise ValueError(f"limit must be a whole number from 1 to {MAX_PAGE}, not {limit!r}.")
    options = {"external": external, "desktop": desktop, "title_badge": title_badge}
    for name, value in options.items():
        _check(name, value, True, False)  # noqa: FBT003
    _check("badge", badge, "unread", "unseen")
    _check("toasts", toasts, "on", "off", "urgent")
    _check("position", position, *_CORNERS)
    _check("transport", transport, "fetch", "eventsource")
    is_text = isinstance(sound, (str, Promise))
    is_file = is_text and str(sound).startswith(("/", "https://", "http://"))
    if sound not in ("", "on") and not is_file:
        raise ValueError(f"sound must be 'on' or the address of a sound file, not {shown(sound)}.")
    user = _user(context)
    if user is None:
        return {"shown": False}
    # Read the state before the items: the stream starts at this cursor, so nothing is missed.
    state = marks.state(user)
    items, following = marks.page(marks.visible(user), limit, Place.top(state.cursor))
    used = {item.category for item in items} - {""}
    return {
        "shown": True,
        "request": _request(context),
        "csp_nonce": context.get("csp_nonce"),
        "uid": _uid(context),
        "user_key": user_key(user.pk),
        "state": state,
        "items": items,
        "next": following.token if following else None,
        # The script shows the hidden ones when an item of theirs arrives, and reads their labels.
        "categories": sorted({*get_settings().CATEGORIES, *used}),
        "used": used,
        "badge": badge,
        "count": state.unread if badge == "unread" else state.unseen,
        "toasts": toasts,
        "position": position,
        "transport": transport,
        "limit": limit,
        "sound": sound,
        "live": get_settings().LIVE,
        **options,
        # Convert the name in ``request.META`` to the header's name.
        "csrf_header": settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-"),
    }


@register.simple_tag(takes_context=True)
def sse_notify_unread_count(context: Context) -> int:
    """Return the signed-in user's number of unread notifications, 0 for an anonymous visitor."""
    return marks.unread_count(user) if (user := _user(context)) else 0


@register.simple_tag(takes_context=True)
def sse_notify_href(context: Context, address: object, *, own: bool = False) -> str:
    """Return ``address`` if a notification may link there, "" otherwise.

    It may link to http and https URLs: on this site only, unless the widget has ``external=True``.
    A URL with a user name is refused, because it can look like another site. The script applies the
    same rules to live items.

    Args:
        context: the context of the widget or the list page.
        address: a relative or absolute URL. What is not text is refused, too.
        own: whether it must be on this site in any case, such as for a form with a CSRF token.
    """
    address = str(address) if isinstance(address, (str, Promise)) else ""
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
    except ValueError:  # an incomplete IPv6 address
        return ""
    is_plain = parts.hostname and "@" not in parts.netloc and parts.scheme in ("http", "https")
    return address if is_plain else ""


@register.filter
def sse_notify_iso(moment: datetime | None) -> str:
    """Return ISO 8601 text with the UTC offset, as live items have it; "" for ``None``."""
    return iso(moment or None) or ""


@register.filter
def sse_notify_progress(progress: Any) -> str:
    """Return the progress of long work as text: final state, percentage, stage and message.

    Args:
        progress: an item's ``progress``: ``{state, percent, stage, message}``, each optional. If it
            is no mapping, the result is "".
    """
    if not isinstance(progress, dict):
        return ""
    parts: list[Any] = [_ENDS.get(str(progress.get("state")))]
    percent: Any = progress.get("percent")
    if isinstance(percent, (int, float)) and 0 <= percent <= 100:
        parts.append(f"{math.floor(percent)}%")
    parts += [progress.get("stage"), progress.get("message")]
    return " · ".join(str(part) for part in parts if part)


def _check(name: str, value: Any, *choices: Any) -> None:
    if value not in choices or not isinstance(value, type(choices[0])):  # 1 == True
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {shown(value)}.")


def _request(context: Context) -> Any:
    """Return the current request, or ``None``.

    The variable ``request`` is used only if it is an HTTP request: a page about leave requests may
    use that name for something else.
    """
    request = getattr(context, "request", None) or context.get("request")
    return request if hasattr(request, "get_host") else None


def _user(context: Context) -> Any:
    """Return the signed-in user, or ``None``.

    If there is a request, only its user counts. On a ``DetailView`` of users, the variable ``user``
    is the user that the page shows, and other visitors must not see that user's notifications.
    """
    request = _request(context)
    user = getattr(request, "user", None) if request else context.get("user")
    return user if has_inbox(user) else None


def _uid(context: Context) -> str:
    """Return a prefix for HTML ids that is unique among the widgets of the page."""
    request = _request(context)
    number = getattr(request, "_sse_notify_widgets", 0) + 1
    if request is not None:
        request._sse_notify_widgets = number
    return f"ssen-{number}"
