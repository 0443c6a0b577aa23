"""The documentation on the site: every page of it, with links that lead somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.test import Client

from demo_project.handbook.markup import to_html
from demo_project.handbook.pages import Page, pages, slug

pytestmark = pytest.mark.django_db


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {given["id"] or ""} if "id" in given else set()
        self.targets += [given["href"] or ""] if "href" in given else []


def test_every_page_shows_itself_and_every_link_in_it_leads_to_a_page_or_a_heading(
    client: Client,
) -> None:
    shown = {page.get_absolute_url(): _Links(to_html(page)) for page in pages().values()}
    assert len(shown) > 20
    for address, links in shown.items():
        for target in links.targets:
            page, _, anchor = target.partition("#")
            assert re.match(r"https?:", target) or page in shown, (address, target)
            if anchor and page in shown:
                assert anchor in shown[page].ids, (address, target)
    response = client.get("/docs/how-to/define-a-topic/")
    text = response.content.decode()
    assert "<h1>Define a topic</h1>" in text
    assert '<span class="nd">@topic</span>' in text
    assert "<!--" not in to_html(pages()["how-to/clients-without-a-session"])


@pytest.mark.parametrize(
    "name", ["nothing", "../README", "how-to/../../pyproject", "_build/html/index"]
)
def test_only_pages_of_the_documentation_are_found(name: str, client: Client) -> None:
    assert client.get(f"/docs/{name}/").status_code == 404


def test_raw_markup_and_scripts_in_links_stay_text() -> None:
    page = Page(
        name="x",
        title="X",
        text="# X\n\n<script>alert(1)</script>\n\n[a](javascript:alert(1)) [b](/etc/passwd)",
    )
    html = to_html(page)
    assert "<script" not in html
    assert "href" not in html


def test_a_heading_in_a_block_of_code_begins_no_section() -> None:
    page = Page(
        name="x",
        title="X",
        text="# X\n\nOne.\n\n```sh\n# no heading\n```\n\n## Two words\n\nThree.\n",
    )
    assert [(section.heading, section.anchor) for section in page.sections()] == [
        ("X", ""),
        ("Two words", slug("Two words")),
    ]
