"""One project in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest
from playwright.sync_api import Page, expect

from tests.docs.reader import BADGE, BELL, PASSWORD, TITLE, Reader, run
from tests.support import GUARD, ROOT
from tests.support.processes import listens

PICTURES = ROOT / ".cache" / "projects"

#: Who signs in. A user model of the project's own may have no username.
ANN = "ann@shop.example"
SEND = """
from django.contrib.auth import get_user_model
from sse_notify import notify
notify(get_user_model().objects.get(email={email!r}), {title!r})
"""


class Project(Reader):
    """A reader with a virtual environment, and a user in front of a browser."""

    def __init__(self, folder: Path, wheel: Path, name: str) -> None:
        """Make the environment, with nothing in it.

        Args:
            folder: for the environment and the project.
            wheel: the package.
            name: names the pictures.
        """
        interpreter = os.environ.get("PYTHON", "python3")
        environment = folder / "environment"
        run([interpreter, "-m", "venv", str(environment)], folder, {})
        site = folder / "site"
        site.mkdir()
        super().__init__(site, python=environment / "bin" / "python", wheel=wheel)
        self.name = name

    def install(self, *packages: str) -> None:
        """Install packages, newest versions, as their own documentation says."""
        self.type(" ".join(["pip install", *(f"'{package}'" for package in packages)]))

    def type(self, line: str) -> str:
        """Run a line of a terminal. A stack that no Django that we support suits ends the test there, with pip's reason."""
        printed = super().type(line)
        if line.startswith("pip "):
            command = [self.python, "-m", "pip", "check"]
            found = subprocess.run(command, capture_output=True, text=True).stdout
            if reasons := [each for each in found.splitlines() if " django" in each.lower()]:
                pytest.xfail("; ".join(reasons))
        return printed

    def keep(self) -> None:
        """Write down what is installed, beside the pictures, and how the server ended, for the report of a test that failed."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        installed = self.run("-m", "pip", "freeze")
        (PICTURES / f"{self.name}.txt").write_text(f"{self.run('--version')}{installed}")
        print(installed + self.server.tail())

    def write(self, name: str, text: str) -> None:
        """Write a file of the project's own, which no page of ours shows."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def add_user(self, **fields: str) -> None:
        """Create the staff user who signs in."""
        self.manage(
            "createsuperuser",
            "--noinput",
            *(f"--{name}={value}" for name, value in {"email": ANN, **fields}.items()),
        )

    def ready(self, **user: str) -> None:
        """Migrate, let Django check, create the user, and serve as `runserver` does."""
        self.manage("migrate", "--verbosity=0")
        self.manage("check", "--fail-level=WARNING", "--tag=sse_notify", "--tag=urls")
        self.manage("check")
        self.add_user(**user)
        self.run(
            "-c", "import mysite.asgi"
        )  # as an ASGI server does, which gets nothing of manage.py
        self.serve()
        assert "ASGI/Daphne" in self.server.output(), "runserver does not speak ASGI"

    def send(self, title: str) -> None:
        """Notify the user from another process."""
        self.manage("shell", "-c", SEND.format(email=ANN, title=title))

    def serve_by(self, *arguments: str) -> None:
        """Serve by another command than `runserver`."""
        self.server = self.process(*arguments)
        self.server.start(ready=lambda: listens(self.port))

    def sign_in(self, page: Page, path: str, *, user: str = "ann", prefix: str = "") -> None:
        """Sign in by a form of the site."""
        page.goto(self.url + path)
        form = page.locator(f"form:has([name='{prefix}password'])")
        form.locator(f"[name='{prefix}username'], [name='{prefix}login']").fill(user)
        form.locator(f"[name='{prefix}password']").fill(PASSWORD)
        form.locator("[type=submit]").first.click()
        page.wait_for_url(lambda url: path.partition("?")[0] not in url)

    def rings(self, page: Page, path: str = "", *, titles: tuple[str, ...] = ("Hello",)) -> None:
        """Open a page of the site; see that the stream opens, that a notification arrives, and that the panel lists it."""
        page.goto(self.url + path)
        self.is_live(page)
        self.send(titles[0])
        self.shows(page, *titles)

    def is_live(self, page: Page) -> None:
        """See that the bell is there and its stream is open."""
        expect(page.locator(BELL)).to_be_visible()
        live = page.locator("sse-notify[data-connection=open]")
        expect(live).to_be_attached(timeout=GUARD * 1000)

    def shows(self, page: Page, *titles: str, unread: int | None = None, name: str = "") -> None:
        """See that the badge counts and the panel lists what has these titles, of which all or ``unread`` are new; take a picture."""
        count = len(titles) if unread is None else unread
        expect(page.locator(BADGE)).to_have_text(str(count), timeout=GUARD * 1000)
        page.click(BELL)
        expect(page.locator(TITLE)).to_have_text(list(titles))
        self.picture(page, name)
        page.click(BELL)

    def picture(self, page: Page, name: str = "") -> None:
        """Take a picture of the page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / ("-".join(filter(None, (self.name, name))) + ".png")
        page.screenshot(path=path, animations="disabled")
        print(f"{path.relative_to(ROOT)}")
