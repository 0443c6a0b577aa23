"""Who may watch the prices, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_notify import topic

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

#: The rates to choose from, in updates a second.
RATES = (2, 20, 100)


def topic_of(rate: int) -> str:
    """Return the name of the topic with ``rate`` updates a second."""
    return f"ticker.{rate}"


@topic("ticker.<int:rate>", public=True)
def can_watch(user: User | AnonymousUser, rate: int) -> bool:
    """Admit everybody, at the existing rates.

    Each rate is a separate topic, so the server sends a client only the rate that it chose.
    """
    return rate in RATES
