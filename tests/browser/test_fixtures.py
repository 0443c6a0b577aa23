"""The browser that other tests use is a real one, and tells of errors in the page."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from tests.support.browser import find
from tests.support.servers import Server
from tests.support.site import Site


def test_a_page_with_the_bell_is_served_and_shown(site: Site, page: Page) -> None:
    server = site.serve()
    page.context.request.post(server.url + "/login/", form={"username": "alice"})
    page.goto(server.url)
    expect(page).to_have_title("A page with the bell")
    expect(page.locator("sse-notify")).to_be_attached()


def test_each_test_has_a_fresh_profile(
    asgi_server: Callable[..., Server], context: BrowserContext
) -> None:
    assert context.cookies() == []


def test_the_browser_that_was_found_exists() -> None:
    chromium = find()
    assert chromium is not None
    assert chromium.executable.exists()


def test_an_error_in_a_script_is_heard(page: Page, page_errors: list[str]) -> None:
    with page.expect_event("pageerror"):
        page.evaluate("setTimeout(() => { throw new Error('broken') })")
    assert page_errors == ["broken"]
    page_errors.clear()
