"""A broadcast on its way from the admin's page to somebody else's, and back, in real browsers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Expect, Page, Route

from tests.browser.test_axe import look
from tests.conftest import MakeSite
from tests.support.desk import GUARD, Desk, titles
from tests.support.servers import Server

#: Waits for what a page of the admin asks its server for.
expect = Expect()
expect.set_options(timeout=GUARD)

#: As strict as Django's own admin bears.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'"

#: Carol is staff, and may do what the page is for, no more.
PREPARE = """
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
call_command("migrate", verbosity=0)
names = ["view_notification", "broadcast_notification", "view_user"]
User.objects.get(username="carol").user_permissions.set(Permission.objects.filter(codename__in=names))
"""


class Window:
    """A browser window, with what its pages complained about."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        context.set_default_timeout(GUARD)
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def look(self, button: str) -> None:
        """Look for faults with axe, which itself tries a style that the policy refuses, once the page with this button is there."""
        expect(self.page.get_by_role("button", name=button)).to_be_visible()
        before = len(self.complaints)
        look(self.page, "#content-main")
        del self.complaints[before:]


@pytest.fixture
def window(browser: Browser) -> Iterator[Any]:
    """Open windows of different people."""
    opened: list[Window] = []

    def open_window(**options: Any) -> Window:
        opened.append(Window(browser.new_context(**options)))
        return opened[-1]

    yield open_window
    for one in opened:
        one.page.unroute_all(behavior="ignoreErrors")  # a picture may still be on its way
        one.context.close()
        assert not one.complaints, "\n".join(one.complaints)


def with_policy(route: Route) -> None:
    response = route.fetch()
    route.fulfill(
        response=response, headers={**response.headers, "Content-Security-Policy": POLICY}
    )


def sign_in(one: Window, server: Server, username: str) -> None:
    assert one.context.request.post(f"{server.url}/login/", form={"username": username}).ok


@pytest.mark.chromium("a header is added to answers that have cookies")
@pytest.mark.timeout(120)
def test_a_broadcast_from_the_admin_is_shown_in_another_browser_and_leaves_it_when_it_is_recalled(
    make_site: MakeSite, window: Any
) -> None:
    site = make_site(env={"EXTRA_APPS": "django.contrib.admin"})
    site.script(PREPARE)
    server = site.serve()
    reader, sender = window(), window(color_scheme="dark")
    sign_in(reader, server, "alice")
    reader.page.goto(server.url)
    Desk.wait(reader.page, "open")

    sign_in(sender, server, "carol")
    page: Page = sender.page
    page.route(re.compile(r"/admin/"), with_policy)
    page.goto(f"{server.url}/admin/sse_notify/notification/")
    page.get_by_role("link", name="Compose broadcast").click()
    reach, connected = (
        page.locator("[data-ssen-number=reach]"),
        page.locator("[data-ssen-number=connected]"),
    )
    expect(reach).to_have_text("3")
    expect(connected).to_have_text("1")
    # Only what the chosen audience needs is asked for, and the numbers follow.
    expect(page.get_by_label("Usernames")).to_be_hidden()
    page.get_by_label("Staff").check()
    expect(reach).to_have_text("1")
    expect(connected).to_have_text("0")
    page.get_by_label("Groups").check()
    expect(reach).to_have_text("-")
    page.get_by_label("team").check()
    expect(reach).to_have_text("2")
    page.get_by_label("Chosen users").check()
    page.locator(".field-users .select2-search__field").fill("bo")
    page.locator(".select2-results__option", has_text="bob").click()
    expect(reach).to_have_text("1")
    page.get_by_label("Usernames").fill("alice")
    expect(reach).to_have_text("2")
    page.get_by_label("Everyone").check()
    # The preview is the item itself.
    page.get_by_label("Title").fill("Maintenance <b>")
    page.get_by_label("Body").fill("On Sunday")
    page.get_by_label("Level").select_option("warning")
    page.locator("[name=url]").fill("/stats/")
    preview = page.locator(".ssen-aside li[data-ssen-item]")
    expect(preview.locator("a[data-ssen=title]")).to_have_text("Maintenance <b>")
    expect(preview).to_have_attribute("data-level", "warning")
    sender.look("Continue")
    page.get_by_role("button", name="Continue").click()
    sender.look("Send")
    expect(reach).to_have_text("3")
    expect(connected).to_have_text("1")
    expect(reader.page.locator("sse-notify li")).to_have_count(0)
    page.get_by_role("button", name="Send").click()

    titles(reader.page, ["Maintenance <b>"])
    expect(reader.page.locator(".ssen-toast")).to_be_visible()
    expect(page.locator(".messagelist")).to_have_text("Sent. Audience: Everyone. Reach: 3.")
    # It arrived, and the admin sees that it is read.
    reader.page.locator("[data-ssen=bell]").click()
    with reader.page.expect_response("**/read/"):
        reader.page.locator("sse-notify [data-ssen-mark=read]").click()
    page.get_by_role("link", name="Notifications").last.click()
    row = page.locator("#result_list tbody tr")
    expect(row.locator(".field-reach")).to_have_text("3")
    expect(row.locator(".field-read")).to_have_text("1")

    row.locator("input.action-select").check()
    page.locator("select[name=action]").select_option(label="Recall selected notifications…")
    page.locator("button[name=index]").click()
    sender.look("Recall")
    page.get_by_role("button", name="Recall").click()
    titles(reader.page, [])
    expect(row.locator(".field-state")).to_have_text("Recalled")


def test_a_long_title_leaves_room_for_the_columns_beside_it(
    make_site: MakeSite, window: Any
) -> None:
    site = make_site(env={"EXTRA_APPS": "django.contrib.admin"})
    site.script(PREPARE)
    server = site.serve()
    site.send(server, "notify", to="alice", title="W" * 255)
    one = window(viewport={"width": 1280, "height": 800})
    sign_in(one, server, "carol")
    one.page.goto(f"{server.url}/admin/sse_notify/notification/")
    expect(one.page.locator("#result_list .field-reach")).to_be_in_viewport(ratio=1)
