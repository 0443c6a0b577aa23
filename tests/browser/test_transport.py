"""The bell with the browser's own ``EventSource`` as its transport: all that it does with ``fetch``, but what no ``EventSource`` can."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser import test_progress as progress
from tests.browser import test_scenarios_arrival as arrival
from tests.browser import test_scenarios_network as network
from tests.browser import test_scenarios_tabs as tabs
from tests.browser import test_trouble as trouble
from tests.support.desk import GUARD, Desk, badge, kinds, requests, titles
from tests.support.site import Site

STREAM = "**/notifications/stream/**"


@pytest.fixture(autouse=True)
def by_event_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page with the bell uses an ``EventSource``."""
    monkeypatch.setattr(Desk, "path", "/?transport=eventsource")


@pytest.mark.parametrize(
    "scenario",
    [
        network.test_a_stream_that_says_nothing_any_more_is_opened_again,
        network.test_what_is_too_large_to_be_read_is_in_the_list_all_the_same,
        network.test_behind_a_proxy_that_holds_streams_back_the_bell_polls_until_they_flow,
        network.test_an_event_that_breaks_off_is_shown_once_after_the_way_back,
        pytest.param(
            arrival.test_two_hundred_at_once_are_one_batch_a_frame_one_announcement_and_a_right_badge,
            marks=pytest.mark.chromium("layouts are counted by the developer tools"),
        ),
        tabs.test_two_changes_between_two_looks_at_the_log_are_both_shown,
        progress.test_an_event_of_the_projects_that_has_the_name_of_ours_moves_no_bar,
        trouble.test_a_stream_that_is_forbidden_is_not_called_a_logout,
    ],
)
def test_what_the_bell_does_with_fetch_it_does_with_an_event_source(
    scenario: Callable[[Desk, Page], None], desk: Desk, page: Page
) -> None:
    opened = kinds(page)
    scenario(desk, page)
    assert opened[0] == "eventsource"


@pytest.mark.chromium("the cache for Back and Forward is switched on")
def test_a_page_that_is_left_catches_up_on_the_way_back(desk: Desk, browser: Browser) -> None:
    tabs.test_a_page_that_is_left_keeps_no_stream_and_catches_up_on_the_way_back(desk, browser)


def test_whoever_signs_in_next_sees_nothing_of_the_one_before(
    desk: Desk, context: BrowserContext, page: Page
) -> None:
    tabs.test_whoever_signs_in_next_in_this_browser_sees_nothing_of_the_one_before(
        desk, context, page
    )


def test_a_restart_with_refusals_loses_nothing(site: Site, page: Page) -> None:
    network.test_a_restart_with_refusals_loses_nothing(site, page)


#: Notes what a page hears: each event under its name and topic, with its data and whether it has an id. Waits for the stream with the topic.
HEAR = """() => {
  window.heard = [];
  const { client } = document.querySelector("sse-notify");
  client.on("event", ({ event, topic, data, id }) => heard.push([event, topic ?? null, data, id !== null]));
  const opened = new Promise((resolve) => client.on("state", ({ state }) => state === "open" && resolve()));
  client.eventSource("wall");
  return opened;
}"""


def test_events_of_any_name_and_topic_arrive_whole(desk: Desk, page: Page) -> None:
    opened = kinds(page)
    desk.open(page)
    page.evaluate(HEAR)
    said = [
        ("wall", None, "one\ntwo\n\n\u2028three \ufeff"),
        ("moved", "wall", "{}"),
        ("next", "wall", '{"event": "other"}'),  # the name of what tells names
        ("message", "wall", ""),
        ("error", "wall", "no error of the connection"),
        ("open", "wall", "x"),
    ]
    for event, topic, data in said:
        desk.site.send(
            desk.server, "publish", topic="wall", data=data, event=event if topic else None
        )
    desk.send("Paid", event="order.paid")
    badge(page, "1")
    titles(page, ["Paid"])
    heard = page.evaluate("heard")
    assert heard[:-1] == [[event, topic, data, False] for event, topic, data in said]
    assert heard[-1][:2] == ["order.paid", None]
    assert set(opened) == {"eventsource"}


def test_a_logout_ends_it_for_good(desk: Desk, context: BrowserContext, page: Page) -> None:
    desk.open(page)
    opened = kinds(page)
    context.request.post(desk.url + "/logout/")
    desk.wait(page, "unauthorized")
    assert opened == [], "the stream said why it ended"
    desk.open(page)
    context.clear_cookies()
    page.evaluate("document.querySelector('sse-notify').client.stop()")
    page.evaluate("document.querySelector('sse-notify').client.start()")
    desk.wait(page, "unauthorized")
    assert opened[-2:] == ["eventsource", "fetch"], "the second learned the status"


@pytest.mark.parametrize("code", [404, 500, 503, 204])
def test_a_refusal_has_its_status(desk: Desk, page: Page, code: int) -> None:
    page.route(STREAM, lambda route: route.fulfill(status=code))
    desk.open(page, connection="stopped" if code == 204 else "waiting")
    page.unroute(STREAM)
    if code != 204:
        desk.wait(page, "open")
        desk.send("One")
        badge(page, "1")


def test_what_the_event_source_cannot_open_fetch_does(desk: Desk, page: Page) -> None:
    """As where a content blocker refuses it, or a server comes back between the two."""

    def refuse(route: Route) -> None:
        if "transport=eventsource" in route.request.url:
            route.abort()
        else:
            route.continue_()

    page.route(STREAM, refuse)
    desk.open(page)
    desk.send("One")
    badge(page, "1")


def test_what_asks_why_it_cannot_be_opened_stays_on_its_origin(desk: Desk, page: Page) -> None:
    page.add_init_script(
        "const own = fetch; window.modes = [];"
        "window.fetch = (url, init) => (`${url}`.includes('/stream/') && modes.push(init?.mode), own(url, init));"
    )
    page.route(STREAM, lambda route: route.fulfill(status=503))
    desk.open(page, connection="waiting")
    page.wait_for_function("modes.length > 0", timeout=GUARD)
    assert set(page.evaluate("modes")) == {"same-origin"}


def test_what_opens_it_is_taken_from_the_scripts_own_origin_alone(desk: Desk, page: Page) -> None:
    file = "/static/sse_notify/sse-notify-eventsource.js"
    elsewhere = desk.url.replace("127.0.0.1", "localhost")  # the same server, another origin
    loads = requests(page, "sse-notify-eventsource")
    data = "data:text/javascript,globalThis.hacked=1;export const open=fetch"
    page.route("**" + file, lambda route: route.fulfill(status=404))
    desk.open(page, connection="waiting")
    for address in (elsewhere + file, elsewhere[5:] + file, data, "blob:x"):
        failed = page.evaluate(
            """async (eventSource) => {
              const { SseNotifyClient } = await import(document.querySelector("script[src*=sse-notify]").src);
              const urls = { stream: "/notifications/stream/" };
              const client = new SseNotifyClient({ urls, eventSource, transport: "eventsource", share: false });
              const error = await new Promise((resolve) => {
                client.on("error", resolve);
                client.start();
              });
              client.stop();
              return error.name;
            }""",
            address,
        )
        assert failed == "TypeError", address
    assert {url.partition("#")[0] for url in loads} == {desk.url + file}
    assert page.evaluate("globalThis.hacked") is None


def test_a_browser_whose_fetch_cannot_stream_uses_it_by_itself(
    desk: Desk, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "path", "/")
    page.add_init_script("Object.defineProperty(Response.prototype, 'body', { get() {} })")
    opened = kinds(page)
    desk.open(page)
    desk.send("One")
    badge(page, "1")
    assert opened == ["eventsource"]


def test_nothing_more_is_loaded_where_fetch_opens_the_stream(
    desk: Desk, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "path", "/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened = kinds(page)
    desk.open(page)
    desk.send("One")
    badge(page, "1")
    expect(page.locator("sse-notify[data-transport]")).to_have_count(0)
    assert opened == ["fetch"]
    assert not any("eventsource" in url for url in asked)
