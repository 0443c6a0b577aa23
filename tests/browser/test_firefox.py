"""What networks, servers and users do, in Mozilla's Firefox. ``make firefox`` runs all other browser tests there, too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser import test_client as client
from tests.browser import test_marks as marks
from tests.browser import test_scenarios_network as network
from tests.browser import test_scenarios_tabs as tabs
from tests.browser import test_transport as transport
from tests.support.desk import Desk
from tests.support.site import Site


@pytest.fixture(scope="module")
def engine() -> str:
    """Firefox, whatever ``BROWSER`` says."""
    return "firefox"


@pytest.mark.parametrize("by", ["fetch", "eventsource"])
@pytest.mark.parametrize(
    "scenario",
    [
        network.test_a_stream_that_says_nothing_any_more_is_opened_again,
        network.test_behind_a_proxy_that_holds_streams_back_the_bell_polls_until_they_flow,
        network.test_an_event_that_breaks_off_is_shown_once_after_the_way_back,
        marks.test_a_toast_marks_as_read_whatever_the_list_shows,
    ],
)
def test_the_bell_does_what_it_does_in_chromium(
    scenario: Callable[[Desk, Page], None],
    by: str,
    desk: Desk,
    page: Page,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Desk, "path", f"/?transport={by}")
    scenario(desk, page)


@pytest.mark.parametrize(
    "scenario",
    [
        network.test_a_session_that_ends_stops_every_tab_at_once_and_for_good,
        tabs.test_whoever_signs_in_next_in_this_browser_sees_nothing_of_the_one_before,
    ],
)
def test_so_it_does_in_several_tabs(
    scenario: Callable[[Desk, BrowserContext, Page], None],
    desk: Desk,
    context: BrowserContext,
    page: Page,
) -> None:
    scenario(desk, context, page)


def test_tabs_share_one_stream_and_lose_nothing_when_the_server_restarts(
    site: Site, context: BrowserContext
) -> None:
    client.test_tabs_share_one_stream_and_lose_nothing_when_the_server_restarts(site, context)


def test_events_of_any_name_and_topic_arrive_whole(
    desk: Desk, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "path", "/?transport=eventsource")
    transport.test_events_of_any_name_and_topic_arrive_whole(desk, page)
