"""What the README says of a site, done to the site that ``startproject`` makes: with the wheel, by a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.docs.pages import blocks
from tests.docs.reader import BADGE, PASSWORD, Reader
from tests.docs.test_tutorial import installed, reader
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
    reader.type("django-admin startproject mysite .")
    for name, code in (("settings.py", TEMPLATES), ("urls.py", HOME)):
        reader.append(f"mysite/{name}", code)
    marked = [block for block in blocks(ROOT / "README.md") if block.mark]
    assert [block.mark for block in marked] == [
        "install",
        "append: mysite/settings.py",
        "append: mysite/urls.py",
        "append: mysite/asgi.py",
        "file: templates/base.html",
        "run",
    ]
    for block in marked[1:]:  # it is installed; `make projects` does the first
        reader.do(block)
    reader.manage("createsuperuser", "--noinput", "--username=ann", "--email=a@b.example")

    reader.serve()
    assert "ASGI/Daphne" in reader.server.output()
    page.goto(reader.url)
    page.fill("[name=username]", "ann")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    expect(page.locator("sse-notify[data-connection=open]")).to_be_attached(timeout=GUARD * 1000)
    reader.manage("shell", "-c", SEND)
    expect(page.locator(BADGE)).to_have_text("1", timeout=GUARD * 1000)
