"""The bell that cannot work says so: to its user in the panel, to the developer in the console."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.utils import translation
from playwright.sync_api import Browser, Page, Route, expect

from tests.docs.pages import DOCS, anchors
from tests.support.desk import GUARD, Desk, badge, requests, titles
from tests.support.site import Site

STREAM = "**/notifications/stream/**"
ARRIVALS = "**/sse-notify-arrivals*.js"
NO_LIVE = "No live updates: the server "


#: Notes what the status line says, one after the other.
NOTE = """() => {
  window.said = [];
  const line = document.querySelector("[data-ssen=status]");
  const note = () => said.at(-1) === line.textContent || said.push(line.textContent);
  new MutationObserver(note).observe(line, { childList: true });
}"""


def warnings(page: Page) -> list[str]:
    """Return a list that gets what the script warns of in a page's console."""
    said: list[str] = []
    page.on(
        "console", lambda message: said.append(message.text) if message.type == "warning" else None
    )
    return said


def status(page: Page, text: str | re.Pattern[str]) -> None:
    """Open the panel, and wait until its status line says ``text``; "" for nothing."""
    place = page.locator("[data-ssen=status]")
    if not page.locator("[data-ssen=panel]").is_visible():
        page.locator("[data-ssen=bell]").click()
    if text:
        expect(place).to_have_text(text, timeout=GUARD)
        expect(place).to_be_visible()
    else:
        expect(place).to_be_hidden(timeout=GUARD)


def answer(code: int) -> Callable[[Route], None]:
    """Return what answers a request with a page of this status, as a server's error page is."""
    return lambda route: route.fulfill(
        status=code, content_type="text/html", body="<h1>Not a stream</h1>"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (404, "does not know their address."),
        (406, "does not offer them."),
        (500, "has an error."),
        (200, "does not offer them."),  # a page for every path, as of an app in one page
    ],
)
def test_a_stream_that_is_refused_is_explained_once_until_it_comes(
    desk: Desk, page: Page, code: int, words: str
) -> None:
    said, tries = warnings(page), requests(page, "/notifications/stream/")
    page.route(STREAM, answer(code))
    desk.open(page, connection="waiting")
    status(page, NO_LIVE + words)
    page.wait_for_function(  # retries happen, and say nothing new
        "() => performance.getEntriesByType('resource').filter(({ name }) => name.includes('/stream/')).length > 2",
        timeout=GUARD,
    )
    assert len(tries) > 2
    status(page, NO_LIVE + words)
    (warning,) = said
    assert warning.startswith(f"sse_notify: {code} No live updates")
    found = re.search(r"docs/(how-to/troubleshooting\.md)#([\w-]+)$", warning)
    assert found
    assert found[2] in anchors(DOCS / found[1])
    page.unroute(STREAM)
    desk.wait(page, "open")
    status(page, "")
    assert len(said) == 1


def test_a_stream_that_is_forbidden_is_not_called_a_logout(desk: Desk, page: Page) -> None:
    said = warnings(page)
    page.route(STREAM, answer(403))
    desk.open(page, connection="unauthorized")
    status(page, NO_LIVE + "does not allow them.")
    assert [warning[:15] for warning in said] == ["sse_notify: 403"]


@pytest.mark.parametrize("code", [401, 503])
def test_what_is_no_fault_of_the_site_is_no_warning(desk: Desk, page: Page, code: int) -> None:
    said = warnings(page)
    page.route(STREAM, answer(code))
    desk.open(page, connection="unauthorized" if code == 401 else "waiting")
    status(page, "You are signed out. Reload the page." if code == 401 else "Reconnecting…")
    assert said == []


def test_every_tab_says_why(desk: Desk, page: Page) -> None:
    """Only one of them has asked for the stream."""
    page.context.route(STREAM, answer(404))
    desk.open(page, connection="waiting")
    other = page.context.new_page()
    desk.open(other, connection="waiting", sign_in=False)
    status(other, NO_LIVE + "does not know their address.")


@pytest.mark.parametrize("language", ["de", "ar", "zh-hans"])
def test_it_is_explained_in_the_users_language(desk: Desk, browser: Browser, language: str) -> None:
    english = NO_LIVE + "does not know their address."
    with translation.override(language):
        words = translation.gettext(english)
    assert words != english
    context = browser.new_context(locale=language)
    page = context.new_page()
    page.route(STREAM, answer(404))
    desk.open(page, connection="waiting")
    status(page, words)
    context.close()


def test_a_panel_that_is_opened_while_the_server_is_down_says_that_it_reconnects(
    site: Site, page: Page
) -> None:
    server = site.serve()
    desk = Desk(site, server)
    desk.open(page)
    desk.send("One")
    badge(page, "1")
    titles(page, ["One"])
    page.evaluate(NOTE)
    server.kill()
    desk.wait(page, "waiting")
    with page.expect_event("requestfailed", lambda request: "/seen/" in request.url):
        page.locator("[data-ssen=bell]").click()
    with page.expect_event("requestfailed", lambda request: "/items/" in request.url):
        page.locator("[data-ssen=tab][data-state=unread]").click()
    status(page, "Reconnecting…")
    server.restart()
    desk.wait(page, "open")
    status(page, "")
    assert page.evaluate("window.said") == ["Reconnecting…", ""]
    titles(page, ["One"])


def test_what_fails_while_the_stream_is_open_is_still_called_a_failure(
    desk: Desk, page: Page
) -> None:
    desk.open(page)
    page.route("**/notifications/items/**", lambda route: route.abort())
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=tab][data-state=unread]").click()
    status(page, "Something went wrong. Please try again.")
    # Whether there is anything is not known.
    empty = page.locator("[data-ssen=empty]")
    expect(empty).to_be_hidden()
    page.unroute("**/notifications/items/**")
    page.locator("[data-ssen=older]").click()
    expect(empty).to_be_visible(timeout=GUARD)
    middle = "(e) => { const { x, width } = e.getBoundingClientRect(); return x + width / 2 }"
    drawing, words = (empty.locator(part).evaluate(middle) for part in ("svg", "p"))
    assert abs(drawing - words) < 1


def test_without_the_script_the_bell_is_a_link_to_the_list(desk: Desk, page: Page) -> None:
    page.route("**/sse-notify.js", lambda route: route.abort())
    desk.open(page, connection="")
    desk.send("One")
    page.locator("[data-ssen=bell]").click()
    page.wait_for_url("**/notifications/")
    expect(page.locator("[data-ssen=title]")).to_have_text(["One"])


@pytest.mark.parametrize("how", ["missing", "blocked"])
def test_without_what_makes_items_their_titles_are_shown_and_nothing_is_lost(
    desk: Desk, page: Page, how: str
) -> None:
    said = warnings(page)
    page.route(ARRIVALS, answer(404) if how == "missing" else lambda route: route.abort())
    desk.open(page)
    desk.send("One", body="With a body", url="/stats/")
    desk.send("<b>Two</b>", key="two")
    badge(page, "2")
    titles(page, ["<b>Two</b>", "One"])
    status(page, "Only titles are shown. Reload the page.")
    (warning,) = said
    assert warning.startswith("sse_notify: script Only titles")
    # What a plain item offers works.
    page.locator("[data-ssen=list] [data-ssen-mark=read]").last.click()
    badge(page, "1")
    desk.send("Two again", key="two")
    titles(page, ["Two again", "One"])
    page.unroute(ARRIVALS)
    desk.send("Three")
    titles(page, ["Three", "Two again", "One"])
    expect(page.locator("[data-ssen=list] [data-ssen=body]").last).to_have_text("With a body")
    expect(page.locator("[data-ssen=list] a[data-ssen=title]")).to_have_attribute(
        "href", re.compile(r"/stats/$")
    )
    status(page, "")
    assert len(said) == 1


def test_without_what_makes_items_the_user_can_try_again(desk: Desk, page: Page) -> None:
    page.route(ARRIVALS, answer(404))
    desk.open(page)
    desk.send("One", body="With a body")
    titles(page, ["One"])
    page.unroute(ARRIVALS)
    page.locator("[data-ssen=bell]").click()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("[data-ssen=list] [data-ssen=body]")).to_have_text("With a body")
    status(page, "")


def test_without_what_makes_items_a_list_that_is_loaded_again_is_complete(
    desk: Desk, page: Page
) -> None:
    page.route(ARRIVALS, answer(404))
    for number in range(3):
        desk.send(str(number)) if number else desk.open(page)
    titles(page, ["2", "1"])
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=tab][data-state=unread]").click()
    titles(page, ["2", "1"])


def test_what_makes_items_is_loaded_early_and_outlives_a_release(desk: Desk, page: Page) -> None:
    loads = requests(page, "sse-notify-arrivals")
    with page.expect_event("requestfinished", lambda request: "arrivals" in request.url):
        desk.open(page)
    page.route("**/static/**", answer(404))
    desk.send("One", body="With a body")
    expect(page.locator(".ssen-toast [data-ssen=title]")).to_have_text(["One"])
    expect(page.locator("[data-ssen=list] [data-ssen=body]")).to_have_text("With a body")
    assert len(loads) == 1


@pytest.mark.parametrize("code", [403, 404])
def test_the_plain_name_serves_where_the_hashed_one_is_gone(
    desk: Desk, page: Page, code: int
) -> None:
    said = warnings(page)

    def hash_name(route: Route) -> None:
        text = route.fetch().text()
        hashed = text.replace("sse-notify-arrivals.js", "sse-notify-arrivals.0a1b2c3d4e5f.js")
        assert text != hashed
        route.fulfill(body=hashed, content_type="text/html")

    page.route(desk.url + "/", hash_name)
    page.route("**/sse-notify-arrivals.0a1b2c3d4e5f.js", answer(code))
    loads = requests(page, "sse-notify-arrivals")
    desk.open(page)
    desk.send("One", body="With a body")
    expect(page.locator("[data-ssen=list] [data-ssen=body]")).to_have_text("With a body")
    names = [url.partition("#")[0].rpartition("/")[2] for url in loads]
    assert names == ["sse-notify-arrivals.0a1b2c3d4e5f.js", "sse-notify-arrivals.js"]
    assert said == []
