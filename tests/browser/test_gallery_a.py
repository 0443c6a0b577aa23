"""The first half of the gallery, in a browser, on uvicorn: lab, reader, chat, dashboard, log."""

from __future__ import annotations

import json
import re
import secrets
from itertools import islice

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.gallery import Gallery
from tests.browser.test_axe import look
from tests.support import ROOT

#: The server of this module.
KIND = "uvicorn"


def says(page: Page, text: str) -> None:
    """Wait until the line of status says so; the words for the other states are hidden."""
    expect(page.locator("#status")).to_have_text(re.compile(text), use_inner_text=True)


def test_the_lab_shows_every_byte_and_replay_fills_the_hole_of_a_cut(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/lab/")
    frames = page.locator("#frames li")
    says(page, "^Connected$")
    expect(frames.filter(has_text="event: hello")).to_contain_text("retry: 2000")

    page.get_by_label("Message", exact=True).fill("One\nTwo")
    page.get_by_label("Name of the event").select_option("alarm")
    page.get_by_role("button", name="Send").click()
    sent = frames.filter(has_text="event: alarm")
    expect(sent.locator("pre")).to_have_text(
        re.compile(r"^event: alarm\ndata: Visitor: One\ndata: Two\nid: \d+\n$")
    )
    last = re.search(r"id: (\d+)", sent.inner_text())
    assert last is not None
    expect(page.locator("#last")).to_have_text(last[1])

    # Another visitor, who stays connected, writes into the hole: before this one is let back.
    with gallery.client("alice") as alice:

        def write(route: Route) -> None:
            assert (
                alice.post("/lab/send/", data={"text": "Meanwhile", "event": "message"}).status_code
                == 201
            )
            route.continue_()

        page.route("**/lab/stream/", write)
        with page.expect_response("**/lab/stream/") as again:
            page.get_by_role("button", name="Cut my connection").click()
            says(page, "^(Cut off|Connecting)")
    assert again.value.request.headers["last-event-id"] == last[1]
    page.unroute("**/lab/stream/")
    says(page, "^Connected$")
    replayed = frames.filter(has=page.locator("[data-of=replayed]:visible")).locator("pre")
    expect(replayed).to_have_text(
        [re.compile("A connection was cut"), re.compile("Alice: Meanwhile")]
    )
    assert re.findall(r"id: (\d+)", page.locator("#frames").inner_text())[-2:] == [
        str(int(last[1]) + 2),
        str(int(last[1]) + 3),
    ]

    # In the silence afterwards the server says that it is there.
    expect(page.locator("#frames [data-of=comment]:visible").first).to_be_visible()
    look(page, "main")
    page.get_by_role("button", name="Disconnect").click()
    says(page, "^Not connected$")
    page.get_by_role("button", name="Connect", exact=True).click()
    says(page, "^Connected$")


def test_the_reader_reads_to_the_end_and_stops_when_told_to(gallery: Gallery, page: Page) -> None:
    gallery.open(page, "/reader/")
    page.get_by_label("Page").select_option("how-to/define-a-topic")
    page.get_by_label("Speed").select_option("0")
    page.get_by_role("button", name="Read it to me").click()
    says(page, "^Complete$")
    everything = page.locator("#text").text_content() or ""
    assert everything == (ROOT / "docs/how-to/define-a-topic.md").read_text()
    assert (
        page.locator("#done").inner_text()
        == page.locator("#all").inner_text()
        == str(len(everything.split()))
    )

    page.get_by_label("Page").select_option("how-to/security")
    page.get_by_label("Speed").select_option("0.12")
    page.get_by_role("button", name="Read it to me").click()
    expect(page.locator("#done")).to_have_text(re.compile("[2-9]"))
    page.get_by_role("button", name="Abort").click()
    says(page, "^Aborted")
    look(page, "main")
    heard = int(page.locator("#done").inner_text())
    assert heard < int(page.locator("#all").inner_text())


@pytest.mark.chromium("the body of a request is read")
def test_the_chat_answers_several_at_once_and_stops_when_told_to(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/chat/", user="alice")
    expect(page.locator("#source")).to_contain_text("No model is set up here")
    expect(page.locator(".conversation")).to_have_count(1)
    page.get_by_role("button", name="Another conversation").click()
    expect(page.locator(".conversation")).to_have_count(2)
    first, second = page.locator(".conversation").all()
    # The first answer takes long, the second does not.
    for card, question in (
        (first, "How can I stream the words of an AI?"),
        (second, "What is MAX_STREAMS_PER_USER?"),
    ):
        card.get_by_label("Your question").fill(question)
        card.get_by_label("Your question").press("Enter")
    expect(second.get_by_role("link", name="Troubleshooting: 429")).to_have_attribute(
        "href", "/docs/how-to/troubleshooting/#429"
    )
    expect(second.locator(".said--busy")).to_have_count(0)
    expect(second.locator(".said__note[data-of]:visible")).to_have_count(0)
    expect(first.locator(".said--busy pre")).to_contain_text(
        "django"
    )  # code is told from words while it comes
    first.get_by_role("button", name="Stop").click()
    expect(first.locator(".said__note[data-of]:visible")).to_have_text("Stopped.")
    expect(first.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    look(page, "main")

    # The question is all that the page sends; what was said before, the server has.
    with page.expect_request("**/answer/") as asked:
        second.get_by_label("Your question").fill("<b>and why?</b>")
        second.get_by_role("button", name="Ask", exact=True).click()
    assert json.loads(asked.value.post_data or "") == {
        "content": "<b>and why?</b>",
        "worker": False,
    }
    expect(second.locator(".said--user").last).to_have_text(re.compile(r"^\s*<b>and why\?</b>"))
    expect(second.locator(".said")).to_have_count(4)
    page.reload()
    expect(second.locator(".said--user")).to_have_count(2)
    for card in (second, first):
        card.get_by_role("button", name="Delete the conversation").click()
    expect(page.locator(".conversation")).to_have_count(1)  # a visitor starts with one
    expect(page.locator(".said")).to_have_count(0)


def test_the_dashboard_draws_what_is_measured_and_rests_when_nobody_looks(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/dashboard/", user="alice")
    says(page, "^Live$")
    for gauge in page.locator(".gauge").all():
        expect(gauge.locator("output").last).to_have_text(re.compile(r"\d"))
        expect(gauge.locator(".chart__line").last).to_have_attribute(
            "d", re.compile(r"^M[\d.]+ .*H60$")
        )
    expect(page.locator("#watchers")).to_have_text("1")
    other = gallery.open(gallery.window(page, "bob"), "/dashboard/")
    expect(page.locator("#watchers")).to_have_text("2")
    expect(other.locator(".gauge output").first).to_have_text(re.compile(r"\d"))
    other.context.close()
    expect(page.locator("#watchers")).to_have_text("1")

    look(page, "main")

    # As the browser does when another tab comes to the front.
    page.evaluate("""() => {
        Object.defineProperty(document, "hidden", { value: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    says(page, "^Paused")
    with gallery.client("alice") as alice, alice.stream("GET", "/dashboard/stream/") as stream:
        samples = (
            json.loads(line.removeprefix("data: "))
            for line in stream.iter_lines()
            if line.startswith("data: ")
        )
        assert any(sample["watchers"] == 1 for sample in islice(samples, 20))


def test_the_log_is_followed_filtered_paused_and_says_what_it_left_out(
    gallery: Gallery, page: Page
) -> None:
    gallery.open(page, "/log/", user="carol")
    says(page, "^Following$")
    lines = page.locator("#lines li")
    expect(lines.filter(has_text="demo.request GET /log/ 200").first).to_be_visible()

    hello = f"<i>{secrets.token_hex(4)}</i>"
    page.get_by_label("Line").fill(hello)
    page.get_by_label("Level", exact=True).select_option("WARNING")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(lines.filter(has_text=f"demo.livelog carol wrote: {hello}")).to_have_count(1)
    page.get_by_label("From level").select_option("WARNING")
    expect(lines.filter(has_text=hello)).to_have_count(1)  # it goes on from where it was

    # A reader that is slow holds nobody up: the server keeps the newest lines, and says how many are gone.
    page.get_by_label("From level").select_option("INFO")
    page.get_by_label("Reading speed").select_option("2")
    says(page, "^Following$")
    with page.expect_response("**/log/burst/"):
        page.get_by_role("button", name="lines at once").click()
    page.get_by_role("button", name="Pause").click()
    says(page, "^Paused$")
    page.get_by_label("Reading speed").select_option("0")
    expect(lines.filter(has_text="Line 2000 of a burst").last).to_be_attached()
    expect(page.locator("#dropped")).to_have_text(re.compile(r"^1\d\d\d$"))
    expect(lines.filter(has_text="lines were left out").first).to_be_attached()
    look(page, "main")
