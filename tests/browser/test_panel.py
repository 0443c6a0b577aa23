"""What the panel does besides showing: scroll, filter, undo, act, expire and tell of progress."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.conftest import MakeSite
from tests.support.servers import Server
from tests.support.site import Site

GUARD = 30_000  # ms

#: Notifies from a process that is no server, which can say when something expires.
EXPIRING = """
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from sse_notify import notify
alice = User.objects.get(username="alice")
for title, minutes in (("An hour", 60), ("A minute", 1)):
    notify(alice, title, expires_at=timezone.now() + timedelta(minutes=minutes))
"""

MARK_ALL = """
from django.contrib.auth.models import User
from sse_notify import mark_read
mark_read(User.objects.get(username="alice"), up_to=99)
"""

RECALL = """
from sse_notify import recall
from sse_notify.models import Notification
recall(Notification.objects.filter(title="An hour"))
"""


def send(site: Site, server: Server, title: str, **more: Any) -> None:
    """Notify alice, in the server's process."""
    site.send(server, "notify", to="alice", title=title, **more)


def sign_in(page: Page, server: Server, path: str = "/") -> None:
    """Sign in, load the page, wait until it is live."""
    page.context.request.post(server.url + "/login/", form={"username": "alice"})
    page.goto(server.url + path)
    expect(page.locator("sse-notify")).to_have_attribute("data-connection", "open", timeout=GUARD)


def test_the_panel_goes_on_to_the_oldest_item_and_filters(make_site: MakeSite, page: Page) -> None:
    labels = {"orders": {"label": "Your orders"}, "news": {"label": "What is new"}, "none": {}}
    site = make_site(env={"SSE_NOTIFY": json.dumps({"CATEGORIES": labels})})
    server = site.serve()
    for number in range(45):
        send(
            site,
            server,
            f"Number {number}",
            category="orders" if number % 9 == 0 else "",
            silent=True,
        )
    sign_in(page, server)
    page.locator("[data-ssen=bell]").click()
    items, older = page.locator("[data-ssen=list] > li"), page.locator("[data-ssen=older]")
    titles = items.locator("[data-ssen=title]")
    expect(items).to_have_count(20)
    expect(older).to_have_text("Older")

    # A page that does not come is said, and asked for again by the user alone.
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("**/items/**", refuse)
    items.last.scroll_into_view_if_needed()
    expect(page.locator("[data-ssen=status]")).to_contain_text("went wrong")
    expect(older).to_have_text("Try again")
    page.unroute("**/items/**")
    assert len(asked) == 1
    older.click()
    expect(items).to_have_count(40)
    expect(page.locator("[data-ssen=status]")).to_be_hidden()
    items.last.scroll_into_view_if_needed()
    expect(items).to_have_count(45)
    expect(older).to_be_hidden()
    expect(titles).to_have_text([f"Number {number}" for number in reversed(range(45))])

    # Further down the list does not move.
    scrolled = "document.querySelector('[data-ssen=list]').scrollTop"
    before = page.evaluate(scrolled)
    send(site, server, "News", category="orders")
    more = page.locator("[data-ssen=new]")
    expect(more).to_have_text("1 new", timeout=GUARD)
    assert page.evaluate(scrolled) == before > 0
    more.click()
    expect(titles.first).to_have_text("News")
    expect(items.first).to_be_in_viewport()

    # A category has a tab from its first item on, and its label everywhere.
    tabs = page.locator("[data-ssen=tab]:visible")
    expect(tabs).to_have_text(["All", "Unread", "Your orders"])
    for category in ("news", '<b>"odd\\', "news"):
        send(site, server, category, category=category)
    expect(titles.first).to_have_text("news", timeout=GUARD)
    known = ["All", "Unread", "What is new", "Your orders", '<b>"odd\\']
    expect(tabs).to_have_text(known)
    shown = items.locator("[data-ssen=category]")
    expect(shown.nth(0)).to_have_text("What is new")
    expect(shown.nth(1)).to_have_text('<b>"odd\\')
    tabs.nth(4).click()
    expect(titles).to_have_text(['<b>"odd\\'])
    for category in ("news", '<b>"odd\\'):
        site.script(
            "from sse_notify import recall; from sse_notify.models import Notification; "
            f"recall(Notification.objects.filter(category={category!r}))"
        )
    expect(items).to_have_count(0, timeout=GUARD)

    # Only what fits the tab is shown, also of what arrives.
    tabs = page.locator("[data-ssen=tab]", has_text=re.compile("All|Unread|orders"))
    tabs.nth(2).click()
    expect(titles).to_have_text(
        ["News", "Number 36", "Number 27", "Number 18", "Number 9", "Number 0"]
    )
    expect(tabs.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-ssen=tab][aria-pressed=true]")).to_have_count(1)
    send(site, server, "Another kind")
    send(site, server, "An order", category="orders")
    expect(titles.first).to_have_text("An order", timeout=GUARD)
    expect(items).to_have_count(7)
    with page.expect_response("**/read/"):  # before the list is asked for without it
        items.nth(1).locator("[data-ssen-mark=read]").click()
    tabs.nth(1).click()
    expect(titles.nth(0)).to_have_text("An order")
    expect(titles.nth(1)).to_have_text("Another kind")
    expect(titles.nth(2)).to_have_text("Number 44")


@pytest.mark.chromium("two windows have the focus")
def test_what_was_archived_comes_back_to_its_place_in_every_tab(
    site: Site, page: Page, context: BrowserContext
) -> None:
    server = site.serve()
    for title in ("One", "Two", "Three"):
        send(site, server, title, url="/stats/")
    page.clock.install()
    sign_in(page, server)
    other = context.new_page()
    other.goto(server.url)
    expect(other.locator("sse-notify[data-connection=follower]")).to_be_attached(timeout=GUARD)
    titles, undone = (
        page.locator("sse-notify li [data-ssen=title]"),
        page.locator("[data-ssen=undone]"),
    )
    page.locator("[data-ssen=bell]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-ssen=heading]")).to_be_focused()
    page.locator("li:has-text('Two') [data-ssen-mark=archive]").focus()
    page.keyboard.press("Enter")
    expect(titles).to_have_text(["Three", "One"])
    expect(titles.last).to_be_focused()
    expect(page.locator("[data-ssen=live]")).to_contain_text("You can undo this")
    expect(other.locator("sse-notify li [data-ssen=title]")).to_have_text(
        ["Three", "One"], timeout=GUARD
    )
    # Nothing runs away from who is about to use it.
    page.locator("[data-ssen=undo]").focus()
    page.clock.run_for(20_000)
    page.keyboard.press("Enter")
    expect(titles).to_have_text(["Three", "Two", "One"])
    expect(undone).to_be_hidden()
    expect(page.locator("[data-ssen=heading]")).to_be_focused()
    expect(other.locator("sse-notify li [data-ssen=title]")).to_have_text(
        ["Three", "Two", "One"], timeout=GUARD
    )

    page.locator("li:has-text('One') [data-ssen-mark=archive]").click()
    expect(undone).to_be_visible()
    page.mouse.move(0, 0)
    page.clock.run_for(9_000)
    expect(undone).to_be_hidden()
    expect(titles).to_have_text(["Three", "Two"])

    # To somebody who is signed out it says that, and nothing else.
    context.request.post(server.url + "/logout/")
    for tab in (page, other):
        expect(tab.locator("sse-notify[data-connection=unauthorized]")).to_be_attached(
            timeout=GUARD
        )
    expect(page.locator("[data-ssen=status]")).to_contain_text("signed out")
    for name in ("empty", "tab", "older", "all", "new", "undone"):
        for place in page.locator(f"[data-ssen={name}]").all():
            expect(place).to_be_hidden()


def test_an_action_is_submitted_without_leaving_the_page(site: Site, page: Page) -> None:
    server = site.serve()
    sign_in(page, server)
    # The second has nothing to mark, which is refused; both need Django's token.
    send(site, server, "Order", actions=[{"label": "Accept", "url": "/stats/", "method": "POST"}])
    send(
        site,
        server,
        "Wrong",
        actions=[{"label": "Go", "url": "/notifications/seen/", "method": "POST"}],
    )
    expect(page.locator("sse-notify li")).to_have_count(2, timeout=GUARD)
    live = page.locator("[data-ssen=live]")
    # What has arrived is told by then, whether in one message or in two, and not in the place of what comes next.
    expect(live).to_have_text(
        re.compile("^2 new notifications$|^New notification: Wrong$"), timeout=GUARD
    )
    page.locator("[data-ssen=bell]").click()
    with page.expect_response("**/notifications/seen/") as answer:
        page.get_by_role("button", name="Go", exact=True).click()
    assert answer.value.status == 400
    expect(page.locator("[data-ssen=status]")).to_contain_text("went wrong")
    accept = page.get_by_role("button", name="Accept")
    with page.expect_response("**/stats/") as answer:
        accept.click()
    assert answer.value.status == 200
    expect(accept).to_have_attribute("aria-disabled", "true")
    expect(page.locator("li[data-unread]")).to_have_count(1)
    expect(page.locator("li[data-unread] [data-ssen=title]")).to_have_text("Wrong")
    expect(page.locator("[data-ssen=badge]")).to_have_text("1", timeout=GUARD)
    expect(live).to_have_text("Done.", timeout=GUARD)
    assert page.url == server.url + "/"


def test_items_and_toasts_go_when_their_time_has_come_and_work_tells_how_it_is(
    site: Site, page: Page
) -> None:
    server = site.serve()
    page.clock.install()
    sign_in(page, server)
    site.script(EXPIRING)
    titles, toasts = (
        page.locator("sse-notify li [data-ssen=title]"),
        page.locator(".ssen-toast [data-ssen=title]"),
    )
    page.clock.run_for(100)  # a frame
    expect(titles).to_have_text(["A minute", "An hour"], timeout=GUARD)
    expect(toasts).to_have_text(["An hour", "A minute"])
    toasts.first.hover()  # so that they stay
    page.clock.run_for(50_000)
    expect(titles).to_have_count(2)
    page.clock.run_for(11_000)
    expect(titles).to_have_text(["An hour"])
    expect(toasts).to_have_text(["An hour"])
    site.script(RECALL)
    page.clock.run_for(100)
    expect(titles).to_have_count(0, timeout=GUARD)
    expect(toasts).to_have_count(0)

    progress = {
        "state": "running",
        "percent": 41.5,
        "stage": "Reading",
        "message": "row 7",
        "eta": 125,
    }
    send(site, server, "Import", key="import", progress=progress)
    stage, bar = (
        page.locator("sse-notify li [data-ssen=stage]"),
        page.locator("sse-notify li progress"),
    )
    expect(stage).to_have_text("41% · Reading · row 7 · in 2 minutes", timeout=GUARD)
    expect(bar).to_have_js_property("value", 41.5)
    page.reload()
    page.clock.run_for(1_000)  # after which the page loads what removes the item that has expired
    expect(titles).to_have_text(["Import"], timeout=GUARD)
    expect(stage).to_have_text("41% · Reading · row 7", timeout=GUARD)
    send(
        site,
        server,
        "Import",
        key="import",
        progress={"state": "failed", "message": "No space"},
    )
    expect(stage).to_have_text("Failed · No space", timeout=GUARD)
    page.locator("[data-ssen=bell]").click()
    expect(stage).to_be_visible()
    expect(bar).to_be_hidden()


@pytest.mark.parametrize("what", ["all", "elsewhere"])
def test_a_page_that_was_asked_for_before_a_mark_shows_no_older_state(
    site: Site, page: Page, what: str
) -> None:
    """The answer may come after the mark's, and after what the stream tells of it."""
    server = site.serve()
    for number in range(3):
        send(site, server, f"Number {number}", silent=True)
    sign_in(page, server)
    page.locator("[data-ssen=bell]").click()
    items = page.locator("[data-ssen=list] > li")
    expect(items).to_have_count(3)
    held: list[tuple[Route, Any]] = []
    # The server answers before the mark; the page gets it afterwards.
    page.route("**/items/**", lambda route: held.append((route, route.fetch())))
    page.locator("[data-ssen=tab]:visible").nth(0).click()
    expect(items).to_have_count(0)
    while not held:
        page.wait_for_timeout(10)  # lets the route's handler run
    if what == "all":
        page.locator("[data-ssen=all]").click()
    else:
        site.script(MARK_ALL)
    expect(page.locator("[data-ssen=badge]")).to_be_hidden(timeout=GUARD)
    ((route, response),) = held
    route.fulfill(response=response)
    expect(items).to_have_count(3)
    expect(page.locator("[data-ssen=list] > li[data-unread]")).to_have_count(0)
