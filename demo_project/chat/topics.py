"""What the other tabs of a user hear: that a conversation has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sse_notify import publish, topic

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@topic("chats.<int:pk>")
def can_watch(user: User, pk: int) -> bool:
    """Return whether the conversations are the user's own."""
    return user.pk == pk


def changed(pk: Any) -> None:
    """Have the open pages of a user ask for the conversations."""
    publish(f"chats.{pk}", {}, event="changed")
