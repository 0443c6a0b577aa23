"""The audiences of a broadcast: everyone, staff, or a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sse_notify.topics import EVERYONE_TOPIC, STAFF_TOPIC, Audience, group_topic

if TYPE_CHECKING:
    from django.contrib.auth.models import Group

#: Every user who has an account when reading, and had one when the broadcast was sent.
EVERYONE: Final = Audience.EVERYONE
#: Every user who is staff when reading.
STAFF: Final = Audience.STAFF


def route(audience: Audience | Group) -> tuple[Audience, str, int | None]:
    """Return the audience's kind, its topic, and the group's key if it is a group.

    Raises:
        TypeError, ValueError: it is neither :data:`EVERYONE` nor :data:`STAFF` nor a saved ``Group``.
    """
    from django.contrib.auth.models import Group  # noqa: PLC0415  (needs the apps; this module must not)

    if isinstance(audience, Group):
        if audience.pk is None:
            raise ValueError("audience: the group is not saved")
        return Audience.GROUP, group_topic(audience.pk), audience.pk
    if audience == EVERYONE:
        return Audience.EVERYONE, EVERYONE_TOPIC, None
    if audience == STAFF:
        return Audience.STAFF, STAFF_TOPIC, None
    raise TypeError(f"audience: EVERYONE, STAFF or a Group is needed, not {audience!r}")
