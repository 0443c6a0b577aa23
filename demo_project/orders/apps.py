"""A topic for each object, with a permission check."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class OrdersConfig(AppConfig):
    """Orders that change state while their owner watches."""

    name = "demo_project.orders"
    verbose_name = _("Orders")
    scenario = Scenario(
        name=_("Order status"),
        summary=_(
            "Each order has a topic of its own. Its owner watches it move on; anybody else is refused."
        ),
        sends='@topic("order.<int:pk>")',
        url_name="orders:list",
        icon="parcel",
        heading=STREAMS,
        guide="how-to/define-a-topic",
    )

    def ready(self) -> None:
        """Connect the signal."""
        from demo_project.orders import receivers  # noqa: F401, PLC0415
