"""Several tabs, several devices, several users: one stream for each browser, the same state everywhere, and nobody sees another's."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.support import browser as browsers
from tests.support.desk import GUARD, Desk, badge, requests, titles

#: What a follower sees of a leader that is frozen: nothing at all. Its page neither answers nor gives its lock back.
FREEZE = "const post = BroadcastChannel.prototype.postMessage; BroadcastChannel.prototype.postMessage = function (message) { if (!window.frozen) post.call(this, message) }"

#: Marks twice, in a process that rings no doorbell: the server looks at the log when both are there.
MARKS = """
from django.contrib.auth.models import User
from sse_notify import mark_read, mark_seen
from sse_notify.models import Notification
user = User.objects.get(username={user!r})
rows = list(Notification.objects.visible_to(user).order_by("pk"))
mark_read(user, [rows[0].pk])
mark_seen(user, up_to=rows[-1].seq)
"""

#: The page comes to the front.
FOCUS = "document.dispatchEvent(new Event('visibilitychange'))"


def test_seven_tabs_have_one_stream_and_the_next_takes_over_when_its_tab_closes(
    desk: Desk, context: BrowserContext, page: Page
) -> None:
    """On HTTP/1.1 a browser has six connections to a server: with a stream in each tab the seventh would not load."""
    streams = requests(page, "/stream/")
    desk.open(page)
    followers = [
        desk.open(context.new_page(), connection="follower", sign_in=False) for _ in range(6)
    ]
    desk.streams(page, 1)
    desk.send("To all")
    for tab in (page, *followers):
        badge(tab, "1")
    assert len(streams) == 1
    page.close()
    # While nobody may be listening.
    desk.send("In between")
    desk.send("And again")
    for tab in followers:
        titles(tab, ["And again", "In between", "To all"])
        badge(tab, "3")
    states = [str(tab.locator("sse-notify").get_attribute("data-connection")) for tab in followers]
    assert sorted(states) == ["follower"] * 5 + ["open"]
    desk.streams(followers[0], 1)


def test_a_tab_in_front_takes_the_stream_from_a_frozen_one_within_two_seconds(
    desk: Desk, context: BrowserContext, page: Page
) -> None:
    page.add_init_script(FREEZE)
    desk.open(page)
    follower = context.new_page()
    follower.clock.install()
    desk.open(follower, connection="follower", sign_in=False)
    page.evaluate("window.frozen = true")
    desk.send("Unheard")
    badge(page, "1")
    badge(follower, "")
    # The clock of the follower stands still but for what is given to it here: two seconds after the focus.
    follower.clock.pause_at(follower.evaluate("Date.now()") + 3_000)
    with follower.expect_request("**/stream/**"):
        follower.evaluate(FOCUS)
        follower.clock.run_for(2_000)
    follower.clock.resume()
    desk.wait(follower, "open")
    badge(follower, "1")
    # It thaws, and finds itself deposed.
    page.evaluate("window.frozen = false")
    desk.wait(page, "follower")
    desk.streams(page, 1)
    desk.send("Heard by both")
    for tab in (page, follower):
        titles(tab, ["Heard by both", "Unheard"])
        badge(tab, "2")


@pytest.mark.chromium("the cache for Back and Forward is switched on")
def test_a_page_that_is_left_keeps_no_stream_and_catches_up_on_the_way_back(
    desk: Desk, browser: Browser
) -> None:
    chromium = browsers.need()
    # Playwright switches the cache for Back and Forward off.
    with browser.browser_type.launch(
        executable_path=chromium.executable,
        env=chromium.env,
        args=list(browsers.ARGUMENTS),
        ignore_default_args=["--disable-back-forward-cache"],
    ) as launched:
        page = launched.new_page()
        page.add_init_script(
            "window.returns = []; addEventListener('pageshow', ({ persisted }) => returns.push(persisted))"
        )
        desk.open(page)
        desk.send("Before")
        badge(page, "1")
        page.goto(desk.url + "/stats/")
        desk.streams(page, 0)
        desk.send("Meanwhile")
        page.go_back(wait_until="commit")
        desk.wait(page, "open")
        assert page.evaluate("returns") == [False, True]
        titles(page, ["Meanwhile", "Before"])
        badge(page, "2")
        desk.streams(page, 1)
        page.go_forward(wait_until="commit")
        desk.streams(page, 0)


def test_what_is_read_on_one_device_is_read_on_the_other_but_for_what_arrives_meanwhile(
    desk: Desk, browser: Browser, page: Page
) -> None:
    desk.open(page)
    device = browser.new_context()
    other = desk.open(device.new_page())
    first = desk.send("First")
    desk.send("Second")
    for each in (page, other):
        badge(each, "2")
    page.locator("[data-ssen=bell]").click()
    page.locator(f"[data-ssen-item='{first}'] [data-ssen-mark=read]").click()
    for each in (page, other):
        badge(each, "1")
        expect(each.locator(f"[data-ssen-item='{first}'][data-unread]")).to_have_count(0)
    held: list[Route] = []
    page.route("**/notifications/read/", lambda route: held.append(route))
    with page.expect_request("**/notifications/read/"):
        page.locator("[data-ssen=all]").click()
    third = desk.send("Third")
    badge(other, "2")
    expect(page.locator(f"[data-ssen=new]:visible, [data-ssen-item='{third}']")).to_have_count(
        1, timeout=GUARD
    )
    held[0].continue_()
    for each in (page, other):
        badge(each, "1")
        expect(each.locator("sse-notify li[data-unread]")).to_have_count(1)
    page.reload()
    badge(page, "1")
    expect(page.locator("sse-notify li[data-unread] [data-ssen=title]")).to_have_text("Third")
    device.close()


def test_whoever_signs_in_next_in_this_browser_sees_nothing_of_the_one_before(
    desk: Desk, context: BrowserContext, page: Page
) -> None:
    desk.open(page)
    desk.send("Only for the first")
    badge(page, "1")
    second = Desk(desk.site, desk.server)
    other = second.open(context.new_page())
    # The first session ended with the second login.
    desk.wait(page, "unauthorized")
    badge(page, "")
    expect(page.get_by_text("Only for the first")).to_have_count(0)
    second.send("Only for the second")
    desk.send("Too late")
    badge(other, "1")
    titles(other, ["Only for the second"])
    for text in ("Only for the first", "Only for the second", "Too late"):
        expect(page.get_by_text(text)).to_have_count(0)
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("[data-ssen=status]")).to_contain_text("signed out")
    second.streams(other, 1)
    desk.streams(other, 0)
    # And the page of the first is the second's after a reload.
    page.reload()
    desk.wait(page, "follower")
    titles(page, ["Only for the second"])


def test_two_changes_between_two_looks_at_the_log_are_both_shown(desk: Desk, page: Page) -> None:
    desk.open(page)
    for title in ("One", "Two", "Three"):
        desk.send(title)
    badge(page, "3")
    desk.site.script(MARKS.format(user=desk.user))
    badge(page, "2")
    expect(page.locator("sse-notify [data-ssen=list] li[data-unread]")).to_have_count(2)
