"""Orders, and when each of their states was reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User


class State(models.TextChoices):
    """The states of an order, in sequence."""

    PLACED = "placed", _("Placed")
    PAID = "paid", _("Paid")
    PACKED = "packed", _("Packed")
    SHIPPED = "shipped", _("Shipped")
    DELIVERED = "delivered", _("Delivered")


class OrderQuerySet(models.QuerySet["Order"]):
    """Orders, and who may see which."""

    def visible_to(self, user: User) -> OrderQuerySet:
        """Return the orders of ``user``; all orders for staff."""
        return self if user.is_staff else self.filter(owner=user)


class Order(models.Model):
    """One order."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="orders", verbose_name=_("owner")
    )
    item = models.CharField(_("item"), max_length=80)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.PLACED)
    #: By state, when it was reached: {"placed": "2026-11-21T09:30:00+00:00", ...}
    reached = models.JSONField(_("reached"), default=dict)

    objects = OrderQuerySet.as_manager()

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.item

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Record when the state was reached, and save."""
        self.reached.setdefault(self.state, timezone.now().isoformat(timespec="seconds"))
        super().save(*args, **kwargs)

    def move_on(self) -> None:
        """Move to the next state; do nothing after the last one."""
        if self.next_state is not None:
            self.state = self.next_state
            self.save()

    def get_absolute_url(self) -> str:
        """Return the address of the order on the list page."""
        return f"{reverse('orders:list')}#order-{self.pk}"

    @property
    def next_state(self) -> State | None:
        """The next state; ``None`` after the last one."""
        states = list(State)
        return next(iter(states[states.index(State(self.state)) + 1 :]), None)

    def as_event(self) -> dict[str, Any]:
        """Return the data of an event. It is complete, so a page needs no earlier event."""
        return {"pk": self.pk, "reached": self.reached, "is_over": self.next_state is None}

    def timeline(self) -> list[tuple[State, datetime | None]]:
        """Return every state with the time when it was reached, or ``None``."""
        return [(state, parse_datetime(self.reached.get(state.value, ""))) for state in State]
