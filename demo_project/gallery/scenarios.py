"""The scenarios of the gallery, which apps describe in their configs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from django.apps import apps
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

#: The headings of the menu, in order.
SENDING = _("Ways to send")
STREAMS = _("Streams of every kind")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One page of the gallery, the attribute ``scenario`` of an app's ``AppConfig``."""

    name: _StrPromise
    """A word or two, for the menu."""
    summary: _StrPromise
    """One sentence, for the card."""
    sends: str
    """The code that it uses to send, shown as the card's tag."""
    url_name: str
    """The URL name of its page."""
    icon: str
    """The name of a symbol in ``static/demo/icons.svg``."""
    guide: str
    """The page of the documentation, for example ``"how-to/define-a-topic"``."""
    heading: _StrPromise = SENDING
    """Its heading in the menu."""
    public: bool = False
    """Whether visitors without an account may open it. The view decides."""
    staff: bool = False
    """Whether only staff may open it. The view decides."""

    @property
    def namespace(self) -> str:
        """The part of the site that it covers."""
        return self.url_name.partition(":")[0]


@cache
def scenarios() -> tuple[Scenario, ...]:
    """Return all scenarios, in the order of ``INSTALLED_APPS``."""
    found = (getattr(config, "scenario", None) for config in apps.get_app_configs())
    return tuple(scenario for scenario in found if isinstance(scenario, Scenario))


def by_heading() -> list[tuple[_StrPromise, list[Scenario]]]:
    """Return the headings of the menu, each with its scenarios."""
    return [
        (heading, list(members))
        for heading, members in groupby(scenarios(), key=lambda scenario: scenario.heading)
    ]


def scenario_of(namespace: str) -> Scenario | None:
    """Return the scenario that covers a part of the site, if any."""
    return next((scenario for scenario in scenarios() if scenario.namespace == namespace), None)
