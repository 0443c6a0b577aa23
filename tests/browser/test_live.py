"""The admin's live page on two server processes: both are on it, its numbers follow, and its button reaches the other process."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser.test_axe import look
from tests.support.desk import GUARD, Desk

MakeSite = Any

LIVE = "/admin/sse_notify/notification/live/"
STAFF = """
from django.contrib.auth.models import User
from django.core.management import call_command
call_command("migrate", verbosity=0)  # the admin's own tables
User.objects.filter(username="carol").update(is_superuser=True)
"""


def test_the_live_page_follows_every_process_and_ends_a_users_streams(
    make_site: MakeSite, page: Page, browser: Browser
) -> None:
    site = make_site(
        redis=True,
        env={"EXTRA_APPS": "django.contrib.admin", "EXTRA_MIDDLEWARE": "tests.project.pace.quick"},
    )
    site.script(STAFF)
    one, two = site.serve(), site.serve()
    carol, desk = Desk(site, one), Desk(site, two)
    carol.user, carol._new = "carol", False
    carol.open(page, LIVE, connection="")
    processes, users = page.locator("[data-rows=hubs] tr"), page.locator("[data-rows=users] tr")
    expect(page.get_by_role("status")).to_contain_text("Up to date", timeout=GUARD)
    expect(users).to_have_text([re.compile("carol")])
    expect(page.locator("[data-totals] [data-of=rate]")).to_have_text(
        re.compile(r"^\d"), timeout=GUARD
    )

    # It follows: another process has a stream, of another user, and the log goes on.
    other = desk.open(browser.new_context().new_page())
    desk.send("Hello")
    expect(processes).to_have_count(2, timeout=GUARD)
    names = processes.locator("[data-of=process]").all_text_contents()
    assert {name.rpartition(":")[2] for name in names} == {str(one.pid), str(two.pid)}
    row = users.filter(has_text=desk.user)
    expect(row.locator("[data-of=streams]")).to_have_text("1", timeout=GUARD)
    for cell in (
        page.locator("[data-totals] [data-of=head]"),
        processes.last.locator("[data-of=cursor]"),
    ):
        expect(cell).to_have_text("1", timeout=GUARD)

    look(page, "#content-main")

    # Without a script the same is there as a picture of the moment, which says so.
    still = page.context.request.get(one.url + LIVE).text()
    assert all(f">{name}</" in still for name in (*names, desk.user))
    assert re.search(r'"still">Shows the state', still)

    # The button of a row that the script has made reaches the process that the page is not on.
    row.get_by_role("button").click()
    expect(page.get_by_text(f"The open streams of {desk.user} were ended.")).to_be_visible()
    desk.wait(other, "unauthorized")
    expect(users).to_have_text([re.compile("carol")], timeout=GUARD)
    expect(processes).to_have_count(1)
