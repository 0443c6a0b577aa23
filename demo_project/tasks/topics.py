"""Who may watch the jobs of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_notify import topic

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def topic_of(pk: int) -> str:
    """Return the name of the topic of a user's jobs."""
    return f"jobs.{pk}"


@topic("jobs.<int:pk>")
def can_watch(user: User, pk: int) -> bool:
    """Return whether the jobs are the user's own."""
    return user.pk == pk
