"""Categories that a user has muted: kept and listed, but neither counted nor announced.

    mute()      a row for each category and user ... after the commit the user's open streams are looked at again, in every process
    streams     an event of a muted category goes out as ``silent`` and ``muted``; nothing is left out, as no number may be missing

Muting changes no notification: what was unread when its category was muted is unread again when it
no longer is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise

from sse_notify.bus.messages import Revocation
from sse_notify.bus.publisher import ring_on_commit
from sse_notify.concurrency.threadpool import twin
from sse_notify.conf import CATEGORY_LENGTH, get_settings
from sse_notify.inbox import marks
from sse_notify.log.sequence import database, writing
from sse_notify.models import Mute
from sse_notify.models.querysets import NotificationQuerySet, User
from sse_notify.notifications.validation import check_text
from sse_notify.topics import user_topic

#: The newest notifications in which categories are looked for.
CATEGORIES_OF = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """One category, as a user has it."""

    category: str
    """Its name."""
    label: str | Promise
    """What users read."""
    description: str | Promise = ""
    """What it is about."""
    required: bool = False
    """Whether nobody can mute it."""
    muted: bool = False
    """Whether the user has muted it."""


def mute(user: User, *categories: str) -> None:
    """Mute ``categories`` for ``user``: keep and list what is in them, but announce and count none.

    Open pages follow at once, after the commit of the current transaction. What is muted already
    is left alone.

    Args:
        user: whose preference.
        categories: their names.

    Raises:
        TypeError, ValueError: an argument is wrong, or the project requires one of the categories;
        the message names it, and nothing is written.
    """
    wanted = _check(user, categories)
    if required := sorted(wanted & get_settings().required):
        raise ValueError(f"categories must not have {required[0]!r}, which SSE_NOTIFY requires.")
    _change(user, mute=wanted, unmute=set())


def unmute(user: User, *categories: str) -> None:
    """Announce and count ``categories`` for ``user`` again. What was unread is unread again.

    Args and errors as for :func:`mute`, but that a required category is as good as any.
    """
    _change(user, mute=set(), unmute=_check(user, categories))


def choose(user: User, heard: Iterable[str], among: Iterable[str]) -> None:
    """Mute those of the categories ``among`` that are not ``heard``, and no other, in one step.

    What is required is heard anyway.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    listed, kept = _check(user, among), _check(user, heard)
    silent = listed - kept - get_settings().required
    _change(user, mute=silent, unmute=listed - silent)


def muted_categories(user: User) -> list[str]:
    """Return the categories that ``user`` has muted, in order; none for an anonymous visitor."""
    if not user.is_authenticated:
        return []
    mutes = Mute.objects.using(database()).filter(user_id=user.pk)
    return sorted({*mutes.values_list("category", flat=True)} - get_settings().required)


def categories(rows: NotificationQuerySet) -> set[str]:
    """Return the categories of the newest 200 of ``rows``: bounded, however long the inbox."""
    return {*rows.newest(CATEGORIES_OF).values_list("category", flat=True)} - {""}


def preferences(user: User) -> list[Preference]:
    """Return every category that ``user`` can mute: those of the settings, then others in the inbox."""
    listed: dict[str, Any] = dict(get_settings().CATEGORIES)
    muted = muted_categories(user)
    for category in sorted(categories(marks.visible(user)).union(muted)):
        listed.setdefault(category, {})
    return [
        Preference(
            **{**about, "label": about.get("label") or category},
            category=category,
            muted=category in muted,
        )
        for category, about in listed.items()
    ]


amute = twin(mute)
aunmute = twin(unmute)
amuted_categories = twin(muted_categories)


def _check(user: User, categories: Iterable[str]) -> set[str]:
    marks.check_user(user)
    found = {check_text("categories", category, CATEGORY_LENGTH) for category in categories}
    if "" in found:
        raise ValueError("categories must not be empty.")
    return found


def _change(user: Any, *, mute: set[str], unmute: set[str]) -> None:
    using = database()
    mutes = Mute.objects.using(using).filter(user_id=user.pk)
    with writing(using):
        new = mute.difference(mutes.values_list("category", flat=True))
        rows = [Mute(user_id=user.pk, category=category) for category in sorted(new)]
        # Another request of the same user may write the same.
        mutes.bulk_create(rows, ignore_conflicts=True)
        gone, _ = mutes.filter(category__in=unmute).delete()
        if new or gone:
            ring_on_commit(Revocation(topics=(user_topic(user.pk),)), using)
