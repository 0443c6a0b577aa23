"""What a page needs of the app: its files, the bell, the number of unread notifications.

{% load sse_notify %}
{% sse_notify_assets %}          in the head, once
{% sse_notify_widget %}          where the bell goes
{% sse_notify_unread_count %}    the number alone
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import template
from django.conf import settings  # noqa: TID251  (CSRF_HEADER_NAME is Django's)
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from sse_notify import inbox, log
from sse_notify.access.openings import user_key
from sse_notify.models import Notification, iso

if TYPE_CHECKING:
    from datetime import datetime

    from django.template.context import Context
    from django.utils.safestring import SafeString

register = template.Library()

#: Items in the panel if the tag does not say; the rest is on the list page.
PANEL_ITEMS = 20


@register.simple_tag(takes_context=True)
def sse_notify_assets(context: Context) -> SafeString:
    """Return the stylesheet's link and the script's tag, with ``csp_nonce`` of the context if there is one.

    Nothing is inline, so ``style-src 'self'; script-src 'self'`` is enough, with or without a nonce.
    """
    nonce = context.get("csp_nonce") or ""
    attribute = format_html(' nonce="{}"', str(nonce)) if nonce else ""
    return format_html(
        '<link rel="stylesheet" href="{}"{}>\n<script type="module" src="{}"{}></script>',
        static("sse_notify/sse-notify.css"),
        attribute,
        static("sse_notify/sse-notify.js"),
        attribute,
    )


@register.inclusion_tag("sse_notify/widget.html", takes_context=True)
def sse_notify_widget(
    context: Context,
    limit: int = PANEL_ITEMS,
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
        context: of a page that is rendered with its request, whose user it is; ``user`` counts only where there is no request.
        limit: items in the panel.
        badge: what the badge counts, "unread" or "unseen".
        toasts: "on", "off", or "urgent": for warnings and errors alone.
        external: whether notifications may link to other sites. Their text is shown anyway.
        desktop: whether the panel offers notifications of the desktop, for when the page is hidden.
        sound: "on" for a short tone with what arrives, the address of a sound file, or "" for none.
        title_badge: whether the page's title begins with the badge's number.

    Raises:
        ValueError: an argument is none of these.
    """
    if badge not in ("unread", "unseen"):
        raise ValueError(f"badge: 'unread' or 'unseen' is needed, not {badge!r}")
    if toasts not in ("on", "off", "urgent"):
        raise ValueError(f"toasts: 'on', 'off' or 'urgent' is needed, not {toasts!r}")
    for name, value in (("external", external), ("desktop", desktop), ("title_badge", title_badge)):
        if not isinstance(value, bool):
            raise ValueError(f"{name}: True or False is needed, not {value!r}")
    if sound not in ("", "on") and not str(sound).startswith(("/", "https://", "http://")):
        raise ValueError(f"sound: 'on' or the address of a sound file is needed, not {sound!r}")
    user = _user(context)
    if user is None:
        return {"shown": False}
    # Before the items: what arrives while they are read comes once more with the stream, which starts at this cursor.
    state = inbox.state(user)
    # One more, to know whether there are older ones.
    found = list(Notification.objects.using(log.database()).visible_to(user).newest(limit + 1))
    items = found[:limit]
    return {
        "shown": True,
        "request": _request(context),
        "csp_nonce": context.get("csp_nonce"),
        "uid": _uid(context),
        "user_key": user_key(user.pk),
        "state": state,
        "items": items,
        "next": items[-1].pk if len(found) > len(items) > 0 else None,
        "categories": sorted({item.category for item in items} - {""}),
        "badge": badge,
        "count": state.unread if badge == "unread" else state.unseen,
        "toasts": toasts,
        "limit": limit,
        "external": external,
        "desktop": desktop,
        "sound": sound,
        "title_badge": title_badge,
        # From the name in the WSGI environment to the header's own; case does not matter in a header.
        "csrf_header": settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-"),
    }


@register.simple_tag(takes_context=True)
def sse_notify_unread_count(context: Context) -> int:
    """Return how many notifications of the page's user are unread, 0 for an anonymous visitor."""
    user = _user(context)
    return inbox.unread_count(user) if user is not None else 0


@register.simple_tag(takes_context=True)
def sse_notify_href(context: Context, address: str, *, own: bool = False) -> str:
    """Return ``address`` if a notification may link there, "" otherwise: the script's rules for live items are the same.

    That is http and https, on this site unless the widget was made with ``external=True``, and never with a user name in it, which
    dresses up another site's address.

    Args:
        context: of the widget or the list page.
        address: relative or absolute.
        own: whether it must be on this site in any case, as where a CSRF token goes.
    """
    if not address:
        return ""
    request = _request(context)
    hosts = {request.get_host()} if request is not None else set()
    if url_has_allowed_host_and_scheme(
        address, hosts, require_https=request is not None and request.is_secure()
    ):
        return address
    if own or not context.get("external"):
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:  # half an IPv6 address
        return ""
    return (
        address
        if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        else ""
    )


@register.filter
def sse_notify_iso(moment: datetime | None) -> str:
    """Return a moment as live items have it, for the script to read: ISO text, with its distance from UTC. What is none is ""."""
    return (iso(moment) if moment else None) or ""


@register.filter
def sse_notify_progress(progress: Any) -> str:
    """Return what is known of long work in words: how it ended, how far it is, its stage, its message.

    Args:
        progress: the ``progress`` of an item's ``data``: ``{state, percent, stage, message}``, each of them optional. What is not
            of this shape is "".
    """
    if not isinstance(progress, dict):
        return ""
    ends = {
        "done": _("Done"),
        "failed": _("Failed"),
        "cancelled": _("Cancelled"),
        "stalled": _("Stalled"),
    }
    state, percent = progress.get("state"), progress.get("percent")
    parts = [
        ends.get(state, "") if isinstance(state, str) else "",
        f"{math.floor(percent)}%"
        if isinstance(percent, (int, float)) and math.isfinite(percent)
        else "",
        progress.get("stage"),
        progress.get("message"),
    ]
    return " · ".join(str(part) for part in parts if part)


def _request(context: Context) -> Any:
    """Return the request that the page answers, ``None`` if it answers none.

    A variable counts where the context knows no request, and only if it is one: a page about leave requests has its own ``request``.
    """
    request = getattr(context, "request", None) or context.get("request")
    return request if hasattr(request, "get_host") else None


def _user(context: Context) -> Any:
    """Return the user who is signed in, or ``None``.

    Where there is a request, its user and no other: the context's ``user`` is also what Django's ``DetailView`` calls the user that a
    page is about, and whoever looks at that page must not see that user's notifications.
    """
    request = _request(context)
    user = getattr(request, "user", None) if request is not None else context.get("user")
    return user if user is not None and user.is_authenticated else None


def _uid(context: Context) -> str:
    """Return a prefix for ids that no other widget of this page has."""
    request = _request(context)
    number = getattr(request, "_sse_notify_widgets", 0) + 1
    if request is not None:
        request._sse_notify_widgets = number
    return f"ssen-{number}"
