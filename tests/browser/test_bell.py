"""The bell in a real browser, in front of real servers: what issue 2 promises a user."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.servers import Server
from tests.support.site import Site

GUARD = 30_000  # ms

#: Nothing but files of the site, and no text may become markup.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; require-trusted-types-for 'script'"

#: Notifies from a process that is no server.
NOTIFY = """
import sse_notify
from django.contrib.auth import get_user_model
sse_notify.notify(get_user_model().objects.get(username="alice"), {title!r}, {body!r}, key={key!r})
"""


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
BAD_ADDRESSES = """
from django.contrib.auth import get_user_model
from django.db import transaction
from sse_notify import notify
from sse_notify.models import Notification
with transaction.atomic():
    for address in {addresses!r}:
        row = notify(get_user_model().objects.get(username="alice"), "Title")
        actions = [dict(label="Go", url=address), dict(label="Go", url=address, method="POST")]
        Notification.objects.filter(pk=row.pk).update(url=address, icon=address, actions=actions)
"""


def open_bell(page: Page, server: Server) -> None:
    """Sign in, load the page, wait until it is live."""
    page.context.request.post(server.url + "/login/", form={"username": "alice"})
    page.goto(server.url)
    expect(page.locator("sse-notify[data-connection=open]")).to_be_attached(timeout=GUARD)


def notify(site: Site, title: str, body: str = "", key: str = "") -> None:
    """Notify from a process that is no server."""
    site.script(NOTIFY.format(title=title, body=body, key=key))


def test_what_was_sent_while_the_server_was_away_appears_once(site: Site, page: Page, page_errors: list[str]) -> None:
    server = site.serve()
    open_bell(page, server)
    notify(site, "While open")
    badge = page.locator("[data-ssen=badge]")
    expect(badge).to_have_text("1", timeout=GUARD)
    server.kill()
    notify(site, "While away")
    server.start()
    expect(badge).to_have_text("2", timeout=GUARD)
    titles = page.locator("sse-notify li [data-ssen=title]")
    expect(titles).to_have_text(["While away", "While open"])
    page.reload()
    expect(titles).to_have_text(["While away", "While open"])
    expect(badge).to_have_text("2")
    assert page_errors == []


def test_marking_all_read_empties_the_badge_here_and_in_another_tab(site: Site, page: Page) -> None:
    server = site.serve()
    open_bell(page, server)
    other = page.context.new_page()
    other.goto(server.url)
    expect(other.locator("sse-notify[data-connection=follower]")).to_be_attached(timeout=GUARD)
    notify(site, "One")
    notify(site, "Two")
    for tab in (page, other):
        expect(tab.locator("[data-ssen=badge]")).to_have_text("2", timeout=GUARD)
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=all]").click()
    for tab in (page, other):
        expect(tab.locator("[data-ssen=badge]")).to_be_hidden(timeout=GUARD)
        expect(tab.locator("sse-notify li[data-unread]")).to_have_count(0)


def test_a_repeat_under_its_key_takes_the_place_of_the_first(site: Site, page: Page) -> None:
    server = site.serve()
    open_bell(page, server)
    notify(site, "Build 1", key="build")
    expect(page.locator("sse-notify li")).to_have_count(1, timeout=GUARD)
    notify(site, "Build 2", key="build")
    expect(page.locator("sse-notify li [data-ssen=title]")).to_have_text(["Build 2"], timeout=GUARD)
    expect(page.locator("sse-notify li [data-ssen=count]")).to_have_text("\N{MULTIPLICATION SIGN}2")
    expect(page.locator("[data-ssen=badge]")).to_have_text("1")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_is_shown_as_text(site: Site, page: Page, page_errors: list[str], hostile: str) -> None:
    server = site.serve()
    open_bell(page, server)
    site.send(
        server, "notify", to="alice", title=hostile, body=hostile, category=hostile[:30], actions=[{"label": hostile, "url": "/"}]
    )
    expect(page.locator(".ssen-toast [data-ssen=title]")).to_have_text(hostile, timeout=GUARD)
    for _ in ("live", "rendered by the server"):
        item = page.locator("sse-notify li")
        expect(item.locator("[data-ssen=title]")).to_have_text(hostile)
        expect(item.locator("[data-ssen=body]")).to_have_text(hostile)
        expect(item.locator("[data-ssen=category]")).to_have_text(hostile[:30])
        expect(item.locator("[data-ssen=actions]")).to_have_text(hostile)
        expect(page.locator("sse-notify :is(script, iframe, style, object, img, b)")).to_have_count(0)
        page.reload()
    assert page.evaluate("window.hacked") is None
    assert page_errors == []


def test_an_address_that_is_none_of_this_site_is_no_link(site: Site, page: Page) -> None:
    """notify() refuses the worst of these; whoever writes to the table does not ask it."""
    server = site.serve()
    open_bell(page, server)
    site.script(BAD_ADDRESSES.format(addresses=ADDRESSES))
    items = page.locator("sse-notify li")
    expect(items).to_have_count(len(ADDRESSES), timeout=GUARD)
    for _ in ("live", "rendered by the server"):
        expect(items).to_have_count(len(ADDRESSES))
        expect(items.locator(":is(a, img, form)")).to_have_count(0)
        page.reload()


def test_a_session_that_ends_leaves_nothing_of_it_on_the_screen(site: Site, page: Page) -> None:
    server = site.serve()
    open_bell(page, server)
    notify(site, "Secret")
    expect(page.locator("[data-ssen=badge]")).to_have_text("1", timeout=GUARD)
    page.context.clear_cookies()
    server.kill()
    server.start()
    expect(page.locator("sse-notify[data-connection=unauthorized]")).to_be_attached(timeout=GUARD)
    expect(page.locator("[data-ssen=badge]")).to_be_hidden()
    expect(page.get_by_text("Secret")).to_have_count(0)
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("[data-ssen=status]")).to_contain_text("signed out")


def test_the_strictest_policy_is_not_violated(site: Site, page: Page, page_errors: list[str]) -> None:
    server = site.serve()

    def with_policy(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, headers={**response.headers, "Content-Security-Policy": POLICY})

    page.route(server.url + "/", with_policy)
    page.add_init_script(
        "window.violations = []; document.addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective))"
    )
    open_bell(page, server)
    notify(site, "One", "Text")
    expect(page.locator("[data-ssen=badge]")).to_have_text("1", timeout=GUARD)
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("[data-ssen=panel]")).to_be_visible()
    page.locator("[data-ssen-mark=read]:visible").click()
    expect(page.locator("[data-ssen=badge]")).to_be_hidden(timeout=GUARD)
    assert page.evaluate("violations") == []
    assert page_errors == []


def test_without_javascript_the_bell_leads_to_the_inbox(site: Site, browser: Browser) -> None:
    server = site.serve()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.context.request.post(server.url + "/login/", form={"username": "alice"})
    notify(site, "One")
    page.goto(server.url)
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("li [data-ssen=title]")).to_have_text("One")
    page.locator("li [data-ssen-mark=read]").click()
    expect(page.locator("li[data-unread]")).to_have_count(0)
    context.close()


def test_a_server_that_refuses_for_a_while_is_waited_for(site: Site, page: Page) -> None:
    server = site.serve()
    refused = []

    def refuse(route: Route) -> None:
        refused.append(route.request.url)
        route.fulfill(
            status=503, headers={"Retry-After": "0"}, json={"error": "draining", "message": "The server is restarting."}
        )

    page.route("**/stream/**", refuse, times=3)
    open_bell(page, server)
    assert len(refused) == 3
    notify(site, "One")
    expect(page.locator("[data-ssen=badge]")).to_have_text("1", timeout=GUARD)
