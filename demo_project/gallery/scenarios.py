"""What the gallery shows: every app that describes a scenario in its config."""

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


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One page of the gallery. An app gives it as the attribute ``scenario`` of its ``AppConfig``."""

    name: _StrPromise
    """A word or two, for the menu."""
    summary: _StrPromise
    """One sentence, for the card."""
    sends: str
    """How it sends, as code: what the card is tagged with."""
    url_name: str
    """The name of its page's address."""
    icon: str
    """The name of a symbol in ``static/demo/icons.svg``."""
    heading: _StrPromise = SENDING
    """Under what it stands in the menu."""

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
    """Return the headings of the menu with what stands under each."""
    return [(heading, list(members)) for heading, members in groupby(scenarios(), key=lambda scenario: scenario.heading)]
