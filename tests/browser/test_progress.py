"""The bar of long work in the panel: it moves, survives a reload, stalls with its worker, comes back with it, and has a button."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.conftest import MakeSite
from tests.support.desk import Desk

GUARD = 60_000  # ms

# Work that takes its time, and ends when its user asks for it.
WORKER = """
import time
from django.contrib.auth.models import User
from sse_notify import Progress

with Progress(User.objects.get(username=USER), "Export", 100_000, key="export", stalls_after=2) as progress:
    progress.update(10_000, stage="Writing")
    while True:
        progress.check()
        progress.advance()
        time.sleep(0.002)  # the work
"""

IMPORT = """
from django.contrib.auth.models import User
from sse_notify import Progress

with Progress(User.objects.get(username=USER), "Import", 2) as progress:
    progress.finish("2 rows", url="/import/")
"""


def test_the_bar_follows_its_worker_through_reload_death_return_and_cancel(
    make_site: MakeSite, page: Page
) -> None:
    site = make_site(redis=True, env={"SSE_NOTIFY": '{"POLL_INTERVAL": 0.5}'})
    desk = Desk(site, site.serve())
    desk.open(page)
    script = f"USER = {desk.user!r}{WORKER}"
    worker = site.start_script(script)
    stage, bar = (
        page.locator("sse-notify li [data-ssen=stage]"),
        page.locator("sse-notify li progress"),
    )
    cancel = page.locator("sse-notify li").get_by_role("button", name="Cancel")

    expect(stage).to_have_text(re.compile(r"^1\d% · Writing( · in .+)?$"), timeout=GUARD)
    before = bar.evaluate("bar => bar.value")
    page.wait_for_function(
        "before => document.querySelector('sse-notify li progress').value > before", arg=before
    )
    expect(page.locator("[data-ssen-toast]")).to_have_count(0)  # its user has begun it
    page.reload()
    desk.wait(page, "open")
    expect(stage).to_have_text(re.compile(r"^\d+% · Writing"))
    # The row may be half a second behind what open pages were told; the next event is not.
    page.wait_for_function(
        "before => document.querySelector('sse-notify li progress').value >= before", arg=before
    )

    page.locator("[data-ssen=bell]").click()
    expect(bar).to_be_visible()
    worker.kill()
    expect(stage).to_have_text(re.compile(r"^Stalled · \d+% · Writing$"), timeout=GUARD)
    expect(bar).to_be_hidden()
    expect(cancel).to_be_visible()

    worker = site.start_script(script)
    expect(stage).to_have_text(re.compile(r"^1\d% · Writing( · in .+)?$"), timeout=GUARD)
    expect(bar).to_be_visible()
    expect(
        page.locator("sse-notify li [data-ssen=count]")
    ).to_be_hidden()  # sent three times by now, of one work
    cancel.click()
    expect(stage).to_have_text(re.compile(r"^Cancelled · 1\d% · Writing$"), timeout=GUARD)
    expect(bar).to_be_hidden()
    expect(cancel).to_be_hidden()
    assert worker.wait() == 0
    expect(page.locator("sse-notify li")).to_have_attribute("data-level", "warning")
    page.locator("[data-ssen=bell]").click()

    # One that no layer connects with the server is heard of when it begins and ends, and asked after in between.
    worker = site.start_script(script, env={"REDIS_URL": ""})
    expect(stage).to_have_text(re.compile(r"^1\d% · Writing"), timeout=GUARD)
    before = bar.evaluate("bar => bar.value")
    page.wait_for_function(
        "before => document.querySelector('sse-notify li progress').value > before", arg=before
    )
    expect(stage).to_have_text(re.compile(r"^1\d% · Writing"))
    page.locator("[data-ssen=bell]").click()
    cancel.click()  # works again, though it was pressed before
    assert worker.wait() == 0
    expect(stage).to_have_text(re.compile(r"^Cancelled"), timeout=GUARD)

    # Its end is told wherever the user is, with what came of it.
    page.locator("[data-ssen=bell]").click()
    site.script(f"USER = {desk.user!r}{IMPORT}")
    toast = page.locator("[data-ssen-toast]")
    expect(toast).to_contain_text("Import", timeout=GUARD)
    expect(toast).to_contain_text("Done · 100% · 2 rows")
    expect(toast).to_have_attribute("data-level", "success")
    expect(toast.locator("a")).to_have_attribute("href", re.compile("/import/$"))
