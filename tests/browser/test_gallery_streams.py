"""The streams of the gallery's pages: shared with the bell where there is one, and told apart when they try again and when they have ended."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.gallery import Gallery

#: The server of this module: what it tries is the pages' own, whatever serves them.
KIND = "uvicorn"
STREAM = re.compile(r"/stream/")
REFUSED = "The server refuses. Load the page again."
TRIES = re.compile(r"Disconnected, trying again|Cut off. Back in a moment")


def status(page: Page, state: str) -> None:
    """Wait until the page says so."""
    expect(page.locator(f".live[data-status={state}]")).to_be_visible()


def order_something(gallery: Gallery, user: str) -> str:
    """Have ``user`` order something; return its number."""
    with gallery.client(user) as client:
        assert client.post("/orders/place/").status_code == 302
        found = re.search(r'data-order="(\d+)"', client.get("/orders/").text)
        assert found is not None
        return found[1]


@pytest.mark.parametrize("path", ["/orders/", "/tasks/", "/wall/"])
def test_the_tabs_of_a_page_have_one_stream_with_the_bell(
    gallery: Gallery, page: Page, path: str
) -> None:
    """Six that each had one of their own would keep the browser's seventh request waiting for ever, over HTTP/1.1."""
    order_something(gallery, "alice")
    gallery.sign_in(page.context, "alice")
    streams: set[Request] = set()
    page.context.on(
        "request", lambda request: streams.add(request) if STREAM.search(request.url) else None
    )
    for end in ("requestfinished", "requestfailed"):
        page.context.on(end, lambda request: streams.discard(request))
    tabs = [page, page.context.new_page()]
    for tab in tabs:
        gallery.open(tab, path)
        status(tab, "open")
    assert [
        tab.evaluate("document.querySelector('sse-notify').client.leading") for tab in tabs
    ] == [True, False]
    assert len(streams) == 1
    # What one tab does, or anybody else, both show.
    if path == "/wall/":
        page.get_by_label("Your message").fill("To both tabs")
        page.get_by_role("button", name="Write on the wall").click()
        for tab in tabs:
            expect(tab.locator("[data-text]").first).to_have_text("To both tabs")
    if path == "/orders/":
        reached = [tab.locator("[data-order]").first.locator("[data-reached]") for tab in tabs]
        page.get_by_role("button", name="Move it on").first.click()
        for each in reached:
            expect(each).to_have_count(2)
    assert len(streams) == 1


@pytest.mark.parametrize("path", ["/orders/", "/tasks/", "/wall/"])
def test_a_logout_in_another_tab_is_told_as_an_end(gallery: Gallery, page: Page, path: str) -> None:
    """Nothing comes back by itself after that, so the page does not promise it."""
    order_something(gallery, "dave")
    tab = gallery.open(gallery.window(page, "dave", anew=True), path)
    status(tab, "open")
    other = gallery.open(tab.context.new_page(), "/")
    other.get_by_role("button", name="Account of").click()
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("link", name="Sign in").first).to_be_visible()
    expect(tab.locator(".live")).to_have_text(REFUSED, use_inner_text=True)


@pytest.mark.chromium("a request that is aborted is not tried again")
@pytest.mark.parametrize(
    ("path", "user"), [("/wall/", ""), ("/ticker/", ""), ("/dashboard/", "alice")]
)
def test_a_stream_of_the_browsers_own_is_told_as_tried_again_or_refused(
    gallery: Gallery, page: Page, path: str, user: str
) -> None:
    """A browser's own EventSource tries again when the network breaks, and never after a refusal."""

    def refuse(route: Route) -> None:
        route.fulfill(status=429, body="{}", content_type="application/json")

    page.route(STREAM, lambda route: route.abort())
    gallery.open(page, path, user=user)
    expect(page.locator(".live")).to_have_text(TRIES, use_inner_text=True)
    page.unroute_all()
    status(page, "open")
    page.route(STREAM, refuse)
    page.reload()
    expect(page.locator(".live")).to_have_text(REFUSED, use_inner_text=True)
