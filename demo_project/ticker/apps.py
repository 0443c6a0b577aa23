"""Many fast events that nobody stores."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class TickerConfig(AppConfig):
    """Simulated prices, at a rate that the visitor chooses."""

    name = "demo_project.ticker"
    label = "demo_ticker"
    scenario = Scenario(
        name=_("Ticker"),
        summary=_(
            "Simulated prices, up to a hundred updates a second. What does not fit is dropped, and counted."
        ),
        sends="publish(topic, prices)",
        url_name="ticker:ticker",
        icon="ticker",
        heading=STREAMS,
        guide="how-to/define-a-topic",
        public=True,
    )

    def ready(self) -> None:
        """Connect the signals."""
        from demo_project.ticker import publisher  # noqa: F401, PLC0415
