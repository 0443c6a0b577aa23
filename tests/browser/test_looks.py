"""The bell, the panel, the toasts and the list page look the same on sites in all frameworks, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import looks
from tests.browser.looks.sites import documented, serve
from tests.support.desk import Desk

Look = dict[str, list[list[str]]]
Dressed = Callable[..., tuple[Page, Desk]]

FRAMEWORKS = list(looks.THEMES)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[Desk]:
    """A site whose base template loads a framework, and whose inbox is inside it as the guide says."""
    text = (looks.HERE / "site.html").read_text("utf-8")
    templates = {"my_base.html": text, "tests/page.html": '{% extends "my_base.html" %}'}
    templates |= {
        name: code
        for name, code in documented("templates.md", "template").items()
        if "base" in name
    }
    with serve(tmp_path_factory.mktemp("dressed"), _sqlite_template, templates) as desk:
        yield desk


@pytest.fixture(scope="module")
def take(site: Desk, browser: Browser) -> Callable[..., Look]:
    """Look at the widget and the list page of somebody new, on a site in a framework."""

    css = cache(looks.stylesheet)

    def look(framework: str, scheme: str, *, last: bool = False, more: str = "") -> Look:
        desk = Desk(site.site, site.server)
        page = browser.new_context().new_page()
        looks.dress(page, css(framework) + more, scheme)
        desk.sign_in(page.context)
        looks.send_all(desk)
        desk.open(page, looks.address("/", framework, scheme, last=last), sign_in=False)
        name = f"{framework}{'-last' if last else ''}"
        found = looks.look(page, desk, name, scheme)
        page.goto(desk.url + looks.address("/notifications/", framework, scheme, last=last))
        found |= looks.look_at_list(page, name, scheme)
        page.context.close()
        return found

    return look


@pytest.fixture(scope="module")
def plain(take: Callable[..., Look]) -> dict[str, Look]:
    """How it all looks where nothing else has a style."""
    return {scheme: take("plain", scheme) for scheme in ("light", "dark")}


@pytest.mark.parametrize("last", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scheme", looks.SCHEMES)
@pytest.mark.parametrize("framework", FRAMEWORKS[1:])
def test_it_looks_in_each_framework_as_it_does_alone(
    take: Callable[..., Look], plain: dict[str, Look], framework: str, scheme: str, last: bool
) -> None:
    """Whether the framework's stylesheet comes before or after the widget's."""
    found = take(framework, scheme, last=last)
    assert not (changes := looks.different(plain[scheme], found)), "\n".join(changes[:50])


#: What no site should do, and some do: sizes that `rem` does not survive, ids, layers, what is important, what a bar passes on.
HOSTILE = """
html { font-size: 62.5% }
#header { letter-spacing: 3px; text-transform: uppercase; text-shadow: 1px 1px red; cursor: wait; line-height: 3 }
#header *, main * { font: 9px serif !important; padding: 7px !important; transition: all 9s; border: 5px dashed red }
#header *::before, main *::after { content: "x" !important }
#header svg, main svg { fill: red; inline-size: 5px !important; rotate: 45deg }
#header button, main a { float: left; color: white; background: white }
@layer late { body :not(svg, svg *) { all: unset } }
"""


@pytest.mark.parametrize("last", [False, True], ids=["before", "after"])
def test_no_rule_of_a_site_reaches_into_it(
    take: Callable[..., Look], plain: dict[str, Look], last: bool
) -> None:
    found = take("plain", "light", last=last, more=HOSTILE)
    assert not (changes := looks.different(plain["light"], found)), "\n".join(changes[:50])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_change_in_the_input_of_a_framework_counts(
    site: Desk, page: Page, framework: str
) -> None:
    """The guide's changes stand in the file that the framework builds from, which leaves their layer as it is."""
    desk = Desk(site.site, site.server)
    css = looks.stylesheet(framework, looks.documented("changes"))
    looks.dress(page, css, "light")
    desk.open(page, looks.address("/", framework, "light", last=True))
    page.locator("[data-ssen=bell]").click()
    panel = page.locator(".ssen-panel")
    expect(panel).to_have_css("border-radius", "0px")
    expect(panel.locator("[data-ssen=all]")).to_have_css("color", "rgb(13, 148, 136)")


#: A site's own look, by what is documented.
CUSTOM = """
:root { --ssen-accent: rgb(1, 2, 3); --ssen-surface: rgb(255, 250, 240); --ssen-text: rgb(4, 5, 6) }
@layer sse-notify { .ssen-item .ssen-body { letter-spacing: 3px } .ssen-panel { border-radius: 0 } }
.mine { font-size: 33px }
"""


@pytest.mark.parametrize("framework", ["plain", "bootstrap", "tailwind4"])
def test_a_site_changes_the_look_by_properties_layer_and_class(
    site: Desk, page: Page, framework: str
) -> None:
    desk = Desk(site.site, site.server)
    looks.dress(page, looks.stylesheet(framework) + CUSTOM, "light")
    desk.open(page, looks.address("/", framework, "light", last=True))
    desk.send("One", body="Text")
    page.locator("[data-ssen=bell]").click()
    panel, body = page.locator(".ssen-panel"), page.locator("sse-notify li .ssen-body")
    expect(panel).to_have_css("background-color", "rgb(255, 250, 240)")
    expect(panel).to_have_css("border-radius", "0px")
    expect(panel).to_have_css("color", "rgb(4, 5, 6)")
    expect(panel.locator("[data-ssen=all]")).to_have_css("color", "rgb(1, 2, 3)")
    expect(body).to_have_css("letter-spacing", "3px")
    # An element of a template of its own is the site's to style, if its class says so.
    body.evaluate("(body) => { body.className = 'mine' }")
    expect(page.locator(".mine")).not_to_have_css("font-size", "33px")
    page.locator(".mine").evaluate("(body) => body.classList.add('ssen-own')")
    expect(page.locator(".mine")).to_have_css("font-size", "33px")
