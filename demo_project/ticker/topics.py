"""Who may watch the prices, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_notify import topic

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

#: Updates a second that one may choose from.
RATES = (2, 20, 100)


def topic_of(rate: int) -> str:
    """Return the name of the topic with so many updates a second."""
    return f"ticker.{rate}"


@topic("ticker.<int:rate>", public=True)
def can_watch(user: User | AnonymousUser, rate: int) -> bool:
    """Let everybody in, at the rates that there are: each is a topic of its own, so the server sends nobody more than they chose."""
    return rate in RATES
