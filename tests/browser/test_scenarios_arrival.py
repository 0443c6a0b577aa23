"""Much arrives at once, and somebody listens rather than looks: what the page does with it, and what it says."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.desk import Desk, badge, titles

#: Notifies many times in one transaction, so that all arrive within a moment.
FLOOD = """
from django.contrib.auth.models import User
from django.db import transaction
from sse_notify import notify
user = User.objects.get(username={user!r})
with transaction.atomic():
    for number in range(200):
        notify(user, f"Number {{number}}", category="flood")
"""

#: Keeps what the live region says, and when, by the page's clock.
LISTEN = """() => {
  window.said = [];
  const live = document.querySelector("[data-ssen=live]");
  new MutationObserver(() => live.textContent && said.push([live.textContent, Date.now()])).observe(live, { childList: true });
}"""

#: Notes in which frame the list changed, and how much, and counts what the bell has heard.
WATCH = """() => {
  window.frame = 0;
  window.batches = [];
  window.told = 0;
  const count = () => { frame++; requestAnimationFrame(count); };
  count();
  new MutationObserver((changes) => batches.push([frame, changes.length])).observe(
    document.querySelector("[data-ssen=list]"), { childList: true });
  document.addEventListener("sse-notify:notification", () => told++);
}"""


def said(page: Page) -> list[str]:
    """Return what the live region has said so far."""
    texts: list[str] = page.evaluate("said.map(([text]) => text)")
    return texts


@pytest.mark.chromium("layouts are counted by the developer tools")
def test_two_hundred_at_once_are_one_batch_a_frame_one_announcement_and_a_right_badge(
    desk: Desk, page: Page
) -> None:
    desk.open(page)
    page.locator("[data-ssen=bell]").click()
    page.evaluate(WATCH)
    page.evaluate(LISTEN)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def layouts() -> int:
        metrics = {
            metric["name"]: metric["value"]
            for metric in session.send("Performance.getMetrics")["metrics"]
        }
        return int(metrics["LayoutCount"])

    before = layouts()
    desk.site.script(FLOOD.format(user=desk.user))
    page.wait_for_function("told === 200")
    badge(page, "99+")
    expect(page.locator("[data-ssen=list] > li").first).to_contain_text("Number 199")
    expect(page.locator("[data-ssen=bell]")).to_have_attribute(
        "aria-label", "Notifications, 200 new"
    )
    page.wait_for_function("said.length > 0")
    after = layouts()
    frames = page.evaluate("batches.map(([frame]) => frame)")
    assert len(set(frames)) == len(frames), "the list changed twice in one frame"
    # Each batch is laid out once; the button for more, the badge and the first look at the panel may cost one more.
    assert after - before <= 3 * len(frames) + 10 < 100, "a layout for each notification"
    assert page.evaluate("batches.reduce((sum, [, added]) => sum + added, 0)") == 200
    assert said(page) == ["200 new notifications"]
    page.reload()
    badge(page, "99+")


def test_the_live_region_says_little_and_late_and_nothing_of_what_was_there(
    desk: Desk, page: Page
) -> None:
    page.clock.install()
    desk.sign_in(page.context)
    desk.send("There before")
    desk.open(page, sign_in=False)
    page.evaluate(LISTEN)
    desk.send("First")
    titles(page, ["First", "There before"])
    page.clock.run_for(1_500)
    assert said(page) == ["New notification: First"]
    for number in range(4):
        desk.send(f"Number {number}")
    badge(page, "6")
    desk.send("Silent", silent=True)
    badge(page, "7")
    page.clock.run_for(6_000)
    assert said(page) == ["New notification: First", "4 new notifications"]
    (_, first), (_, second) = page.evaluate("said")
    assert second - first >= 5_000
    # A page that nobody looks at is silent: another one speaks.
    page.evaluate(
        "Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })"
    )
    desk.send("Unseen")
    badge(page, "8")
    page.clock.run_for(6_000)
    page.evaluate(
        "Object.defineProperty(document, 'visibilityState', { value: 'visible', configurable: true })"
    )
    # What was missed is replayed, and not read out either.
    page.evaluate("document.querySelector('sse-notify').client.stop()")
    desk.send("Missed")
    page.evaluate("document.querySelector('sse-notify').client.start()")
    badge(page, "9")
    page.clock.run_for(6_000)
    assert len(said(page)) == 2
    assert page.locator("[data-ssen=live]").get_attribute("role") == "status"
    assert (
        page.locator(
            "sse-notify [aria-live], sse-notify [role=status], sse-notify [role=alert]"
        ).count()
        == 1
    )
