"""How the bell looks and is used, on sites of all kinds: their styles, colours, directions, and users who have no mouse."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import ROOT
from tests.support.servers import Server
from tests.support.site import Site

GUARD = 30_000  # ms
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

#: What frameworks say about elements, in one place, and what a bar passes on to what is inside.
FOREIGN = """
body { letter-spacing: 3px; text-transform: uppercase; white-space: nowrap }
a, a:hover { color: red; text-decoration: underline }
p, h2, form { margin: 0 0 2rem; font: bold 2rem serif }
ul { margin: 1rem; padding-inline-start: 4rem }
li::marker { content: "-" }
div, span, time { padding: 7px; float: right }
button, [type=submit], [type=button]:not(:disabled) { display: inline-block; width: 100%; padding: 1rem; border: 3px solid; background: red }
"""

#: The styles that matter of everything in the widget.
STYLES = """() => [...document.querySelectorAll("sse-notify, sse-notify :not(svg, svg *, template)")].map((element) => {
  const style = getComputedStyle(element);
  return [element.className, ...["color", "backgroundColor", "display", "font", "margin", "padding", "border", "float", "width", "height",
    "letterSpacing", "textTransform", "whiteSpace", "textDecorationLine"].map((name) => style[name])].join("; ");
})"""

VIOLATIONS = """async () => (await axe.run("sse-notify")).violations.map(
  ({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`)"""


def send(site: Site, server: Server, title: str, **more: Any) -> None:
    """Notify alice, in the server's process."""
    site.send(server, "notify", to="alice", title=title, **more)


def open_page(site: Site, page: Page) -> Server:
    """Start a server, sign in, load the page, wait until it is live."""
    server = site.serve()
    page.context.request.post(server.url + "/login/", form={"username": "alice"})
    page.goto(server.url)
    expect(page.locator("sse-notify[data-connection=open]")).to_be_attached(timeout=GUARD)
    return server


def send_all_kinds(site: Site, server: Server) -> None:
    """Send items that together have every part."""
    for level in ("debug", "info", "success", "warning"):
        send(site, server, level.title(), level=level, category="kinds")
    send(
        site, server, "Failed", body="x" * 300, level="error", url="/stats/", actions=[{"label": "Again", "url": "/send/notify/"}]
    )
    send(site, server, "Import", data={"progress": {"state": "running", "percent": 40}}, key="import")


def test_rules_of_a_site_for_elements_do_not_reach_into_the_widget(site: Site, page: Page) -> None:
    server = open_page(site, page)
    send(site, server, "Failed", body="Some text", level="error", url="/stats/", actions=[{"label": "Again", "url": "/"}])
    expect(page.locator(".ssen-toast")).to_be_visible(timeout=GUARD)
    page.emulate_media(reduced_motion="reduce")
    before = page.evaluate(STYLES)
    page.add_style_tag(content=FOREIGN)
    assert page.evaluate(STYLES) == before
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("[data-ssen=panel]")).to_be_visible()
    expect(page.locator("sse-notify li .ssen-title")).to_have_css("text-decoration-line", "none")
    # The button for what is read already stays hidden, though the site shows every button.
    expect(page.locator("[data-ssen-mark=unread]")).to_be_hidden()


def test_a_site_changes_the_look_in_the_layer_of_the_stylesheet(site: Site, page: Page) -> None:
    server = open_page(site, page)
    page.add_style_tag(content="@layer sse-notify { .ssen-item[data-unread] .ssen-title { font-weight: 900 } }")
    send(site, server, "One")
    expect(page.locator("sse-notify li .ssen-title")).to_have_css("font-weight", "900", timeout=GUARD)


def test_toasts_are_in_the_corner_of_the_window_whatever_surrounds_the_bell(site: Site, page: Page) -> None:
    """A filter or a transform makes an element what `position: fixed` is fixed to; bars of sites have them."""
    server = open_page(site, page)
    page.add_style_tag(
        content="body { block-size: 60px; overflow: hidden; backdrop-filter: blur(2px); transform: translateY(30px) }"
    )
    send(site, server, "One")
    toast = page.locator(".ssen-toast")
    expect(toast).to_be_in_viewport(ratio=1, timeout=GUARD)
    box = toast.bounding_box()
    window = page.viewport_size
    assert box is not None
    assert window is not None
    assert window["height"] - 40 < box["y"] + box["height"] < window["height"]
    assert window["width"] - 40 < box["x"] + box["width"] < window["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_bell_has_no_fault_that_axe_knows(site: Site, page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    server = open_page(site, page)
    page.add_style_tag(content=":root { color-scheme: light dark }")
    page.evaluate(AXE.read_text())
    assert page.evaluate(VIOLATIONS) == []
    send_all_kinds(site, server)
    expect(page.locator(".ssen-toast")).to_have_count(3, timeout=GUARD)
    assert page.evaluate(VIOLATIONS) == []
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("sse-notify li")).to_have_count(6)
    assert page.evaluate(VIOLATIONS) == []
    page.locator("[data-ssen=all]").click()
    expect(page.locator("sse-notify li[data-unread]")).to_have_count(0)
    assert page.evaluate(VIOLATIONS) == []


def test_colours_are_those_of_the_page_and_not_of_the_system(site: Site, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    open_page(site, page)
    bell, panel = page.locator("[data-ssen=bell]"), page.locator("[data-ssen=panel]")
    # A page that is always light, in a system that is dark.
    expect(bell).to_have_css("color", "rgb(0, 0, 0)")
    expect(panel).to_have_css("background-color", "rgb(255, 255, 255)")
    page.add_style_tag(content=":root { color-scheme: light dark } body { color: rgb(1, 2, 3) }")
    expect(bell).to_have_css("color", "rgb(1, 2, 3)")
    expect(panel).to_have_css("background-color", "rgb(23, 28, 37)")


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_all_fits_into_a_narrow_window(site: Site, browser: Browser, direction: str) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 560}, reduced_motion="reduce")
    page = context.new_page()
    server = open_page(site, page)
    page.evaluate("(direction) => { document.documentElement.dir = direction }", direction)
    page.add_style_tag(content="body { display: flex; justify-content: end }")
    send_all_kinds(site, server)
    expect(page.locator(".ssen-toast").last).to_be_in_viewport(ratio=1, timeout=GUARD)
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("[data-ssen=panel]")).to_be_in_viewport(ratio=1)
    for part in ("bell", "heading", "all", "list"):
        expect(page.locator(f"[data-ssen={part}]")).to_be_in_viewport(ratio=0.99)
    wide = "[...document.querySelectorAll('sse-notify :is(ul, li, p)')].filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth).length"
    assert page.evaluate(wide) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_the_panel_is_used_by_keyboard(site: Site, page: Page) -> None:
    server = open_page(site, page)
    for title in ("One", "Two"):
        send(site, server, title, url="/stats/")
    items = page.locator("sse-notify li")
    expect(items).to_have_count(2, timeout=GUARD)
    bell = page.locator("[data-ssen=bell]")
    expect(bell).to_have_attribute("aria-expanded", "false")
    bell.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-ssen=heading]")).to_be_focused()
    expect(bell).to_have_attribute("aria-expanded", "true")
    # What was short notes so far is in the panel now.
    expect(page.locator(".ssen-toast")).to_have_count(0)
    items.first.locator("[data-ssen-mark=read]").focus()
    page.keyboard.press("Enter")
    expect(items.first.locator("[data-ssen-mark=unread]")).to_be_focused()
    # Where the keyboard is, nothing moves: what arrives waits behind a button.
    send(site, server, "Three")
    more = page.locator("[data-ssen=new]")
    expect(more).to_have_text("New: 1", timeout=GUARD)
    expect(items).to_have_count(2)
    items.first.locator("[data-ssen-mark=archive]").focus()
    page.keyboard.press("Enter")
    expect(items).to_have_count(1)
    expect(items.first.locator(".ssen-title")).to_be_focused()
    more.click()
    expect(items.locator(".ssen-title")).to_have_text(["Three", "One"])
    expect(page.locator("[data-ssen=heading]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("[data-ssen=panel]")).to_be_hidden()
    expect(bell).to_be_focused()


def test_a_toast_that_is_dismissed_by_keyboard_passes_the_focus_on(site: Site, page: Page) -> None:
    server = open_page(site, page)
    for title in ("One", "Two"):
        send(site, server, title)
    dismiss = page.locator(".ssen-toast [data-ssen=dismiss]")
    expect(dismiss).to_have_count(2, timeout=GUARD)
    dismiss.first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".ssen-toast .ssen-title")).to_have_text(["Two"])
    expect(dismiss).to_be_focused()
    page.keyboard.press("Enter")
    expect(dismiss).to_have_count(0)
    expect(page.locator("[data-ssen=bell]")).to_be_focused()


def test_a_page_that_takes_the_widget_out_and_in_again_goes_on(site: Site, page: Page, page_errors: list[str]) -> None:
    """As htmx and Turbo do."""
    server = open_page(site, page)
    send(site, server, "One")
    expect(page.locator(".ssen-toast")).to_have_count(1, timeout=GUARD)
    page.locator("[data-ssen=bell]").click()
    page.evaluate("window.taken = document.querySelector('sse-notify'); taken.remove(); document.body.append(taken)")
    expect(page.locator("sse-notify[data-connection=open]")).to_be_attached(timeout=GUARD)
    send(site, server, "Two")
    expect(page.locator("sse-notify li .ssen-title")).to_have_text(["Two", "One"], timeout=GUARD)
    assert page_errors == []
