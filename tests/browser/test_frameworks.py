"""The sample pages of the documentation, as they stand there, beside the frameworks that they are for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.docs.pages import DOCS, blocks
from tests.support import ROOT
from tests.support.desk import GUARD, Desk, badge, titles

PACKAGES = {
    "htmx2": ["htmx2/dist/htmx.min.js"],
    "htmx2-sse": ["htmx2/dist/htmx.min.js", "htmx-ext-sse/dist/sse.min.js"],
    "htmx4": ["htmx.org/dist/htmx.min.js"],
    "alpine": ["alpinejs/dist/cdn.min.js"],
    "turbo": ["@hotwired/turbo/dist/turbo.es2017-umd.js"],
    "react": ["react/umd/react.production.min.js", "react-dom/umd/react-dom.production.min.js"],
    "vue": ["vue/dist/vue.esm-browser.prod.js"],
}

#: React has no build that a browser can import.
MODULES = {
    "react-module": "export const { createElement, useEffect, useRef, useState, useSyncExternalStore } = React;",
    "react-dom-module": "export const { createRoot } = ReactDOM;",
}

#: Notes what the page is told of, title by title, and the counts.
LOG = """
window.log = [];
addEventListener("sse-notify:notification", ({ detail }) => log.push(detail.title));
addEventListener("sse-notify:counts", ({ detail }) => log.push(detail));
"""

#: Follows a link as Turbo does, and waits until the page is there.
VISIT = "(name) => new Promise((done) => { addEventListener('turbo:load', () => done(), { once: true }); Turbo.visit(`?${name}`) })"

Open = Callable[..., Page]


@pytest.fixture
def show(desk: Desk, page: Page) -> Open:
    """Open a page of the documentation beside a framework: ``show("htmx", "htmx4")``."""

    def open_page(name: str, framework: str = "", topic: str = "") -> Page:
        page.route(
            "**/vendor/*.js", lambda route: answer(route, script(Path(route.request.url).stem))
        )
        page.route("**/use-sse-notify.js", lambda route: answer(route, module(name)))
        path = f"/pages/{name}/?with={framework}"
        if not topic:
            return desk.open(page, path)
        # Asked for a moment after the page's own stream, which is opened anew for it.
        with page.expect_response(lambda response: f"topic={topic}" in response.url):
            desk.open(page, path, connection="")
        desk.wait(page, "open")
        return page

    return open_page


def answer(route: Route, text: str) -> None:
    """Answer a request of a page with a script."""
    route.fulfill(body=text, content_type="text/javascript")


def script(name: str) -> str:
    """Return a framework as pages load it."""
    return MODULES.get(name) or "\n".join(
        (ROOT / "node_modules" / path).read_text("utf-8") for path in PACKAGES[name]
    )


def module(name: str) -> str:
    """Return the ``module`` block of a page of the documentation."""
    return next(
        block.code
        for block in blocks(DOCS / "how-to" / f"{name}.md")
        if block.mark.startswith("module:")
    )


def say(desk: Desk, text: str) -> None:
    """Publish to everybody's wall."""
    desk.site.send(desk.server, "publish", topic="wall", data=text)


def visit(desk: Desk, page: Page) -> None:
    """Follow the page's link without loading a page, and find the bell at work there, with one stream."""
    page.evaluate("window.same = true")
    page.locator("a[href='?next']").click()
    page.wait_for_url("**/?next")
    desk.wait(page, "open")
    desk.send("After a visit")
    badge(page, "2")
    expect(page.locator("#unread")).to_have_text("Unread: 2")
    assert page.evaluate("window.same") is True
    desk.streams(page, 1)


@pytest.mark.parametrize("version", ["htmx2", "htmx4"])
def test_htmx_loads_parts_of_a_page_when_the_bell_says_so(
    desk: Desk, show: Open, version: str
) -> None:
    page = show("htmx", version)
    expect(page.locator("#unread")).to_have_text("Unread: 0")
    desk.send("Fetched by htmx")
    expect(page.locator("#inbox [data-ssen=title]")).to_have_text("Fetched by htmx")
    expect(page.locator("#unread")).to_have_text("Unread: 1")
    visit(desk, page)


def test_alpine_shows_counts_and_takes_notifications_over(desk: Desk, show: Open) -> None:
    page = show("alpine", "alpine")
    expect(page.locator("#unread")).to_have_text("0")
    desk.send("Shown by Alpine")
    expect(page.locator("#latest")).to_have_text("Shown by Alpine")
    expect(page.locator("#unread")).to_have_text("1")
    badge(page, "1")
    expect(page.locator(".ssen-toast")).to_have_count(0)
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=all]").click()
    expect(page.locator("#unread")).to_have_text("0")


def test_turbo_keeps_the_bell_over_visits_and_loads_frames(desk: Desk, show: Open) -> None:
    page = show("turbo", "turbo")
    desk.send("One")
    expect(page.locator("#unread")).to_have_text("Unread: 1")
    visit(desk, page)
    desk.send("Once more")
    expect(page.locator("#unread")).to_have_text("Unread: 3")


def test_a_plain_script_reacts_and_follows_links_itself(desk: Desk, show: Open) -> None:
    page = show("plain", "")
    desk.send("Not one")
    desk.send("<b>Order 7</b>", category="orders", url="/stats/")
    expect(page.locator("#orders li")).to_have_text("<b>Order 7</b>")
    page.evaluate("window.same = true")
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=list] a").click()
    page.wait_for_url("**/stats/")
    assert page.evaluate("window.same") is True
    badge(page, "1")


@pytest.mark.parametrize("version", ["htmx2", "htmx4"])
def test_a_topic_is_a_trigger_for_htmx(desk: Desk, show: Open, version: str) -> None:
    page = show("htmx-topic", version, "wall")
    desk.send("Told by a topic")
    badge(page, "1")
    expect(page.locator("#inbox [data-ssen=title]")).to_have_count(0)
    say(desk, "look")
    expect(page.locator("#inbox [data-ssen=title]")).to_have_text("Told by a topic")


def test_the_sse_extension_of_htmx_2_swaps_from_the_shared_stream(desk: Desk, show: Open) -> None:
    page = show("htmx-sse", "htmx2-sse", "wall")
    expect(page.locator("#wall")).to_have_text("Nothing was said yet.")
    say(desk, "<b>Hello</b>\nand hello")
    expect(page.locator("#wall b")).to_have_text("Hello")
    desk.send("On the same stream")
    badge(page, "1")
    desk.streams(page, 1)


def test_turbo_takes_stream_actions_from_the_shared_stream(desk: Desk, show: Open) -> None:
    page = show("turbo-streams", "turbo", "wall")
    action = '<turbo-stream action="append" target="messages"><template><li>{}</li></template></turbo-stream>'
    for number in (1, 2):
        say(desk, action.format(number))
    expect(page.locator("#messages li")).to_have_text(["1", "2"])
    desk.send("On the same stream")
    badge(page, "1")


def test_a_visit_of_turbo_ends_no_source_and_tells_nothing_twice(desk: Desk, show: Open) -> None:
    page = show("turbo-streams", "turbo", "wall")
    page.evaluate(LOG)
    desk.send("Before")
    badge(page, "1")
    for name in ("first", "second"):
        page.evaluate(VISIT, name)
        badge(page, "1")
        say(
            desk,
            f'<turbo-stream action="append" target="messages"><template><li>{name}</li></template></turbo-stream>',
        )
        expect(page.locator("#messages li")).to_have_text([name], timeout=GUARD)
    desk.send("After")
    badge(page, "2")
    assert page.evaluate("log") == [
        {"unread": 1, "unseen": 1},
        "Before",
        {"unread": 2, "unseen": 2},
        "After",
    ]
    desk.streams(page, 1)


def test_a_bell_that_a_visit_replaces_or_brings_back_shows_what_came_meanwhile(
    desk: Desk, show: Open
) -> None:
    page = show("plain", "turbo")
    page.evaluate(LOG)
    desk.send("Before")
    badge(page, "1")
    page.evaluate(VISIT, "next")
    desk.send("Between")
    titles(page, ["Between", "Before"])
    page.evaluate(
        "() => new Promise((done) => { addEventListener('turbo:load', () => done(), { once: true }); history.back() })"
    )
    # The copy that Turbo kept is of before.
    titles(page, ["Between", "Before"])
    badge(page, "2")
    assert page.evaluate("log.filter((told) => typeof told === 'string')") == ["Before", "Between"]
    desk.streams(page, 1)


def test_a_visit_of_turbo_after_a_new_login_brings_the_bell_back(desk: Desk, show: Open) -> None:
    page = show("turbo-streams", "turbo", "wall")
    desk.send("One")
    titles(page, ["One"])
    page.context.request.post(desk.url + "/logout/")
    desk.wait(page, "unauthorized")
    titles(page, [])
    desk.sign_in(page.context)
    page.evaluate(VISIT, "with=turbo")
    desk.wait(page, "open")
    titles(page, ["One"])
    badge(page, "1")


def test_a_bell_that_is_taken_out_lets_its_stream_go_and_goes_on_when_it_is_put_back(
    desk: Desk, show: Open
) -> None:
    page = show("plain")
    page.evaluate(LOG)
    desk.send("Before")
    badge(page, "1")
    page.evaluate(
        "window.bell = document.querySelector('sse-notify'); window.ended = bell.client; bell.remove()"
    )
    page.wait_for_function("ended.state === 'stopped'", timeout=GUARD)
    desk.streams(page, 0)
    desk.send("Meanwhile")
    page.evaluate("document.body.prepend(bell)")
    titles(page, ["Meanwhile", "Before"])
    badge(page, "2")
    # The list is fetched; what the stream brings is told by itself.
    told = "log.filter((each) => typeof each === 'string')"
    page.wait_for_function(f"{told}.length > 1", timeout=GUARD)
    assert page.evaluate(told) == ["Before", "Meanwhile"]


@pytest.mark.parametrize(
    ("name", "framework"), [("react", "react"), ("vue", "")]
)  # Vue is imported
def test_components_show_what_comes_over_the_shared_stream(
    desk: Desk, show: Open, name: str, framework: str
) -> None:
    page = show(name, framework, "wall")
    expect(page.locator("#said")).to_have_text("nothing")
    desk.send("One")
    desk.send("<b>Two</b>")
    say(desk, "Hello")
    expect(page.locator("#unread")).to_have_text("2")
    expect(page.locator("#app li")).to_have_text(["<b>Two</b>", "One"])
    expect(page.locator("#said")).to_have_text("Hello")
    desk.streams(page, 1)
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=all]").click()
    expect(page.locator("#unread")).to_have_text("0")
