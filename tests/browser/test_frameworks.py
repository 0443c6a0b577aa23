"""The sample pages of the documentation, as they stand there, beside the frameworks that they are for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support import ROOT
from tests.support.desk import Desk, badge

SCRIPTS = {
    "htmx2": ROOT / "node_modules/htmx2/dist/htmx.min.js",
    "htmx4": ROOT / "node_modules/htmx.org/dist/htmx.min.js",
    "alpine": ROOT / "node_modules/alpinejs/dist/cdn.min.js",
    "turbo": ROOT / "node_modules/@hotwired/turbo/dist/turbo.es2017-umd.js",
}

Open = Callable[[str, str], Page]


@pytest.fixture
def show(desk: Desk, page: Page) -> Open:
    """Open a page of the documentation beside a framework: ``show("htmx", "htmx4")``."""

    def open_page(name: str, framework: str = "") -> Page:
        page.route("**/vendor/*.js", lambda route: route.fulfill(path=SCRIPTS[framework]))
        return desk.open(page, f"/pages/{name}/?with={framework}")

    return open_page


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
def test_htmx_loads_parts_of_a_page_when_the_bell_says_so(desk: Desk, show: Open, version: str) -> None:
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
