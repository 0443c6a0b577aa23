"""Every page of the gallery, with something on it, light and dark, on a phone and on a desk: nothing sticks out, and axe finds no fault."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.gallery import Galleries, Gallery
from tests.browser.test_axe import look
from tests.browser.test_gallery_streams import order_something

#: All of them, and what says that it is there.
PAGES = {
    "/": "main",
    "/lab/": "#status[data-status=open]",
    "/reader/": "main form",
    "/chat/": ".conversation",
    "/dashboard/": "#status[data-status=open]",
    "/log/": "#status[data-status=open]",
    "/orders/": ".live[data-status=open]",
    "/wall/": ".live[data-status=open]",
    "/ticker/": ".live[data-status=open]",
    "/tasks/": ".live[data-status=open]",
    "/compose/": "main form",
    "/people/": "main form",
    "/board/": "main",
    "/announcements/": "main",
    "/terminal/": "main",
    "/docs/": "main",
    "/docs/explanation/plans/": "main pre",
    "/accounts/sign-in/": "main form",
    "/notifications/": "main .ssen-page",
    "/notifications/preferences/": "main .ssen-page",
}
WIDE = """() => [...document.querySelectorAll("main *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".codes, pre, [popover]"))
  .map((element) => element.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def furnished(galleries: Galleries) -> Gallery:
    """The site after somebody was there; it looks the same on either server."""
    gallery = galleries.on("uvicorn")
    order_something(gallery, "carol")
    order_something(gallery, "alice")  # somebody else's, to be refused
    with gallery.client("carol") as client:
        assert (
            client.post(
                "/tasks/start/", data={"kind": "survey", "package": "sse_notify", "number": "1"}
            ).status_code
            == 302
        )
        assert (
            client.post(
                "/wall/", data={"text": "W" + "o" * 60 + "w, and more words behind it"}
            ).status_code
            == 302
        )
    return gallery


@pytest.mark.chromium("preferences of the user, such as the colour scheme, are emulated")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_every_page_fits_and_can_be_read(
    furnished: Gallery, page: Page, scheme: Literal["light", "dark"], width: int
) -> None:
    shape = {"width": width, "height": 844}
    window = furnished.window(
        page, "carol", color_scheme=scheme, viewport=shape, reduced_motion="reduce"
    )
    found = {}
    for path, there in PAGES.items():
        furnished.open(window, path)
        expect(window.locator(there).first).to_be_visible()
        assert window.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (
            scheme == "dark"
        )
        assert window.evaluate("document.documentElement.scrollWidth") <= width, (
            path,
            window.evaluate(WIDE),
        )
        look(window, "html")
        # The two are told apart by more than what the browser asks for.
        found[path] = window.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = [
        sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(", "))) < 3 * 128
        for colour in found.values()
    ]
    assert dark == [scheme == "dark"] * len(PAGES), found
    window.context.close()
