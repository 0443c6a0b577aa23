"""A bell inside a form of its site, where HTML allows no other form: each submits its own."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.desk import GUARD, Desk, badge

#: A site that sends its form by script, as many do, and notes that it did.
LISTEN = """
window.submitted = 0;
document.querySelector("#site").addEventListener("submit", (event) => { submitted++; event.preventDefault() });
"""


def in_form(route: Route) -> None:
    """Put the bell of a page into a form."""
    response = route.fetch()
    html = response.text()
    html = html.replace(
        "<sse-notify", '<form id="site" action="/stats/"><input name="q"><sse-notify'
    )
    html = html.replace("</sse-notify>", "</sse-notify><button>Go</button></form>")
    route.fulfill(response=response, body=html)


@pytest.fixture
def inside(desk: Desk, page: Page) -> Page:
    """A page whose bell is inside a form, with items that the server rendered, and an open panel."""
    desk.sign_in(page.context)
    desk.send("Import", progress={"state": "running", "percent": 40}, key="import")
    action = {"label": "Approve", "url": "/ask/", "method": "POST"}
    for title in ("One", "Two", "Three"):
        desk.send(title, actions=[action])
    page.route(lambda url: urlsplit(url).path == "/", in_form)
    desk.open(page, sign_in=False)
    page.evaluate(LISTEN)
    page.locator("[data-ssen=bell]").click()
    return page


@pytest.mark.parametrize(
    ("button", "address"),
    [
        ("[data-ssen=all]", "/notifications/read/"),
        ("li >> nth=0 >> [data-ssen-mark=read]", "/notifications/read/"),
        ("li >> nth=0 >> [data-ssen-mark=archive]", "/notifications/archive/"),
        ("li >> nth=0 >> text=Approve", "/ask/"),
        ("li >> nth=3 >> text=Cancel", "/notifications/cancel/"),
    ],
)
def test_a_button_of_the_panel_submits_its_own_form(
    inside: Page, button: str, address: str
) -> None:
    with inside.expect_request(f"**{address}", timeout=GUARD) as sent:
        inside.locator(f"sse-notify >> {button}").click()
    assert sent.value.method == "POST"
    assert urlsplit(inside.url).path == "/"
    assert inside.evaluate("submitted") == 0


def test_an_item_that_arrives_live_submits_its_own_form(desk: Desk, inside: Page) -> None:
    desk.send("Live", actions=[{"label": "Approve", "url": "/ask/", "method": "POST"}])
    expect(inside.locator("sse-notify li")).to_have_count(5, timeout=GUARD)
    with inside.expect_request("**/ask/", timeout=GUARD):
        inside.locator("sse-notify li >> nth=0 >> text=Approve").click()
    assert inside.evaluate("submitted") == 0


def test_the_form_of_the_site_sends_what_is_its_own(inside: Page) -> None:
    badge(inside, "4")
    inside.keyboard.press("Escape")
    inside.reload()
    inside.locator("[name=q]").fill("words")
    inside.get_by_role("button", name="Go").click()
    inside.wait_for_url("**/stats/?*")
    assert urlsplit(inside.url).query == "q=words"
    expect(inside.locator("sse-notify")).to_have_count(0)
