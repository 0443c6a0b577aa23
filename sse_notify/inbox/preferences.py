"""Muted categories: their notifications are kept and listed, but neither counted nor announced.

    mute()      writes a row per category and user; after the commit, all processes check the user's
                open streams again
    streams     send an event of a muted category as ``silent`` and ``muted``; they leave out no
                event, because a stream must not skip a number

Muting does not change notifications: those that were unread before are unread again after unmuting.
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
from sse_notify.log.announcing import locked_inbox
from sse_notify.log.sequence import database, writing
from sse_notify.models import Mute
from sse_notify.models.notification import fetch
from sse_notify.models.querysets import NotificationQuerySet, User
from sse_notify.models.reading import read_text
from sse_notify.notifications.validation import check_text
from sse_notify.topics import has_inbox, user_topic

#: The number of newest notifications whose categories are listed.
CATEGORIES_OF = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """One category and whether the user has muted it."""

    category: str
    """Its name."""
    label: str | Promise
    """The name that users see."""
    description: str | Promise = ""
    """A description for users."""
    required: bool = False
    """Whether nobody can mute it."""
    muted: bool = False
    """Whether the user has muted it."""


def mute(user: User, *categories: str) -> None:
    """Mute ``categories`` for ``user``: do not announce or count their notifications.

    Open pages change after the commit of the current transaction. Categories that are already muted
    do not change.

    Args:
        user: the user who mutes.
        categories: the names of the categories.

    Raises:
        TypeError, ValueError: an argument is invalid, or the project requires one of the
            categories. The message names it. Nothing is written.
    """
    wanted = _check(user, categories)
    if required := sorted(wanted & get_settings().required):
        raise ValueError(f"categories must not have {required[0]!r}, which SSE_NOTIFY requires.")
    _change(user, mute=wanted, unmute=set())


def unmute(user: User, *categories: str) -> None:
    """Announce and count ``categories`` for ``user`` again. Unread notifications are unread again.

    Args and errors as for :func:`mute`, except that required categories are allowed.
    """
    _change(user, mute=set(), unmute=_check(user, categories))


def choose(user: User, heard: Iterable[str], among: Iterable[str]) -> None:
    """Mute the categories in ``among`` that are not in ``heard``, and unmute the rest of ``among``.

    Required categories are never muted.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it. Nothing is written.
    """
    listed, kept = _check(user, among), _check(user, heard)
    silent = listed - kept - get_settings().required
    _change(user, mute=silent, unmute=listed - silent)


def muted_categories(user: User) -> list[str]:
    """Return the categories that ``user`` has muted, sorted; [] for an anonymous visitor."""
    key: Any = user.pk if has_inbox(user) else None
    mutes = Mute.objects.using(database()).filter(user_id=key)
    return sorted({*mutes.values_list("category", flat=True)} - get_settings().required)


def recent_categories(user: User) -> set[str]:
    """Return the categories of the newest 200 of the inbox, so that long inboxes stay fast."""
    return categories_of(marks.visible(user).newest(CATEGORIES_OF))


def categories_of(rows: NotificationQuerySet[Any]) -> set[str]:
    """Return the categories of ``rows``."""
    return {*map(read_text, fetch(rows.values_list("category", flat=True)))} - {""}


def label_of(category: str) -> str:
    """Return what users read for ``category``: its ``label`` in the settings, or its name."""
    return str(get_settings().CATEGORIES.get(category, {}).get("label") or category)


def preferences(user: User) -> list[Preference]:
    """Return all categories that ``user`` sees: those of the settings, then others in the inbox."""
    listed: dict[str, Any] = dict(get_settings().CATEGORIES)
    muted = muted_categories(user)
    for category in sorted(recent_categories(user).union(muted)):
        listed.setdefault(category, {})
    return [
        Preference(
            **{**about, "label": label_of(category)},
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
    with writing(reads=False) as using:
        locked_inbox(user.pk, using)  # two requests with the same rows could deadlock
        mutes = Mute.objects.using(using).filter(user_id=user.pk)
        before = set(mutes.values_list("category", flat=True))
        new, gone = mute - before, unmute & before
        rows = [Mute(user_id=user.pk, category=category) for category in sorted(new)]
        mutes.bulk_create(rows, ignore_conflicts=True)
        if gone:
            mutes.filter(category__in=gone).delete()
        if new or gone:
            ring_on_commit(Revocation(topics=(user_topic(user.pk),)), using)
