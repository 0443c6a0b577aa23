"""The demo site as its visitors have it, on uvicorn or on daphne, shared by the tests of the gallery.

::

    from tests.browser.gallery import Gallery

    KIND = "daphne"


    def test_the_wall_shows_what_somebody_writes(gallery: Gallery, page: Page) -> None:
        gallery.open(page, "/wall/")  # a visitor without an account
        other = gallery.open(gallery.window(page, "bob"), "/wall/")  # somebody else, in another browser

Every module with ``gallery`` says which server it is for; all kinds of streams run on all servers in ``tests/servers``. A server stays up
for all of them, so a test leaves the site as usable as it found it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page

from tests.support import GUARD
from tests.support.forks import Forked
from tests.support.processes import ProcessFailed
from tests.support.servers import Kind, Server


class Gallery:
    """The demo on one server, with the people and the content that ``setup_demo`` makes."""

    def __init__(
        self, kind: Kind, folder: Path, *, database: Path, name: str = "", **env: str
    ) -> None:
        """Start it on a copy of ``database``; ``name`` tells those of one kind apart, ``env`` is added to its environment."""
        copy = folder / f"{kind}{name}.sqlite3"
        shutil.copyfile(database, copy)
        self.env = environment(copy) | env
        self.server = Server(
            log=folder / f"{kind}{name}.log",
            kind=kind,
            app="demo_project.asgi:application",
            env=self.env,
        ).start()
        self.url = self.server.url
        self._folder = folder
        self._sessions: dict[str, list[tuple[str, str]]] = {}

    def open(self, page: Page, path: str = "/", *, user: str = "") -> Page:
        """Load a page, signed in as ``user`` if there is one, and return it."""
        if user:
            self.sign_in(page.context, user)
        page.goto(self.url + path)
        return page

    def window(self, page: Page, user: str = "", *, anew: bool = False, **look: Any) -> Page:
        """Return a page in another browser profile, of ``user`` or of a visitor; it is closed with the browser.

        Args:
            page: of the browser.
            user: who is signed in.
            anew: in a session that no other test has, so that it may be ended.
            look: what ``Browser.new_context`` takes.
        """
        assert page.context.browser is not None
        context = page.context.browser.new_context(**look)
        context.set_default_timeout(GUARD * 1000)
        if user:
            self.sign_in(context, user, anew=anew)
        return context.new_page()

    def sign_in(self, context: BrowserContext, user: str, *, anew: bool = False) -> None:
        """Give a browser the session of one of the demo's people: alice, bob, carol (staff) or dave."""
        cookies = self._log_in(user) if anew else self._cookies(user)
        context.add_cookies(
            [{"name": name, "value": value, "url": self.url} for name, value in cookies]
        )

    @contextmanager
    def client(self, user: str = "") -> Iterator[httpx.Client]:
        """Yield a client without a browser, of ``user`` or of a visitor, that sends the CSRF token along."""
        with httpx.Client(base_url=self.url, timeout=GUARD, trust_env=False) as client:
            client.cookies.update(self._cookies(user))
            found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get("/").text)
            assert found is not None
            client.headers["X-CSRFToken"] = found[1]
            yield client

    def manage(self, *args: str) -> str:
        """Run a command of the site in a process of its own; return what it printed."""
        log = self._folder / f"{args[0]}-{len(list(self._folder.iterdir()))}.log"
        process = Forked(["-m", "django", *args], log=log, env=self.env)
        process.start()
        if process.wait() != 0:
            raise ProcessFailed(process.tail())
        return process.output()

    def _cookies(self, user: str) -> list[tuple[str, str]]:
        if user and user not in self._sessions:
            self._sessions[user] = self._log_in(user)
        return self._sessions.get(user, [])

    def _log_in(self, user: str) -> list[tuple[str, str]]:
        with httpx.Client(base_url=self.url, timeout=GUARD, trust_env=False) as client:
            token = re.search(
                r'name="csrfmiddlewaretoken" value="(\w+)"', client.get("/accounts/sign-in/").text
            )
            assert token is not None
            values = {"csrfmiddlewaretoken": token[1], "username": user, "password": "notify-me"}
            assert client.post("/accounts/sign-in/", data=values).status_code == 302
            return [(cookie.name, cookie.value or "") for cookie in client.cookies.jar]


def environment(database: Path) -> dict[str, str]:
    """Return what the demo's processes need to know: their database, and nothing of this machine's own."""
    empty = dict.fromkeys(
        ("REDIS_URL", "SECRET_KEY", "DEMO_PASSWORD", "OPENAI_BASE_URL", "OPENAI_API_KEY"), ""
    )
    return empty | {
        "DJANGO_SETTINGS_MODULE": "demo_project.settings",
        "DATABASE_URL": f"sqlite:///{database}",
        "DEBUG": "1",
    }


class Galleries:
    """Starts what is asked for, once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[Kind, Gallery] = {}

    def on(self, kind: Kind) -> Gallery:
        """Return the demo on this server."""
        if kind not in self._running:
            self._running[kind] = Gallery(kind, self._folder, database=self._database())
        return self._running[kind]

    @contextmanager
    def another(self, kind: Kind, **env: str) -> Iterator[Gallery]:
        """Yield one more, with something in its environment that the others have not."""
        shown = Gallery(kind, self._folder, database=self._database(), name="-another", **env)
        try:
            yield shown
        finally:
            shown.server.stop(timeout=5)

    def close(self) -> None:
        """End the servers."""
        for shown in self._running.values():
            shown.server.stop(timeout=5)

    def _database(self) -> Path:
        path = self._folder / "demo.sqlite3"
        if not path.exists():
            log, env = self._folder / "setup.log", environment(path)
            process = Forked(["-m", "django", "setup_demo"], log=log, env=env)
            process.start()
            if process.wait() != 0:
                raise ProcessFailed(process.tail())
        return path


# One for all modules, so both fixtures are made known in conftest.py.
@pytest.fixture(scope="session")
def galleries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Galleries]:
    """The demo on any server."""
    every = Galleries(tmp_path_factory.mktemp("galleries"))
    yield every
    every.close()


@pytest.fixture(scope="module")
def gallery(request: pytest.FixtureRequest, galleries: Galleries) -> Iterator[Gallery]:
    """The demo on the server that the module is for."""
    kind: Kind = request.module.KIND
    shown = galleries.on(kind)
    yield shown
    # pytest shows it with a test that failed.
    print(shown.server.process.tail())
