"""The first half of the gallery, in a browser, on uvicorn and on daphne: lab, reader, chat, dashboard, log."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.gallery import Gallery
from tests.support import ROOT


def says(page: Page, text: str) -> None:
    """Wait until the line of status says so; the words for the other states are hidden."""
    expect(page.locator("#status")).to_have_text(re.compile(text), use_inner_text=True)


def test_the_lab_shows_every_byte_and_replay_fills_the_hole_of_a_cut(gallery: Gallery, page: Page) -> None:
    gallery.open(page, "/lab/")
    frames = page.locator("#frames li")
    says(page, "^Connected$")
    expect(frames.filter(has_text="event: hello")).to_contain_text("retry: 2000")

    page.get_by_label("Message", exact=True).fill("One\nTwo")
    page.get_by_label("Name of the event").select_option("alarm")
    page.get_by_role("button", name="Send").click()
    sent = frames.filter(has_text="event: alarm")
    expect(sent.locator("pre")).to_have_text(re.compile(r"^event: alarm\ndata: Visitor: One\ndata: Two\nid: \d+\n$"))
    last = re.search(r"id: (\d+)", sent.inner_text())
    assert last is not None
    expect(page.locator("#last")).to_have_text(last[1])

    # Another visitor, who stays connected, writes into the hole.
    with page.expect_request(lambda request: "last-event-id" in request.headers) as again:
        page.get_by_role("button", name="Cut my connection").click()
        says(page, "^Cut off")
        with gallery.client("alice") as alice:
            assert alice.post("/lab/send/", data={"text": "Meanwhile", "event": "message"}).status_code == 201
    assert again.value.headers["last-event-id"] == last[1]
    says(page, "^Connected$")
    replayed = frames.filter(has=page.locator("[data-of=replayed]:visible")).locator("pre")
    expect(replayed).to_have_text([re.compile("A connection was cut"), re.compile("Alice: Meanwhile")])
    assert re.findall(r"id: (\d+)", page.locator("#frames").inner_text())[-2:] == [str(int(last[1]) + 2), str(int(last[1]) + 3)]

    # In the silence afterwards the server says that it is there.
    expect(page.locator("#frames [data-of=comment]:visible").first).to_be_visible()
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
    assert page.locator("#done").inner_text() == page.locator("#all").inner_text() == str(len(everything.split()))

    page.get_by_label("Page").select_option("how-to/security")
    page.get_by_label("Speed").select_option("0.12")
    page.get_by_role("button", name="Read it to me").click()
    expect(page.locator("#done")).to_have_text(re.compile("[2-9]"))
    page.get_by_role("button", name="Abort").click()
    says(page, "^Aborted")
    heard = int(page.locator("#done").inner_text())
    assert heard < int(page.locator("#all").inner_text())
