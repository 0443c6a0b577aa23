"""Templates of a project take the place of the app's own: those of the documentation, as they stand there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.docs.pages import DOCS, blocks
from tests.support import ROOT
from tests.support.desk import Desk, badge, titles
from tests.support.site import Site

#: What the documentation's ``base.html`` extends: a project's own.
MY_BASE = """<!doctype html>
<html lang="en">
<head><title>{% block page_title %}{% endblock %}</title>{% block page_head %}{% endblock %}</head>
<body><h1>My site</h1>{% block main %}{% endblock %}</body>
</html>
"""


def test_the_documented_templates_serve_the_page_the_panel_and_what_arrives(
    make_site: Callable[..., Site], page: Page, tmp_path: Path
) -> None:
    templates = tmp_path / "my_app" / "templates"
    (templates / "sse_notify").mkdir(parents=True)
    (tmp_path / "my_app" / "__init__.py").touch()
    (templates / "my_base.html").write_text(MY_BASE)
    written = [
        block
        for block in blocks(DOCS / "how-to" / "templates.md")
        if block.mark.startswith("template: ")
    ]
    for block in written:
        (templates / block.mark.removeprefix("template: ")).write_text(block.code)
    assert len(written) == 3
    site = make_site(env={"EXTRA_APPS": "my_app", "PYTHONPATH": f"{tmp_path}:{ROOT}"})
    desk = Desk(site, site.serve())
    desk.open(page)
    sent = desk.send(
        "Live",
        body="Text",
        url="/stats/",
        actions=[{"label": "Go", "url": "/"}],
        category="none",
        icon="/x.png",
    )
    desk.send("Without an address")
    badge(page, "2")
    item = page.locator(f"[data-ssen=list] [data-ssen-item='{sent}']")
    for _ in ("live", "rendered by the server"):
        titles(page, ["Without an address", "Live"])
        expect(item.locator("a")).to_have_attribute("href", re.compile(r"/stats/$"))
        expect(item.locator("[data-ssen=body]")).to_have_text("Text")
        expect(item.locator("[data-ssen=actions], [data-ssen=category], img, svg")).to_have_count(0)
        page.reload()
        desk.wait(page, "open")
    page.locator("[data-ssen=bell]").click()
    item.get_by_role("button", name="Mark as read").click()
    badge(page, "1")
    desk.open(page, "/notifications/", connection="", sign_in=False)
    expect(page).to_have_title("Notifications (1)")
    expect(page.locator("h1")).to_have_text(["My site", "Notifications"])
    expect(page.locator(".hint")).to_be_visible()
    expect(page.locator("li[data-unread] [data-ssen=title]")).to_have_text(["Without an address"])
