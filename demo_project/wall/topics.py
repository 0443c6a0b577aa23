"""Who may watch the wall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_notify import topic

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


@topic("wall", public=True)
def can_watch(user: User | AnonymousUser) -> bool:
    """Admit everybody. Without ``public`` this is not called for anonymous visitors."""
    return True
