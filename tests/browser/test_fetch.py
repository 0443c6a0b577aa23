"""What the script reads besides notifications, in Chromium, from real views: streams of one's own, and the progress of long work. (Issue 6.)"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from tests.conftest import MakeSite
from tests.support.desk import GUARD, Desk

#: Ask a view and note its events; ``ask.error`` is what it ended with.
SET_UP = """async () => {
  const { fetchEventStream } = await import(document.querySelector("script[src*=sse-notify]").src);
  window.ask = async (url, options = {}) => {
    const events = [];
    const controller = new AbortController();
    window.stop = () => controller.abort();
    const onEvent = ({ event, data, id }) => {
      events.push([event, data, id]);
      window.heard = events.length;
      return data !== "[DONE]";
    };
    try {
      const id = await fetchEventStream(url, { onEvent, signal: controller.signal, ...options });
      return { events, id };
    } catch ({ name, status, code, retryAfter }) {
      return { events, error: { name, status, code, retryAfter } };
    }
  };
}"""

#: Long work, which goes on until its user says stop.
WORK = """
import itertools, time
from django.contrib.auth.models import User
from sse_notify import Progress

with Progress(User.objects.get(username={user!r}), "Export", 10**6, key="export", stalls_after=60) as progress:
    for row in itertools.count(1):
        progress.check()
        progress.update(row, stage="Reading", message=f"row {{row}}")
        time.sleep(0.02)
"""


def ask(page: Page, url: str, options: str = "{}") -> dict[str, Any]:
    """Ask a view; ``options`` are JavaScript."""
    answer: dict[str, Any] = page.evaluate(f"ask({url!r}, {options})")
    return answer


def test_a_view_is_asked_in_every_way_and_its_events_are_read_as_they_come(desk: Desk, page: Page) -> None:
    """The view is protected against forgery: without the token there would be no answer."""
    desk.open(page)
    page.evaluate(SET_UP)
    words = [["message", "Grüße", "1"], ["message", "\N{GRINNING FACE}", "2"], ["message", "[DONE]", None]]
    text = "Grüße \N{GRINNING FACE}"
    form = f"(() => {{ const form = new FormData(); form.append('text', {text!r}); return form; }})()"
    for body, kind in ((f"{{ text: {text!r} }}", "application/json"), (form, "multipart/form-data"), (repr(text), "text/plain")):
        answer = ask(page, "/ask/", f"{{ body: {body}, headers: {{ Authorization: 'Bearer key' }} }}")
        assert "error" not in answer, (kind, answer)
        asked, *rest = answer["events"]
        assert rest == words, kind
        how = json.loads(asked[1])
        assert (how["method"], how["Content-Type"].split(";")[0], how["Authorization"]) == ("POST", kind, "Bearer key")
    again = ask(page, "/ask/", f"{{ body: {text!r}, lastEventId: '1' }}")
    assert (again["events"][1:], again["id"]) == (words[1:], "2")

    refused = ask(page, "/ask/", "{ body: 'text', csrf: 'x'.repeat(32) }")["error"]
    assert (refused["name"], refused["status"]) == ("SseNotifyError", 403)
    other = ask(page, "/", "{ resume: true }")["error"]
    assert (other["name"], other["status"]) == ("SseNotifyError", 0)

    before = len(httpx.get(desk.url + "/ticks/closed/", trust_env=False).json()["ended"])
    page.evaluate("void (window.asked = ask('/ticks/'))")
    page.wait_for_function("window.heard > 2", timeout=GUARD)
    page.evaluate("stop()")
    assert page.evaluate("asked.then(({ error }) => error.name)") == "AbortError"
    page.wait_for_function(f"async () => (await (await fetch('/ticks/closed/')).json()).ended.length > {before}", timeout=GUARD)


def test_the_progress_of_long_work_moves_in_the_panel_can_be_cancelled_and_is_shown_as_stalled(
    make_site: MakeSite, page: Page
) -> None:
    site = make_site(redis=True)
    server = site.serve()
    page.clock.install()
    desk = Desk(site, server)
    desk.open(page)
    work = WORK.format(user=desk.user)
    worker = site.start_script(work)
    stage, bar = page.locator("sse-notify li [data-ssen=stage]"), page.locator("sse-notify li progress")
    expect(stage).to_have_text(re.compile(r"^0% · Reading · row \d+"), timeout=GUARD)
    first = stage.text_content()
    expect(stage).not_to_have_text(first or "", timeout=GUARD)
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=cancel] button").click()
    expect(stage).to_have_text(re.compile(r"^Cancelled · "), timeout=GUARD)
    expect(page.locator("sse-notify li [data-ssen=cancel]")).to_have_count(0)
    expect(bar).to_be_hidden()
    assert worker.wait() == 0

    worker = site.start_script(work)
    expect(stage).to_have_text(re.compile(r"^0% · Reading · row \d+"), timeout=GUARD)
    expect(bar).to_be_visible()
    page.reload()  # what the server renders goes on as what came live does
    desk.wait(page, "open")
    worker.kill()
    expect(stage).to_have_text(re.compile(r"^0% · Reading · row \d+"))
    page.clock.run_for(61_000)
    expect(stage).to_have_text(re.compile(r"^Stalled · 0% · Reading · row \d+"))
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("sse-notify li [data-ssen=cancel] button")).to_be_visible()
