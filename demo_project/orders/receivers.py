"""Publish each change of an order to the pages that watch it, wherever it was saved."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

from demo_project.orders.models import Order
from sse_notify import publish


@receiver(post_save, sender=Order)
def tell_who_watches(instance: Order, **kwargs: Any) -> None:
    """Publish the state of the order after the commit."""
    event = instance.as_event()
    transaction.on_commit(
        lambda: publish(f"order.{instance.pk}", event, event="order"), robust=True
    )
