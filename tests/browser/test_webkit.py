"""The bell and the inbox in WebKit: laid out and coloured as in Chromium, light and dark; and its own EventSource."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.test_look import send_all_kinds
from tests.support.desk import Desk, badge
from tests.support.proxy import Proxy
from tests.support.webkit import Window

#: Gives the page its colours, and puts the bell into a bar of a site. A filter makes an element
#: what `position: fixed` is fixed to.
DRESS = """(scheme) => {
  const style = document.head.appendChild(document.createElement("style"));
  style.textContent = `:root { color-scheme: ${scheme} }
    body { block-size: 60px; margin: 0; text-align: end; backdrop-filter: blur(2px) }`;
}"""

#: Rules with ids, of a later layer, and important ones.
HOSTILE = """() => {
  document.body.id = "site";
  document.head.appendChild(document.createElement("style")).textContent = `
    #site sse-notify *, #site sse-notify *::before { color: red; display: block; padding: 9px !important; border: 3px solid red }
    #site sse-notify svg, #site sse-notify path { fill: red; stroke: red; inline-size: 5px !important }
    @layer late { :not(svg, svg *) { all: unset } }`;
}"""

#: Animations have ended.
STILL = "document.getAnimations().every(({ playState }) => playState !== 'running')"

#: The rectangle of the first element that a selector finds: left, top, right, bottom.
RECTANGLE = """(selector) => {
  const { left, top, right, bottom } = document.querySelector(selector).getBoundingClientRect();
  return [left, top, right, bottom];
}"""

#: The computed styles of every element, as text. Not those in which browsers differ by right:
#: controls have a look of their own, and clamped text is displayed under private names.
STYLES = """() => {
  const sides = ["top", "right", "bottom", "left"].flatMap((s) => [`padding-${s}`, `border-${s}`]);
  const elements = document.querySelectorAll("body *:not(script, template, progress, input)");
  return Array.from(elements, (element) => {
    const names = ["color", "background-color", ...sides];
    if (!element.matches(".ssen-body")) names.push("display");
    const style = getComputedStyle(element);
    const text = names.map((name) => `${name}: ${style.getPropertyValue(name)}`).join("; ");
    const rounded = text.replace(/[0-9.]+/g, (number) => +Number(number).toFixed(2));
    return `${element.localName}.${element.getAttribute("class")}: ${rounded}`;
  });
}"""


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    """The colours of the page."""
    return str(request.param)


def open_bell(window: Window, desk: Desk, scheme: str) -> None:
    """Load the page with the bell, in the bar of a site, and wait for its stream."""
    window.open_as(desk)
    window.call(DRESS, scheme)
    window.wait("document.querySelector('sse-notify[data-connection=open]')")


def different(ours: list[str], theirs: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the lines that two lists of styles do not have in common."""
    yield from (pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1])


def size(window: Window) -> ViewportSize:
    """Return how large the page is, in CSS pixels."""
    width, height = window.run("return [innerWidth, innerHeight]")
    return {"width": width, "height": height}


def open_panel(window: Window) -> None:
    """Open the bell's panel."""
    window.run("document.querySelector('[data-ssen=bell]').click()")
    window.wait(f"document.querySelector('.ssen-panel:popover-open') && {STILL}")


def test_toasts_are_as_high_as_their_text_and_in_the_corner_of_the_window(
    window: Window, desk: Desk, scheme: str
) -> None:
    open_bell(window, desk, scheme)
    wide, high = window.run("return [innerWidth, innerHeight]")
    for number in (1, 2, 3):
        desk.send("One", body="Some text")
        window.wait(f"document.querySelectorAll('.ssen-toast').length === {number} && {STILL}")
        toasts = [
            window.call(RECTANGLE, f".ssen-toast:nth-child({nth + 1})") for nth in range(number)
        ]
        for left, top, right, bottom in toasts:
            assert wide - 410 < left < right < wide - 10
            assert 0 < top < bottom < high - 10
            assert 60 < bottom - top < 120
        assert toasts[-1][3] > high - 30


def test_the_list_of_the_panel_is_as_high_as_its_items_until_it_scrolls(
    window: Window, desk: Desk, scheme: str
) -> None:
    window.open_as(desk)
    heights: list[float] = []
    for more in (1, 1, 18):
        for _ in range(more):
            desk.send("One")
        open_bell(window, desk, scheme)
        open_panel(window)
        _, panel_top, _, panel_bottom = window.call(RECTANGLE, "[data-ssen=panel]")
        _, top, _, bottom = window.call(RECTANGLE, "[data-ssen=list]")
        assert 0 < panel_top < top < bottom < panel_bottom < size(window)["height"]
        heights.append(bottom - top)
    one, two, many = heights
    assert one > 50
    assert two > 1.8 * one
    assert 4 * one < many < 10 * one


@pytest.mark.chromium("WebKit is compared with Chromium")
def test_borders_and_colours_are_those_that_chromium_shows(
    window: Window, desk: Desk, page: Page, scheme: str
) -> None:
    open_bell(window, desk, scheme)
    page.set_viewport_size(size(window))
    desk.open(page)
    page.evaluate(DRESS, scheme)
    send_all_kinds(desk)
    badge(page, "6")
    open_panel(window)
    page.locator("[data-ssen=bell]").press("Enter")
    window.wait("document.querySelectorAll('.ssen-list > li').length === 6")
    expect(page.locator(".ssen-list > li")).to_have_count(6)
    found = window.call(STYLES)
    assert len(found) > 200
    assert "; ".join(found).count("border-bottom: 1px solid") > 10
    assert [*different(found, page.evaluate(STYLES))] == []


def test_no_rule_of_a_site_reaches_into_the_widget(window: Window, desk: Desk) -> None:
    window.open_as(desk)
    send_all_kinds(desk)
    open_bell(window, desk, "light")
    open_panel(window)
    window.wait("document.querySelectorAll('.ssen-list > li').length === 6")
    before = window.call(STYLES)
    window.call(HOSTILE)
    found = [pair[1] for pair in different(before, window.call(STYLES))]
    assert [line for line in found if not line.startswith("sse-notify.")] == []
    assert len(found) == 1  # the element itself is the site's


@pytest.mark.chromium("WebKit is compared with Chromium")
@pytest.mark.parametrize("path", ["/notifications/", "/notifications/preferences/"])
def test_the_pages_of_the_inbox_have_the_borders_and_colours_that_chromium_shows(
    window: Window, desk: Desk, page: Page, path: str
) -> None:
    window.open_as(desk, path)
    send_all_kinds(desk)
    window.open(desk.server.url + path)
    page.set_viewport_size(size(window))
    desk.open(page, path, connection="")
    found = window.call(STYLES)
    assert len(found) > 10
    assert [*different(found, page.evaluate(STYLES))] == []


#: Opens the stream with the browser's own EventSource, and collects what comes.
LISTEN = """() => {
  window.got = [];
  window.source = new EventSource("/notifications/stream/");
  for (const name of ["hello", "ping", "notification"]) {
    source.addEventListener(name, ({ data }) => got.push([name, data]));
  }
}"""

#: Sends two notifications at once, which are one piece of the stream.
SEND_TWO = """
from django.contrib.auth.models import User
from django.db import transaction
from sse_notify import notify
with transaction.atomic():
    for title in ("Whole", "Cut here, and there"):
        notify(User.objects.get(username={user!r}), title)
"""


def test_the_half_of_an_event_that_its_eventsource_keeps_after_a_cut_spoils_no_other_event(
    window: Window, desk: Desk
) -> None:
    """WebKit puts it before the first event of the next connection, which is a ping for that reason."""
    with Proxy(desk.server.port) as proxy:
        window.open_as(desk, "/stats/")
        window.open(f"http://127.0.0.1:{proxy.port}/stats/")
        window.call(LISTEN)
        window.wait("got.some(([name]) => name === 'hello')")
        proxy.break_after(b"Cut here")
        desk.site.script(SEND_TWO.format(user=desk.user))
        window.wait("got.filter(([name]) => name === 'notification').length === 2")
        got = window.run("source.close(); return got")
    first, whole, spoiled, hello, cut = got
    assert [name for name, _ in got] == ["hello", "notification", "ping", "hello", "notification"]
    assert spoiled[1].startswith('{"id":')
    assert "Cut here" in spoiled[1]
    assert "and there" not in spoiled[1]
    assert json.loads(hello[1])["v"] == json.loads(first[1])["v"] == 1
    titles = [json.loads(data)["title"] for _, data in (whole, cut)]
    assert titles == ["Whole", "Cut here, and there"]
