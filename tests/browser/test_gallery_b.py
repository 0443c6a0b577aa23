"""The second half of the gallery, in a browser, on daphne: orders, wall, ticker, tasks."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.gallery import Gallery
from tests.browser.test_axe import look
from tests.support import GUARD
from tests.support.forks import Forked
from tests.support.processes import Process

#: The server of this module.
KIND = "daphne"
STREAM_OF_TOPICS = re.compile(r"/notifications/stream/\?.*topic=")


def test_the_owner_watches_an_order_move_on_and_anybody_else_is_refused(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/orders/", user="alice")
    page.get_by_role("button", name="Order something").click()
    order = page.locator("[data-order]").first
    reached = order.locator("[data-reached]")
    expect(reached).to_have_text([re.compile(r"Placed\s+\d")])
    number = order.get_attribute("data-order")

    # Staff moves it on elsewhere: the owner's page shows it without being loaded again.
    page.evaluate("window.stays = true")
    expect(page.locator("[data-status=open]")).to_be_visible()
    with gallery.client("carol") as carol:
        for _ in range(2):
            assert carol.post(f"/orders/{number}/advance/").status_code == 302
    expect(reached).to_contain_text(["Placed", "Paid", "Packed"])
    # The owner's own button does as well, until it has arrived; then the bell tells.
    advance = order.get_by_role("button", name="Move it on")
    for count in (4, 5):
        advance.click()
        expect(reached).to_have_count(count)
    expect(advance).to_be_disabled()
    expect(page.locator(".ssen-toast .ssen-title").first).to_contain_text("Delivered")
    assert page.evaluate("window.stays")

    # Somebody else neither watches nor moves it; nor may the owner theirs.
    with gallery.client("bob") as bob:
        assert bob.get(f"/notifications/stream/?topic=order.{number}").status_code == 403
        assert bob.post(f"/orders/{number}/advance/").status_code == 404
    page.get_by_role("button", name="Look at the order of").click()
    expect(page.locator("output")).to_have_text(re.compile(r"^403 \{.*forbidden"))
    look(page, "main")


def test_what_happened_to_an_order_while_the_page_was_cut_off_is_asked_for(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/orders/", user="dave")
    with page.expect_navigation():  # the page before may be open, too
        page.get_by_role("button", name="Order something").click()
    expect(page.locator("[data-status=open]")).to_be_visible()
    order = page.locator("[data-order]").first
    # Before the page's script comes back, the answer is held: the order moves on in between, and no event tells of it.
    with gallery.client("dave") as dave:
        page.route(STREAM_OF_TOPICS, lambda route: route.abort())
        page.reload()
        expect(page.locator("[data-status=waiting]")).to_be_visible()
        dave.post(f"/orders/{order.get_attribute('data-order')}/advance/")
        expect(order.locator("[data-reached]")).to_have_count(1)
        page.unroute(STREAM_OF_TOPICS)
    expect(order.locator("[data-reached]")).to_have_count(2)


def test_visitors_without_an_account_write_on_the_wall_and_read_each_other_at_once(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/wall/")
    other = gallery.open(gallery.window(page), "/wall/")
    for window in (page, other):
        expect(window.locator("[data-status=open]")).to_be_visible()
    text = "<b>Hello</b> & good morning"
    page.get_by_label("Your name").fill("Mia")
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Write on the wall").click()
    for window in (other, page):
        newest = window.locator(".wall__message").first
        expect(newest.locator("[data-text]")).to_have_text(text)
        expect(newest.locator("[data-name]")).to_have_text("Mia")
    expect(page.get_by_label("Your message")).to_have_value("")
    # Who comes late sees it too, once, and markup is text there as well.
    late = gallery.open(gallery.window(page, "bob"), "/wall/")
    expect(late.locator("[data-status=open]")).to_be_visible()
    expect(late.locator("[data-text]").filter(has_text="Hello")).to_have_text([text])
    # Somebody with an account has their own name.
    late.get_by_label("Your message").fill("And to you")
    late.get_by_role("button", name="Write on the wall").click()
    expect(page.locator(".wall__message").first).to_contain_text(
        re.compile(r"Bob.*And to you", re.DOTALL)
    )
    # What the server refuses is said.
    late.get_by_label("Your message").evaluate("(area) => area.removeAttribute('maxlength')")
    late.get_by_label("Your message").fill("x" * 300)
    late.get_by_role("button", name="Write on the wall").click()
    expect(late.get_by_role("alert")).to_contain_text("280")
    assert late.get_by_label("Your message").input_value() == "x" * 300
    look(late, "main")


def test_the_ticker_runs_at_the_rate_that_one_chooses_and_tells_what_was_lost(
    gallery: Gallery, page: Page
) -> None:
    updates, lost = page.locator("[data-figure=updates]"), page.locator("[data-figure=lost]")
    with page.expect_request("**/notifications/stream/?topic=ticker.20"):
        gallery.open(page, "/ticker/")
    expect(
        page.locator("[data-share] [data-price]").filter(has_text=re.compile(r"\d"))
    ).to_have_count(12)
    expect(page.get_by_text("This is a simulation")).to_be_visible()
    for rate, shown in (("2", r"^[123]$"), ("100", r"^([2-9]\d|\d{3})$")):
        with page.expect_request(f"**/notifications/stream/?topic=ticker.{rate}"):
            page.get_by_label(rate, exact=True).check()
        expect(updates).to_have_text(re.compile(shown))
    expect(lost).to_have_text("0")
    page.get_by_role("button", name="Send 2,000 at once").click()
    expect(lost).to_have_text(re.compile(r"^[1-9][\d,]+$"))
    look(page, "main")
    page.get_by_label("none").check()
    expect(page.locator("[data-status=closed]")).to_have_text("Not watching", use_inner_text=True)


def test_jobs_show_their_progress_and_are_cancelled_and_read_by_their_owner(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/tasks/", user="alice")
    page.locator("#id_kind").select_option("picture")
    page.locator("#id_package").select_option("sse_notify")
    page.get_by_role("button", name="Start").click()
    job = page.locator("[data-job]").first
    expect(job).to_have_attribute("data-state", "waiting")
    expect(page.locator("[data-status=open]")).to_be_visible()
    with _worker(gallery):
        expect(job).to_have_attribute("data-state", "done")
        expect(page.locator(".ssen-toast").first).to_contain_text(
            "Picture of lines (PNG): sse_notify"
        )
        with page.expect_download() as download:
            job.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename.startswith("sse_notify-picture-")
        assert download.value.path().read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        address = job.get_by_role("link", name="Download").get_attribute("href")
        with gallery.client("bob") as bob:
            assert bob.get(str(address)).status_code == 404

        # One that takes a while: its bar moves, also after the page was loaded again, until it is cancelled.
        page.locator("#id_kind").select_option("survey")
        page.locator("#id_package").select_option("python")
        page.get_by_role("button", name="Start").click()
        moving = page.locator("[data-job][data-state=running] progress:not([value='0'])")
        expect(moving).to_have_count(1)
        page.reload()
        expect(moving).to_have_count(1)
        job.get_by_role("button", name="Cancel").click()
        expect(job).to_have_attribute("data-state", "cancelled")
        expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
        look(page, "main")


def test_a_job_outlives_its_worker(gallery: Gallery, page: Page) -> None:
    gallery.open(page, "/tasks/", user="dave")
    page.locator("#id_package").select_option("python")
    page.get_by_role("button", name="Start").click()
    job = page.locator("[data-job]").first
    with _worker(gallery) as worker:
        expect(job).to_have_attribute("data-state", "running")
        worker.kill()
        expect(job).to_have_attribute("data-state", "stalled")
    # Told to end in order, a worker leaves what it has not finished to the next.
    with _worker(gallery) as worker:
        expect(job).to_have_attribute("data-state", "running")
        assert worker.stop(timeout=GUARD) == 0
        page.reload()
        expect(job).to_have_attribute("data-state", "waiting")
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_have_attribute("data-state", "cancelled")


def test_several_jobs_run_at_once_say_what_time_is_left_and_outlive_the_server(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/tasks/", user="bob")
    page.locator("#id_package").select_option("python")
    page.locator("#id_number").select_option("2")
    page.get_by_role("button", name="Start").click()
    jobs = page.locator("[data-job]")
    expect(jobs).to_have_count(2)
    running = page.locator("[data-job][data-state=running]")
    with _worker(gallery, threads=2):
        expect(running).to_have_count(2)
        for job in running.all():
            expect(job.locator("progress:not([value='0'])")).to_be_visible()
            expect(job.locator("[data-part=eta]")).to_have_text(
                re.compile(r"^\d+ (second|minute)s? left$")
            )
        look(page, "main")

        # The page stays, and finds the work where it is by then.
        page.evaluate("window.stays = true")
        gallery.server.stop()
        expect(page.locator("[data-status=waiting]")).to_be_visible()
        gallery.server.start()
        expect(page.locator("[data-status=open]")).to_be_visible()
        expect(jobs).to_have_count(2)
        expect(page.locator("[data-job][data-state=done]")).to_have_count(2)
        assert page.evaluate("window.stays")


@contextmanager
def _worker(gallery: Gallery, *, threads: int = 1) -> Iterator[Process]:
    """Run a worker that takes a second and a half of silence for death."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "worker.log"
        worker = Forked(
            ["manage.py", "demo_worker", "--threads", str(threads), "--patience", "1.5"],
            log=log,
            env=gallery.env,
        )
        worker.start(ready=lambda: "ready" in worker.output())
        try:
            yield worker
        finally:
            worker.stop(timeout=GUARD)
