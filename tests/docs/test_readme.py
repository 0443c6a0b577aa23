"""What the README says of a site, done to the site that ``startproject`` makes: with the wheel, by a browser."""

from __future__ import annotations

import sys

import pytest
from playwright.sync_api import Page, expect

from tests.docs.pages import blocks
from tests.docs.test_tutorial import BADGE, PASSWORD, Reader, installed, reader, run
from tests.support import GUARD, ROOT

__all__ = ["installed", "reader"]

#: A site that has one page, for who is signed in; what the README says comes after it.
TEMPLATES = 'TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]\n'
HOME = """
from django.contrib.auth.decorators import login_required
from django.views.generic import TemplateView

urlpatterns += [path("", login_required(TemplateView.as_view(template_name="base.html"), login_url="admin:login"))]
"""
SEND = """
from django.contrib.auth import get_user_model
from sse_notify import notify
notify(get_user_model().objects.get(), "Hello")
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_readme_adds_the_bell_to_what_startproject_makes(reader: Reader, page: Page) -> None:
    """A stranger's first minutes: nothing to import that is not said, and a stream instead of polls."""
    run([sys.executable, "-m", "django", "startproject", "mysite", "."], reader.folder, reader.env)
    for name, code in (("settings.py", TEMPLATES), ("urls.py", HOME)):
        with (reader.folder / "mysite" / name).open("a") as file:
            file.write(code)
    marked = [block for block in blocks(ROOT / "README.md") if block.mark]
    assert [block.mark for block in marked] == [
        "append: mysite/settings.py",
        "append: mysite/urls.py",
        "append: mysite/asgi.py",
        "file: templates/base.html",
        "run",
    ]
    for block in marked:
        reader.do(block)
    run(
        [
            sys.executable,
            "manage.py",
            "createsuperuser",
            "--noinput",
            "--username",
            "ann",
            "--email",
            "a@b.example",
        ],
        reader.folder,
        reader.env,
    )

    reader.serve()
    assert "ASGI/Daphne" in reader.server.output()
    page.goto(reader.url)
    page.fill("[name=username]", "ann")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    expect(page.locator("sse-notify[data-connection=open]")).to_be_attached(timeout=GUARD * 1000)
    run([sys.executable, "manage.py", "shell", "-c", SEND], reader.folder, reader.env)
    expect(page.locator(BADGE)).to_have_text("1", timeout=GUARD * 1000)
