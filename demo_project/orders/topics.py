"""Who may watch an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_project.orders.models import Order
from sse_notify import topic

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@topic("order.<int:pk>")
def can_watch(user: User, pk: int) -> bool:
    """Return whether the order is the user's own; staff may watch all orders."""
    return Order.objects.visible_to(user).filter(pk=pk).exists()
