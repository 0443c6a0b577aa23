"""The bar of long work in the panel: it moves, survives a reload, stalls with its worker, comes back with it, and has a button."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import MakeSite
from tests.support.desk import Desk, requests

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
    expect(page.locator("sse-notify li :focus")).to_be_visible()  # though its button is gone
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


#: Resolves with when each of the next moves of the bar is seen, in seconds, and how often the page had asked by then.
MOVES = """number => new Promise((resolve) => {
  const begun = performance.now();
  const asked = performance.getEntriesByType("resource").length;
  const bar = document.querySelector("sse-notify li progress");
  const moves = [];
  let last = bar.value;
  new MutationObserver(() => {
    if (bar.value === last) return;
    last = bar.value;
    const items = performance.getEntriesByType("resource").slice(asked).filter(({ name }) => name.includes("/items/"));
    if (moves.push([(performance.now() - begun) / 1000, items.length]) === number) resolve(moves);
  }).observe(bar, { attributes: true });
})"""


def test_without_a_layer_the_bar_moves_at_the_pace_of_the_poll_and_not_when_work_may_have_stalled(
    make_site: MakeSite, page: Page
) -> None:
    """It moved every 30 seconds, as nothing is told live between the processes."""
    site = make_site(env={"SSE_NOTIFY": '{"POLL_INTERVAL": 0.5}'})
    desk = Desk(site, site.serve())
    desk.open(page)
    script = WORKER.replace("stalls_after=2", "stalls_after=600")
    worker = site.start_script(f"USER = {desk.user!r}{script}")
    stage = page.locator("sse-notify li [data-ssen=stage]")
    expect(stage).to_have_text(re.compile(r"^1\d% · Writing"), timeout=GUARD)
    moves = page.evaluate(MOVES, 4)
    # Each by an answer of its own, a second apart; before, the fourth came after two minutes.
    for number, (seconds, asked) in enumerate(moves, start=1):
        assert number <= asked <= seconds + 2, moves
    assert moves[-1][0] < 60, moves
    worker.kill()


@pytest.mark.parametrize("stalls", [0.001, 0, -1, 1e12])
def test_a_page_asks_about_work_at_most_once_a_second_whatever_it_is_told(
    desk: Desk, page: Page, stalls: float
) -> None:
    page.clock.install()
    desk.open(page)
    id = desk.send("Import", progress={"state": "running", "percent": 40})
    stage = page.locator("sse-notify li [data-ssen=stage]")
    expect(stage).to_have_text("40%", timeout=GUARD)
    told = {"id": id, "title": "Import", "state": "running", "stage": "Told", "stalls_in": stalls}
    page.route(
        "**/items/**", lambda route: route.fulfill(json={"items": [{**told, "progress": told}]})
    )
    asked = requests(page, "/items/")
    begun = page.evaluate("Date.now()")
    desk.site.send(desk.server, "report", to=desk.user, data=told)
    expect(stage).to_have_text("Told", timeout=GUARD)
    for _ in range(30):
        page.clock.run_for(100)
        page.evaluate("fetch('/stats/').then((answer) => answer.text())")  # time for an answer
    seconds = (page.evaluate("Date.now()") - begun) / 1_000
    assert len(asked) <= (0 if stalls > 1 else seconds)


def test_an_event_of_the_projects_that_has_the_name_of_ours_moves_no_bar(
    desk: Desk, page: Page
) -> None:
    desk.open(page)
    id = desk.send("Import", progress={"state": "running", "percent": 40})
    work = page.locator(f"sse-notify li[data-ssen-item='{id}'] [data-ssen=stage]")
    expect(work).to_have_text("40%", timeout=GUARD)
    with page.expect_request("**/stream/*topic=wall*"):
        page.evaluate("document.querySelector('sse-notify').client.eventSource('wall', 'progress')")
    desk.wait(page, "open")
    told = {"id": id, "state": "running", "percent": 50, "stage": "Theirs"}
    code = f"from django.contrib.auth.models import User\nprint(User.objects.get(username={desk.user!r}).pk)"
    for topic in ("wall", "progress", f"user:{desk.site.script(code).strip()}"):
        desk.site.send(desk.server, "publish", topic=topic, data=told, event="progress")
    desk.site.send(desk.server, "publish", topic="progress", data=told)
    theirs = desk.send("Theirs", event="progress", data=told)
    item = page.locator(f"sse-notify li[data-ssen-item='{theirs}']")
    expect(item.locator("[data-ssen=title]")).to_have_text("Theirs", timeout=GUARD)
    expect(item.locator("[data-ssen=progress]")).to_be_hidden()
    expect(work).to_have_text("40%")
    desk.site.send(desk.server, "report", to=desk.user, data={**told, "stage": "Ours"})
    expect(work).to_have_text("50% · Ours", timeout=GUARD)
