"""Where the toasts are, when they are not, and where the links of the panel's footer are."""

from __future__ import annotations

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.support.desk import GUARD, Desk


def rectangle(place: Locator) -> FloatRect:
    """Return where something is."""
    found = place.bounding_box()
    assert found is not None
    return found


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_toasts_are_in_the_corner_that_the_tag_names(
    desk: Desk, page: Page, direction: str
) -> None:
    page.clock.install()
    desk.open(page)
    page.evaluate("(direction) => { document.documentElement.dir = direction }", direction)
    desk.send("One")
    desk.send("Two")
    toasts = page.locator(".ssen-toast")
    expect(toasts).to_have_count(2, timeout=GUARD)
    widget, window = page.locator("sse-notify"), page.viewport_size
    assert window is not None
    expect(widget).to_have_attribute("data-position", "bottom-end")
    for corner in ("bottom-end", "bottom-start", "top-end", "top-start"):
        widget.evaluate("(widget, corner) => { widget.dataset.position = corner }", corner)
        box = rectangle(page.locator(".ssen-toasts"))
        assert 100 < box["height"] < 250
        above, below = box["y"], window["height"] - box["y"] - box["height"]
        left, right = box["x"], window["width"] - box["x"] - box["width"]
        start, end = (left, right) if direction == "ltr" else (right, left)
        near = {"top": above, "bottom": below, "start": start, "end": end}
        for side in corner.split("-"):
            assert 10 < near.pop(side) < 20, corner
        assert all(far > 200 for far in near.values()), corner


@pytest.mark.chromium("printing is emulated")
def test_what_is_over_the_page_is_not_printed(desk: Desk, page: Page) -> None:
    page.clock.install()
    desk.open(page)
    desk.send("One")
    toast, panel = page.locator(".ssen-toast"), page.locator("[data-ssen=panel]")
    expect(toast).to_be_visible(timeout=GUARD)
    page.emulate_media(media="print")
    expect(toast).to_be_hidden()
    page.emulate_media(media="screen")
    expect(toast).to_be_visible()
    page.locator("[data-ssen=bell]").click()
    expect(panel).to_be_visible()
    page.emulate_media(media="print")
    expect(panel).to_be_hidden()


@pytest.mark.parametrize("items", [1, 21])
def test_each_link_of_the_footer_is_at_an_edge_or_beside_another(
    desk: Desk, page: Page, items: int
) -> None:
    desk.sign_in(page.context)
    for number in range(items):
        desk.send(str(number))
    desk.open(page, sign_in=False)
    page.locator("[data-ssen=bell]").click()
    foot = page.locator(".ssen-foot")
    expect(foot.locator("button")).to_be_visible(visible=items > 20)
    whole, boxes = rectangle(foot), [rectangle(one) for one in foot.locator(":visible").all()]
    assert len(boxes) == (3 if items > 20 else 2)
    *starts, end = boxes
    edge = whole["x"]
    for box in starts:
        assert 10 < box["x"] - edge < 20
        edge = box["x"] + box["width"]
    assert 10 < whole["x"] + whole["width"] - end["x"] - end["width"] < 20
    assert len({box["y"] for box in boxes}) == 1
