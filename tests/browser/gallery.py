"""The demo site as its visitors have it: one on uvicorn and one on daphne, shared by every test of the gallery.

::

    from tests.browser.gallery import Gallery, gallery  # noqa: F401  (a fixture)


    def test_the_wall_shows_what_somebody_writes(gallery: Gallery, page: Page) -> None:
        gallery.open(page, "/wall/")  # a visitor without an account
        other = gallery.open(gallery.window(page, "bob"), "/wall/")  # somebody else, in another browser

A test with ``gallery`` runs once on each. The servers stay up for all of them, so a test leaves the site as usable as it found it.
"""

from __future__ import annotations

import atexit
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page

from tests.support import GUARD, ROOT
from tests.support.processes import Process, ProcessFailed
from tests.support.servers import Kind, Server

#: What the demo is tried on.
KINDS: tuple[Kind, ...] = ("uvicorn", "daphne")


class Gallery:
    """The demo on one server, with the people and the content that ``setup_demo`` makes."""

    def __init__(self, kind: Kind, folder: Path, *, database: Path) -> None:
        """Start it on a copy of ``database``."""
        copy = folder / f"{kind}.sqlite3"
        shutil.copyfile(database, copy)
        self.env = environment(copy)
        self.server = Server(log=folder / f"{kind}.log", kind=kind, app="demo_project.asgi:application", env=self.env).start()
        self.url = self.server.url
        self._folder = folder
        self._sessions: dict[str, list[tuple[str, str]]] = {}

    def open(self, page: Page, path: str = "/", *, user: str = "") -> Page:
        """Load a page, signed in as ``user`` if there is one, and return it."""
        if user:
            self.sign_in(page.context, user)
        page.goto(self.url + path)
        return page

    def window(self, page: Page, user: str = "") -> Page:
        """Return a page in another browser profile, of ``user`` or of a visitor; it is closed with the browser."""
        assert page.context.browser is not None
        context = page.context.browser.new_context()
        context.set_default_timeout(GUARD * 1000)
        if user:
            self.sign_in(context, user)
        return context.new_page()

    def sign_in(self, context: BrowserContext, user: str) -> None:
        """Give a browser the session of one of the demo's people: alice, bob, carol (staff) or dave."""
        if user not in self._sessions:
            self._sessions[user] = self._session(user)
        context.add_cookies([{"name": name, "value": value, "url": self.url} for name, value in self._sessions[user]])

    def client(self, user: str = "") -> httpx.Client:
        """Return a client without a browser, of ``user`` or of a visitor; it sends the CSRF token along. Close it, or use ``with``."""
        client = httpx.Client(base_url=self.url, timeout=GUARD, trust_env=False)
        if user:
            if user not in self._sessions:
                self._sessions[user] = self._session(user)
            client.cookies.update(self._sessions[user])
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get("/").text)
        assert found is not None
        client.headers["X-CSRFToken"] = found[1]
        return client

    def manage(self, *args: str) -> str:
        """Run a command of the site in a process of its own; return what it printed."""
        number = len(list(self._folder.iterdir()))
        process = Process(
            [sys.executable, "manage.py", *args], log=self._folder / f"{args[0]}-{number}.log", env=self.env, cwd=ROOT
        )
        process.start()
        if process.wait() != 0:
            raise ProcessFailed(process.tail())
        return process.output()

    def _session(self, user: str) -> list[tuple[str, str]]:
        with httpx.Client(base_url=self.url, timeout=GUARD, trust_env=False) as client:
            form = client.get("/accounts/sign-in/").text
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
            assert token is not None
            values = {"csrfmiddlewaretoken": token[1], "username": user, "password": "notify-me"}
            assert client.post("/accounts/sign-in/", data=values).status_code == 302
            return [(cookie.name, cookie.value or "") for cookie in client.cookies.jar]


def environment(database: Path) -> dict[str, str]:
    """Return what the demo's processes need to know: their database, and nothing of this machine's own."""
    empty = dict.fromkeys(("REDIS_URL", "SECRET_KEY", "DEMO_PASSWORD", "OPENAI_BASE_URL", "OPENAI_API_KEY"), "")
    return empty | {"DJANGO_SETTINGS_MODULE": "demo_project.settings", "DATABASE_URL": f"sqlite:///{database}", "DEBUG": "1"}


@pytest.fixture(scope="session", params=KINDS)
def gallery(request: pytest.FixtureRequest) -> Iterator[Gallery]:
    """The demo on one server after the other."""
    shown = _running(request.param)
    yield shown
    # pytest shows it with a test that failed.
    print(shown.server.process.tail())


# Not only the fixture's: each module that imports it has one of its own.
@cache
def _running(kind: Kind) -> Gallery:
    database = _prepared()
    shown = Gallery(kind, database.parent, database=database)
    atexit.register(shown.server.stop, timeout=5)
    return shown


@cache
def _prepared() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gallery-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = folder / "demo.sqlite3"
    process = Process([sys.executable, "manage.py", "setup_demo"], log=folder / "setup.log", env=environment(database), cwd=ROOT)
    process.start()
    if process.wait() != 0:
        raise ProcessFailed(process.tail())
    return database
