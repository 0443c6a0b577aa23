"""One user of a site, as somebody at a desk: what is sent to them, and the pages that they look at."""

from __future__ import annotations

from itertools import count
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, Request, expect

from tests.support.servers import Server
from tests.support.site import Site

#: Milliseconds after which a wait counts as a hang.
GUARD = 60_000

_NUMBERS = count(1)


class Desk:
    """A user whom nobody else uses, so that tests can share a server.

    ::

        def test_it_arrives(desk, page):
            desk.open(page)
            desk.send("Hello")
            expect(page.locator("[data-ssen=badge]")).to_have_text("1")

    Args:
        site: where the user is.
        server: the server of the pages.
        url: another address of it, a proxy's.
    """

    #: The page with the bell.
    path = "/"

    def __init__(self, site: Site, server: Server, *, url: str = "") -> None:
        """Think of a user; the first sign-in makes them."""
        self.site = site
        self.server = server
        self.url = url or server.url
        self.user = f"user-{next(_NUMBERS)}"
        self._new = True

    def sign_in(self, context: BrowserContext) -> None:
        """Sign the user in, in one browser."""
        assert context.request.post(self.url + "/login/", form={**self.form()}).ok

    def form(self) -> dict[str, str]:
        """Return the fields of the form that signs the user in."""
        fields = {"username": self.user, **({"new": "1"} if self._new else {})}
        self._new = False
        return fields

    def open(
        self, page: Page, path: str = "", *, connection: str = "open", sign_in: bool = True
    ) -> Page:
        """Sign in, load a page with the bell, wait for the state of its connection ("" for none), and return it."""
        if sign_in:
            self.sign_in(page.context)
        page.goto(self.url + (path or self.path))
        if connection:
            self.wait(page, connection)
        return page

    @staticmethod
    def wait(page: Page, connection: str) -> None:
        """Wait for a state of a page's connection."""
        expect(page.locator(f"sse-notify[data-connection={connection}]")).to_be_attached(
            timeout=GUARD
        )

    def send(self, title: str, **more: Any) -> int:
        """Notify the user, in the server's process; return the notification's id."""
        sent = self.site.send(self.server, "notify", to=self.user, title=title, **more)
        assert sent is not None
        return sent

    def streams(self, page: Page, number: int) -> None:
        """Wait until this user has ``number`` streams on the server; any page of the site will do."""
        asked = "async ([user, n]) => (await (await fetch(`/stats/?user=${user}`)).json()).of_user === n"
        page.wait_for_function(asked, arg=[self.user, number], timeout=GUARD)


def requests(page: Page, part: str) -> list[str]:
    """Return a list that gets the address of every request of a page that has ``part`` in it."""
    made: list[str] = []

    def note(request: Request) -> None:
        if part in request.url:
            made.append(request.url)

    page.on("request", note)
    return made


def kinds(page: Page) -> list[str]:
    """Return a list that gets what opens each stream of a page: "eventsource" or "fetch"."""
    found: list[str] = []

    def note(request: Request) -> None:
        if "/stream/" in request.url:
            found.append("eventsource" if "transport=eventsource" in request.url else "fetch")

    page.on("request", note)
    return found


def badge(page: Page, text: str) -> None:
    """Wait until the badge of a page says ``text``; "" for none."""
    place = page.locator("[data-ssen=badge]")
    if text:
        expect(place).to_have_text(text, timeout=GUARD)
        expect(place).to_be_visible()
    else:
        expect(place).to_be_hidden(timeout=GUARD)


def tab_to(page: Page, target: Locator, *, back: bool = False) -> None:
    """Press Tab, or Shift+Tab, until ``target`` has the focus, as somebody without a mouse does."""
    way = []
    for _ in range(60):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if target.evaluate("(element) => element === document.activeElement"):
            return
        way.append(page.evaluate("document.activeElement?.outerHTML.slice(0, 80)"))
    raise AssertionError(f"no Tab leads to {target}, but to {way}")


def titles(page: Page, expected: list[str]) -> None:
    """Wait until the panel of a page has these items, from top to bottom."""
    expect(page.locator("sse-notify [data-ssen=list] [data-ssen=title]")).to_have_text(
        expected, timeout=GUARD
    )
