"""axe knows no fault of the bell, the panel, the toasts and the list page, in whatever state they are."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support import ROOT
from tests.support.desk import Desk, badge

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

#: Colours, contrast too, of light and dark; the rules of WCAG and the good practices beyond it. Of what is right, axe gathers no details.
RUN = """async (root) => (await axe.run(root, { resultTypes: ["violations"] })).violations.map(
  ({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`)"""


def look(page: Page, root: str = "sse-notify") -> None:
    """Look for faults, once nothing is being loaded any more: a list is dimmed meanwhile."""
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    assert page.evaluate(RUN, root) == []


def send_every_kind(desk: Desk) -> None:
    """Send items that together have every part."""
    for level in ("debug", "info", "success", "warning"):
        desk.send(level.title(), level=level, category="kinds", key=level)
    desk.send("Info", level="info", key="info")  # a repeat, counted
    actions: list[dict[str, Any]] = [
        {"label": "Again", "url": "/stats/"},
        {"label": "Leave", "url": "/stats/", "method": "POST"},
    ]
    desk.send(
        "Failed",
        body="x" * 300,
        level="error",
        url="/stats/",
        icon="/static/icon.png",
        actions=actions,
    )
    running = {"state": "running", "percent": 40, "stage": "Reading", "message": "row 7", "eta": 90}
    desk.send("Import", progress=running, key="import")
    desk.send("Export", progress={"state": "failed", "message": "No space"}, key="export")


@pytest.mark.chromium("preferences of the user, such as the colour scheme, are emulated")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("scheme", "locale"), [("light", "en"), ("dark", "ar")])
def test_every_state_of_the_bell_and_the_list_page(
    desk: Desk, browser: Browser, scheme: Literal["light", "dark"], locale: str
) -> None:
    context = browser.new_context(color_scheme=scheme, locale=locale, reduced_motion="reduce")
    page = context.new_page()

    def open_page(path: str = "/", connection: str = "open") -> None:
        desk.open(page, path, connection=connection)
        if connection:
            page.add_style_tag(content=":root { color-scheme: light dark }")

    bell, panel = page.locator("[data-ssen=bell]"), page.locator("[data-ssen=panel]")
    open_page("/notifications/", "")
    look(page, "html")  # an empty page
    open_page()
    bell.click()
    expect(panel.locator("[data-ssen=empty]")).to_be_visible()
    look(page)  # an empty panel
    page.keyboard.press("Escape")
    send_every_kind(desk)
    expect(page.locator(".ssen-toast")).to_have_count(3)
    badge(page, "7")
    look(page)  # closed, with toasts
    page.reload()
    page.add_style_tag(content=":root { color-scheme: light dark }")
    desk.wait(page, "open")
    bell.click()
    items = panel.locator("[data-ssen=list] > li")
    expect(items).to_have_count(7)
    items.nth(3).locator("[data-ssen-mark=read]").click()
    items.nth(2).locator("[data-ssen-mark=archive]").click()
    expect(panel.locator("[data-ssen=undone]")).to_be_visible()

    def refuse(route: Route) -> None:
        route.fulfill(status=500, body=json.dumps({"error": "broken", "message": "Broken."}))

    page.route("**/notifications/unread/", refuse)
    items.nth(2).locator("[data-ssen-mark=unread]").click()
    expect(panel.locator("[data-ssen=status]")).to_be_visible()
    items.nth(3).locator("[data-ssen-mark]:visible").first.focus()
    desk.send("News")
    expect(panel.locator("[data-ssen=new]")).to_be_visible()
    look(
        page
    )  # every kind of item, tabs, the button for what is new, the way back from the archive, a failure
    panel.locator("[data-ssen=tab]").nth(1).click()
    panel.locator("[data-ssen=all]").click()
    expect(panel.locator("li[data-unread]")).to_have_count(0)
    look(page)  # all read, a tab pressed
    open_page("/notifications/", "")
    look(page, "html")  # the list page with every kind of item
    page.goto(desk.url + "/notifications/?state=archived")
    look(page, "html")  # the archive
    open_page()
    context.request.post(desk.url + "/logout/")
    desk.wait(page, "unauthorized")
    bell.click()
    expect(panel.locator("[data-ssen=status]")).to_be_visible()
    look(page)  # signed out
    context.close()
