"""Takes the pictures of the README from the demo, as it runs: ``python -m docs.pictures``, in the checkout, after ``make test``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, expect, sync_playwright

from tests.support import ROOT
from tests.support import browser as browsers
from tests.support.processes import Process, free_port, listens

IMAGES = ROOT / "docs" / "images"
# The window, in pixels of the page.
WIDTH, HEIGHT = 1000, 620

#: What the picture shows as read, and what arrives in it.
READ = """
from django.contrib.auth.models import User
from sse_notify import mark_read
from sse_notify.models import Notification
alice = User.objects.get(username="alice")
mark_read(alice, list(Notification.objects.visible_to(alice).order_by("-pk").values_list("pk", flat=True)[1:]))
"""
ARRIVE = """
from django.contrib.auth.models import User
from sse_notify import notify
alice, dave = User.objects.get(username="alice"), User.objects.get(username="dave")
notify(alice, "Deploy finished", "Version 4.2 is live in all regions.", level="success", category="deploys", url="/", actor=dave)
"""


def run(script: Process) -> None:
    """Run a script to its end."""
    script.start()
    assert script.wait() == 0, script.tail()


def take(browser: Browser, scheme: Literal["light", "dark"], path: Path) -> None:
    """Start the demo on a database of its own, sign in as Alice, send something while the panel is open, and take a picture."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        port = free_port()
        env = {
            "DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "demo_project.settings",
        }
        demo = Process(
            [sys.executable, "manage.py", "demo", "--port", str(port)],
            log=folder / "demo.log",
            env=env,
        )
        scripts = [
            Process(
                [sys.executable, "manage.py", "shell", "-c", code],
                log=folder / f"{name}.log",
                env=env,
            )
            for name, code in (("read", READ), ("arrive", ARRIVE))
        ]
        demo.start(ready=lambda: listens(port))
        context = browser.new_context(
            color_scheme=scheme,
            viewport={"width": WIDTH, "height": HEIGHT},
            reduced_motion="reduce",
        )
        try:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}/accounts/sign-in/?next=/people/")
            page.get_by_role("button", name="Alice").click()
            page.wait_for_selector("sse-notify[data-connection=open]")
            run(scripts[0])
            page.reload()
            page.wait_for_selector("sse-notify[data-connection=open]")
            page.click("[data-ssen=bell]")
            items = page.locator("[data-ssen=panel] [data-ssen-item]")
            before = items.count()
            run(scripts[1])
            expect(items).to_have_count(before + 1)
            expect(page.locator("[data-ssen=badge]")).to_have_text("2")
            page.screenshot(path=path)
        finally:
            context.close()
            demo.stop(timeout=10)


def main() -> None:
    """Take both pictures."""
    chromium = browsers.need()
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable, env=chromium.env, args=list(chromium.arguments)
        )
        take(browser, "light", IMAGES / "bell.png")
        take(browser, "dark", IMAGES / "bell-dark.png")
        browser.close()


if __name__ == "__main__":
    main()
