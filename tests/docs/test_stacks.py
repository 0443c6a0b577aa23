"""The guides for other packages' projects say what the README says, and the list of guides has each of them."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS, blocks, read
from tests.support import ROOT

#: For each guide, what of the README stands in it as it is: all but the template, and `asgi.py` where there is none.
STACKS = {
    "wagtail.md": {"settings", "urls"},
    "shop.md": {"settings", "urls", "asgi"},
    "django-cms.md": {"settings", "urls", "asgi"},
    "drf.md": {"settings", "urls", "asgi"},
    "fastapi.md": {"settings", "urls"},
}


def by_module(page: str) -> dict[str, str]:
    """Return the code that a page appends to modules of the project, by what the README calls them; the first, if there are several."""
    found: dict[str, str] = {}
    for block in blocks(ROOT / page):
        if block.mark.startswith("append: mysite/"):
            name = block.mark.removeprefix("append: mysite/").removesuffix(".py").split("/")[0]
            found.setdefault(name, block.code)
    return found


@pytest.mark.parametrize("name", STACKS)
def test_a_guide_says_what_the_readme_says(name: str) -> None:
    readme, guide = by_module("README.md"), by_module(f"docs/how-to/{name}")
    for module in STACKS[name]:
        assert guide[module] == readme[module]


@pytest.mark.parametrize("name", STACKS)
def test_a_guide_is_in_the_list_and_begins_with_the_installation(name: str) -> None:
    assert f"]({name})" in read("how-to/index.md")
    marks = [block.mark for block in blocks(DOCS / "how-to" / name) if block.mark]
    assert marks[0] == "install"
