"""The bell in a real browser, in front of a real server: what it shows, what it never does, and what is there without a script."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.docs.pages import DOCS, blocks
from tests.support.desk import GUARD, Desk, badge, titles

#: Nothing but files of the site, and no text may become markup.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; require-trusted-types-for 'script'"

#: Text that would be markup, a template, an attribute's end or a script's end somewhere.
HOSTILE = [
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>',
    "\"><svg onload=window.hacked=1> ' autofocus onfocus=window.hacked=1 x='",
    "</template></li></ul><iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "{{ 7|add:7 }}{% now 'Y' %} ${window.hacked=1} &lt;b&gt;&#60;b&#62; </title><b>",
    "\u202egnp.exe\u2028\u2029 $& $1 {title} {count}",
]

#: Addresses that no notification may lead to, however it got them.
ADDRESSES = [
    "javascript:window.hacked=1",
    "JaVaScRiPt:alert(1)//http://",
    "data:text/html,<script>1</script>",
    "vbscript:1",
    "//other.test/",
    "https://other.test/",
    "\\\\other.test/",
    "/\\other.test/",
    "https:other.test",
    "http://127.0.0.1@other.test/",
    "file:///etc/passwd",
    "http://[half",
]

#: Writes rows that notify() would not write.
BAD_ROWS = """
from django.contrib.auth import get_user_model
from django.db import transaction
from sse_notify import notify
from sse_notify.models import Notification
user = get_user_model().objects.get(username={user!r})
with transaction.atomic():
    for address in {addresses!r}:
        row = notify(user, "Title")
        actions = [dict(label="Go", url=address), dict(label="Go", url=address, method="POST")]
        Notification.objects.filter(pk=row.pk).update(url=address, icon=address, actions=actions, level={level!r})
"""


def test_marking_all_read_empties_the_badge_here_and_in_another_tab(desk: Desk, page: Page) -> None:
    desk.open(page)
    other = desk.open(page.context.new_page(), connection="follower", sign_in=False)
    desk.send("One")
    desk.send("Two")
    for tab in (page, other):
        badge(tab, "2")
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=all]").click()
    for tab in (page, other):
        badge(tab, "")
        expect(tab.locator("sse-notify li[data-unread]")).to_have_count(0)


def test_a_repeat_under_its_key_takes_the_place_of_the_first(desk: Desk, page: Page) -> None:
    desk.open(page)
    desk.send("Build 1", key="build")
    titles(page, ["Build 1"])
    desk.send("Build 2", key="build")
    titles(page, ["Build 2"])
    expect(page.locator("sse-notify li [data-ssen=count]")).to_have_text("\N{MULTIPLICATION SIGN}2")
    badge(page, "1")


def test_text_is_shown_as_text(desk: Desk, page: Page, page_errors: list[str]) -> None:
    desk.open(page)
    for hostile in HOSTILE:
        button = {"label": hostile, "url": "/"}
        desk.send(
            hostile,
            body=hostile,
            category=hostile[:30],
            actions=[button, {**button, "method": "POST"}],
        )
        expect(page.locator(".ssen-toast [data-ssen=title]").last).to_have_text(
            hostile, timeout=GUARD
        )
    newest_first = HOSTILE[::-1]
    for path in ("/", "/", "/notifications/"):  # live, rendered by the server, and the list page
        item = page.locator("li[data-ssen-item]")
        expect(item.locator("[data-ssen=title]")).to_have_text(newest_first)
        expect(item.locator("[data-ssen=body]")).to_have_text(newest_first)
        expect(item.locator("[data-ssen=category]")).to_have_text(
            [text[:30] for text in newest_first]
        )
        for place, text in zip(
            item.locator("[data-ssen=actions]").all(), newest_first, strict=True
        ):
            expect(place.locator(".ssen-action")).to_have_text([text, text])
        expect(
            page.locator(":is(sse-notify, main) :is(script, iframe, style, object, img, b)")
        ).to_have_count(0)
        assert page.evaluate("window.hacked") is None
        page.goto(desk.url + path)
    assert page_errors == []


def test_an_address_that_is_none_of_this_site_is_no_link_and_a_level_that_is_none_is_no_markup(
    desk: Desk, page: Page
) -> None:
    """notify() refuses the worst of these; whoever writes to the table does not ask it."""
    desk.open(page)
    level = '"><b x="'
    desk.site.script(BAD_ROWS.format(addresses=ADDRESSES, user=desk.user, level=level))
    items = page.locator("sse-notify [data-ssen=list] > li")
    for _ in ("live", "rendered by the server"):
        expect(items).to_have_count(len(ADDRESSES), timeout=GUARD)
        expect(items.locator(":is(a, img, form, b)")).to_have_count(0)
        page.reload()


def test_of_what_another_server_sends_the_good_is_shown(
    desk: Desk, page: Page, page_errors: list[str]
) -> None:
    """A server of another version, or a proxy's cache: this one sends what is valid."""
    good = {"label": "Go", "url": "/"}
    whole: list[Any] = [None, "x", 7, {}, good, [None], ["x"], [7], [[]], [{}]]
    bad: list[Any] = [[good | {"url": address, "method": "POST"}] for address in ADDRESSES]
    odd: list[Any] = [*whole, *bad, [None, good, "x", {"label": None, "url": None}]]
    more = {"url": ADDRESSES[0], "icon": None, "level": None, "category": None, "progress": 7}
    items = [
        {"id": number, "seq": number, "title": f"Odd {number}", "count": 1, "actions": each, **more}
        for number, each in enumerate(odd, start=1)
    ]
    desk.open(page)
    page.route("**/items/**", lambda route: route.fulfill(json={"items": items, "next": None}))
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=tab][data-state=unread]").click()
    shown = page.locator("sse-notify [data-ssen=list] > li")
    expect(shown).to_have_count(len(odd), timeout=GUARD)
    expect(shown.last.locator(".ssen-action")).to_have_text("Go")
    expect(shown.locator(":is(a, form):not([data-ssen])")).to_have_count(1 + odd.count(good))
    assert page_errors == []


@pytest.mark.chromium("the console's words are read")
def test_the_strictest_policy_is_not_violated_whatever_the_user_does(
    desk: Desk, page: Page, page_errors: list[str]
) -> None:
    assert next(blocks(DOCS / "how-to" / "csp.md")).code.strip() == POLICY

    def with_policy(route: Route) -> None:
        response = route.fetch()
        route.fulfill(
            response=response, headers={**response.headers, "Content-Security-Policy": POLICY}
        )

    page.route(re.compile(r"/(notifications/)?$"), with_policy)
    page.add_init_script(
        "window.violations = []; document.addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective))"
    )
    desk.sign_in(page.context)
    for number in range(21):
        desk.send(f"Number {number}", silent=True)
    desk.open(page)
    with page.expect_event("console", lambda message: "violates" in message.text):
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('style'), { textContent: 'b { color: red }' }))"
        )
    assert page.evaluate("violations.splice(0)"), "the policy is not in force"
    icon = "/static/sse_notify/icon.png"
    actions: list[dict[str, str]] = [
        {"label": "Go", "url": "/stats/"},
        {"label": "Post", "url": "/logout/", "method": "POST"},
    ]
    desk.send(
        "One",
        body="Text",
        icon=icon,
        actions=actions,
        level="error",
        progress={"state": "running", "percent": 40},
    )
    badge(page, "22")
    expect(page.locator(".ssen-toast")).to_be_visible()
    page.locator("[data-ssen=dismiss]").click()
    page.locator("[data-ssen=bell]").click()
    items = page.locator("sse-notify [data-ssen=list] > li")
    first = items.first
    first.locator("[data-ssen-mark=read]").click()
    first.locator("[data-ssen-mark=unread]").click()
    first.locator("[data-ssen-mark=archive]").click()
    expect(items.locator("[data-ssen=title]").first).to_have_text("Number 20")
    page.locator("[data-ssen=undo]").click()
    expect(items.locator("[data-ssen=title]").first).to_have_text("One")
    items.last.scroll_into_view_if_needed()
    expect(items).to_have_count(22)
    page.locator("[data-ssen=tab]").nth(1).click()
    page.locator("[data-ssen=all]").click()
    badge(page, "")
    assert page.evaluate("violations") == []
    desk.open(page, "/notifications/", connection="", sign_in=False)
    expect(page.locator("main li[data-ssen-item]")).to_have_count(20)
    assert page.evaluate("violations") == []
    # The policy does not stop a form, nor should it.
    page.locator("main [data-ssen-mark=archive]").first.click()
    expect(page.locator("main li [data-ssen=title]").first).to_have_text("Number 20")
    assert page.evaluate("violations") == []
    page_errors.clear()


@pytest.mark.chromium("JavaScript is switched off")
def test_without_javascript_the_inbox_is_read_marked_and_archived(
    desk: Desk, browser: Browser
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    desk.open(page, connection="")
    for title in ("One", "Two", "Three"):
        desk.send(title)
    page.reload()
    badge(page, "3")
    page.locator("[data-ssen=bell]").click()
    items = page.locator("li[data-ssen-item]")
    expect(items.locator("[data-ssen=title]")).to_have_text(["Three", "Two", "One"])
    items.first.locator("[data-ssen-mark=read]").click()
    expect(page.locator("li[data-unread]")).to_have_count(2)
    desk.send("Meanwhile")  # what the user has not seen yet stays unread
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.locator("li[data-unread] [data-ssen=title]")).to_have_text(["Meanwhile"])
    items.nth(1).locator("[data-ssen-mark=archive]").click()
    expect(items.locator("[data-ssen=title]")).to_have_text(["Meanwhile", "Two", "One"])
    page.get_by_role("link", name="Archived").click()
    expect(items.locator("[data-ssen=title]")).to_have_text(["Three"])
    items.locator("[data-ssen-mark=unarchive]").click()
    expect(items).to_have_count(0)
    page.get_by_role("link", name="All", exact=True).click()
    expect(items.locator("[data-ssen=title]")).to_have_text(["Meanwhile", "Three", "Two", "One"])
    context.close()


def test_without_popovers_the_bell_stays_a_link_with_a_live_number(desk: Desk, page: Page) -> None:
    """A browser before Chrome 114, Firefox 125 or Safari 17; the oldest know no layers, so no rule of the stylesheet hides the panel."""
    page.add_init_script(
        """for (const name of ["popover", "showPopover", "hidePopover", "togglePopover"])
             delete HTMLElement.prototype[name];
           delete HTMLButtonElement.prototype.popoverTargetElement;"""
    )
    page.route("**/sse-notify*.css", lambda route: route.fulfill(content_type="text/css"))
    desk.open(page)
    expect(page.locator("sse-notify [data-ssen=panel]")).to_have_count(0)
    desk.send("Hello")
    badge(page, "1")
    page.get_by_role("link", name="Notifications, 1 new").click()
    expect(page.locator("li[data-ssen-item] [data-ssen=title]")).to_have_text(["Hello"])
