"""How the bell looks and is used, on sites of all kinds: their styles, colours, directions, and users who have no mouse."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.desk import GUARD, Desk, badge, tab_to

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
STYLES = """() => [...document.querySelectorAll("sse-notify :not(svg, svg *, template)")].map((element) => {
  const style = getComputedStyle(element);
  return [element.className, ...["color", "backgroundColor", "display", "font", "margin", "padding", "border", "float", "width", "height",
    "letterSpacing", "textTransform", "whiteSpace", "textDecorationLine"].map((name) => style[name])].join("; ");
})"""

#: Waits until what was to be drawn is drawn.
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def send_all_kinds(desk: Desk) -> None:
    """Send items that together have every part."""
    for level in ("debug", "info", "success", "warning"):
        desk.send(level.title(), level=level, category="kinds")
    desk.send(
        "Failed",
        body="x" * 300,
        level="error",
        url="/stats/",
        actions=[{"label": "Again", "url": "/send/notify/"}],
    )
    desk.send("Import", progress={"state": "running", "percent": 40}, key="import")


def test_rules_of_a_site_for_elements_do_not_reach_into_the_widget(desk: Desk, page: Page) -> None:
    desk.open(page)
    desk.send(
        "Failed",
        body="Some text",
        level="error",
        url="/stats/",
        actions=[{"label": "Again", "url": "/"}],
    )
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


def test_a_site_changes_the_look_in_the_layer_of_the_stylesheet(desk: Desk, page: Page) -> None:
    desk.open(page)
    page.add_style_tag(
        content="@layer sse-notify { .ssen-item[data-unread] .ssen-title { font-weight: 900 } }"
    )
    desk.send("One")
    expect(page.locator("sse-notify li .ssen-title")).to_have_css(
        "font-weight", "900", timeout=GUARD
    )


def test_toasts_are_in_the_corner_of_the_window_whatever_surrounds_the_bell(
    desk: Desk, page: Page
) -> None:
    """A filter or a transform makes an element what `position: fixed` is fixed to; bars of sites have them."""
    desk.open(page)
    page.add_style_tag(
        content="body { block-size: 60px; overflow: hidden; backdrop-filter: blur(2px); transform: translateY(30px) }"
    )
    desk.send("One")
    toast = page.locator(".ssen-toast")
    expect(toast).to_be_in_viewport(ratio=1, timeout=GUARD)
    box = toast.bounding_box()
    window = page.viewport_size
    assert box is not None
    assert window is not None
    assert window["height"] - 40 < box["y"] + box["height"] < window["height"]
    assert window["width"] - 40 < box["x"] + box["width"] < window["width"]


@pytest.mark.chromium("preferences of the user, such as the colour scheme, are emulated")
def test_colours_are_those_of_the_page_and_not_of_the_system(desk: Desk, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    desk.open(page)
    bell, panel = page.locator("[data-ssen=bell]"), page.locator("[data-ssen=panel]")
    # A page that is always light, in a system that is dark.
    expect(bell).to_have_css("color", "rgb(0, 0, 0)")
    expect(panel).to_have_css("background-color", "rgb(255, 255, 255)")
    page.add_style_tag(content=":root { color-scheme: light dark } body { color: rgb(1, 2, 3) }")
    expect(bell).to_have_css("color", "rgb(1, 2, 3)")
    expect(panel).to_have_css("background-color", "rgb(23, 28, 37)")


@pytest.mark.parametrize("title", ["W" * 255, ("A very long title " * 20)[:255]])
def test_toasts_with_long_titles_stay_in_the_window(desk: Desk, page: Page, title: str) -> None:
    page.set_viewport_size({"width": 390, "height": 720})
    page.clock.install()  # toasts stay
    desk.open(page)
    for _ in range(3):
        desk.send(title, body="x" * 1000, url="/stats/", level="error")
    toasts = page.locator(".ssen-toast")
    expect(toasts).to_have_count(3, timeout=GUARD)
    for toast in toasts.all():
        expect(toast).to_be_in_viewport(ratio=1)
        expect(toast.locator(".ssen-title")).to_have_text(title)
    page.locator("[data-ssen=bell]").click()
    shown, whole = (
        page.locator(".ssen-panel .ssen-title").first,
        "(e) => [...e.getClientRects()].length",
    )
    assert shown.evaluate(whole) > 3, "the panel shows the whole title"


def test_the_list_page_has_one_font(desk: Desk, page: Page) -> None:
    desk.sign_in(page.context)
    desk.send("One")
    page.goto(desk.url + "/notifications/")
    fonts = "(links) => links.map((link) => getComputedStyle(link).fontFamily)"
    assert set(page.locator("a:visible").evaluate_all(fonts)) == {"system-ui, sans-serif"}


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_all_fits_into_a_narrow_window(desk: Desk, browser: Browser, direction: str) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 560}, reduced_motion="reduce")
    page = context.new_page()
    desk.open(page)
    page.evaluate("(direction) => { document.documentElement.dir = direction }", direction)
    page.add_style_tag(content="body { display: flex; justify-content: end }")
    send_all_kinds(desk)
    expect(page.locator(".ssen-toast").last).to_be_in_viewport(ratio=1, timeout=GUARD)
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("[data-ssen=panel]")).to_be_in_viewport(ratio=1)
    for part in ("bell", "heading", "all", "list"):
        expect(page.locator(f"[data-ssen={part}]")).to_be_in_viewport(ratio=0.99)
    # Where text is cut after some lines, a Chromium may count a part of the ellipsis as overflow; a word that is not broken is much more.
    assert (
        page.evaluate(
            """[...document.querySelectorAll("sse-notify :is(ul, li, p)")]
          .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + parseFloat(getComputedStyle(e).fontSize) / 2)
          .map((e) => `${e.className}: ${e.scrollWidth} in ${e.clientWidth}`)"""
        )
        == []
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_the_panel_is_used_by_keyboard(desk: Desk, page: Page) -> None:
    desk.open(page)
    for title in ("One", "Two"):
        desk.send(title, url="/stats/")
    items = page.locator("sse-notify li")
    expect(items).to_have_count(2, timeout=GUARD)
    bell = page.locator("[data-ssen=bell]")
    expect(bell).to_have_attribute("aria-expanded", "false")
    tab_to(page, bell)
    page.keyboard.press("Enter")
    expect(page.locator("[data-ssen=heading]")).to_be_focused()
    expect(bell).to_have_attribute("aria-expanded", "true")
    # What was short notes so far is in the panel now.
    expect(page.locator(".ssen-toast")).to_have_count(0)
    tab_to(page, items.first.locator("[data-ssen-mark=read]"))
    page.keyboard.press("Enter")
    expect(items.first.locator("[data-ssen-mark=unread]")).to_be_focused()
    # Where the keyboard is, nothing moves: what arrives waits behind a button.
    desk.send("Three")
    more = page.locator("[data-ssen=new]")
    expect(more).to_have_text("1 new", timeout=GUARD)
    expect(items).to_have_count(2)
    tab_to(page, items.first.locator("[data-ssen-mark=archive]"))
    page.keyboard.press("Enter")
    expect(items).to_have_count(1)
    expect(items.first.locator(".ssen-title")).to_be_focused()
    tab_to(page, more, back=True)
    page.keyboard.press("Enter")
    expect(items.locator(".ssen-title")).to_have_text(["Three", "One"])
    expect(page.locator("[data-ssen=heading]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("[data-ssen=panel]")).to_be_hidden()
    expect(bell).to_be_focused()


def test_the_button_for_what_is_new_stays_under_the_keyboard_while_the_list_changes(
    desk: Desk, page: Page
) -> None:
    # What a mark does comes back by the stream and draws the list; that takes nothing away from who is about to press the button.
    desk.open(page)
    item = desk.send("One")
    items, more = page.locator("sse-notify li"), page.locator("[data-ssen=new]")
    expect(items).to_have_count(1, timeout=GUARD)
    page.locator("[data-ssen=bell]").press("Enter")
    expect(page.locator("[data-ssen=heading]")).to_be_focused()
    items.first.locator("[data-ssen-mark=archive]").focus()
    waiting = desk.send("Two")
    expect(more).to_have_text("1 new", timeout=GUARD)
    more.focus()
    page.evaluate("([id]) => document.querySelector('sse-notify').client.markRead([id])", [item])
    expect(items.first.locator("[data-ssen-mark=unread]")).to_be_visible(timeout=GUARD)
    page.evaluate(TWO_FRAMES)
    expect(more).to_be_focused()
    expect(items).to_have_count(1)
    # If nothing is behind it any more, it goes, and the focus is not lost.
    page.evaluate("([id]) => document.querySelector('sse-notify').client.archive([id])", [waiting])
    expect(more).to_be_hidden(timeout=GUARD)
    expect(page.locator("[data-ssen=heading]")).to_be_focused()


@pytest.mark.parametrize("way", ["hover", "focus"])
def test_toasts_stay_while_somebody_reads_them(desk: Desk, page: Page, way: str) -> None:
    page.clock.install()
    desk.open(page)
    desk.send("Read me")
    toast = page.locator(".ssen-toast")
    expect(toast).to_have_count(1, timeout=GUARD)
    if way == "hover":
        toast.hover()
    else:
        tab_to(page, toast.locator("[data-ssen=dismiss]"))
    page.clock.run_for(60_000)
    expect(toast).to_have_count(1)
    if way == "hover":
        page.mouse.move(1, 400)
    else:
        tab_to(page, page.locator("[data-ssen=bell]"), back=True)
    page.clock.run_for(7_000)
    expect(toast).to_have_count(1)
    page.clock.run_for(2_000)
    expect(toast).to_have_count(0)


def test_a_toast_that_is_dismissed_by_keyboard_passes_the_focus_on(desk: Desk, page: Page) -> None:
    desk.open(page)
    for title in ("One", "Two"):
        desk.send(title)
    dismiss = page.locator(".ssen-toast [data-ssen=dismiss]")
    expect(dismiss).to_have_count(2, timeout=GUARD)
    tab_to(page, dismiss.first)
    page.keyboard.press("Enter")
    expect(page.locator(".ssen-toast .ssen-title")).to_have_text(["Two"])
    expect(dismiss).to_be_focused()
    page.keyboard.press("Enter")
    expect(dismiss).to_have_count(0)
    expect(page.locator("[data-ssen=bell]")).to_be_focused()


def test_a_page_that_takes_the_widget_out_and_in_again_goes_on(
    desk: Desk, page: Page, page_errors: list[str]
) -> None:
    """As htmx and Turbo do."""
    desk.open(page)
    desk.send("One")
    expect(page.locator(".ssen-toast")).to_have_count(1, timeout=GUARD)
    page.locator("[data-ssen=bell]").click()
    page.evaluate(
        "window.taken = document.querySelector('sse-notify'); taken.remove(); document.body.append(taken)"
    )
    expect(page.locator("sse-notify[data-connection=open]")).to_be_attached(timeout=GUARD)
    desk.send("Two")
    expect(page.locator("sse-notify li .ssen-title")).to_have_text(["Two", "One"], timeout=GUARD)
    assert page_errors == []


#: Every text that a user reads or hears in an element, but for what a notification says, numbers, and the name of the page.
WORDS = """(root) => {
  const texts = [];
  const walk = (node) => {
    if (node.nodeType === Node.TEXT_NODE) texts.push(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE || node.matches("[data-ssen=title], [data-ssen=name], [data-ssen=body], time")) return;
    const spoken = ["aria-label", "title", "data-label", "data-one", "data-many", "data-done", "data-loading", "data-retry"];
    for (const name of spoken) texts.push(node.getAttribute(name) ?? "");
    if (node.matches("[data-ssen=status]")) texts.push(...Object.values(node.dataset).filter((value) => value !== "status"));
    (node.content ?? node).childNodes.forEach(walk);
  };
  walk(document.querySelector(root));
  return [...new Set(texts.map((text) => text.replace(/[\\d\\s\\u00d7]+/g, " ").trim()).filter(Boolean))];
}"""


@pytest.mark.chromium("preferences of the user, such as the colour scheme, are emulated")
def test_nothing_moves_for_who_wants_no_motion(desk: Desk, page: Page) -> None:
    page.add_init_script(
        "window.moved = []; for (const type of ['animationstart', 'transitionrun']) addEventListener(type, (e) => moved.push(e.target.className), true)"
    )
    for motion in ("no-preference", "reduce"):
        page.emulate_media(reduced_motion="reduce" if motion == "reduce" else "no-preference")
        desk.open(page)
        desk.send("One")
        expect(page.locator(".ssen-toast")).to_be_visible(timeout=GUARD)
        page.locator("[data-ssen=bell]").click()
        desk.send("Two")
        expect(page.locator("sse-notify .ssen-title")).to_contain_text(
            ["Two", "One"], timeout=GUARD
        )
        # Two frames on, whatever was to start has started.
        page.evaluate(TWO_FRAMES)
        assert bool(page.evaluate("moved.length")) == (motion == "no-preference")


@pytest.mark.chromium("preferences of the user, such as the colour scheme, are emulated")
def test_what_colours_say_is_told_without_them(desk: Desk, page: Page) -> None:
    """As where a system forces its own few colours upon every page."""
    page.emulate_media(forced_colors="active")
    desk.open(page)
    for title in ("One", "Two"):
        desk.send(title)
    badge(page, "2")
    expect(page.locator("[data-ssen=badge]")).to_have_css("border-top-style", "solid")
    page.locator("[data-ssen=bell]").click()
    unread, read = (page.locator("[data-ssen=list] > li").nth(n) for n in (0, 1))
    read.locator("[data-ssen-mark=read]").click()
    expect(read).not_to_have_attribute("data-unread", "")
    drawn = "(dot) => getComputedStyle(dot).backgroundColor"
    dots = [item.locator(".ssen-dot:visible").evaluate(drawn) for item in (unread, read)]
    canvas = page.locator("[data-ssen=panel]").evaluate(drawn)
    assert dots[0] != canvas
    assert dots[0] != dots[1]
    expect(unread).to_have_css("border-top-style", "solid")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).not_to_have_css("outline-style", "none")


def test_every_word_is_in_the_language_of_the_page(desk: Desk, browser: Browser) -> None:
    words: dict[str, dict[str, set[str]]] = {}
    for locale, direction in (("en-US", "ltr"), ("de-DE", "ltr"), ("ar", "rtl"), ("zh-CN", "ltr")):
        context = browser.new_context(locale=locale)
        page = desk.open(context.new_page())
        if locale == "en-US":
            desk.send("1", progress={"state": "failed"})
            desk.send("2")
            badge(page, "2")
            page.reload()
        expect(page.locator("html")).to_have_attribute("dir", direction)
        expect(page.locator("[data-ssen=panel]")).to_have_css("direction", direction)
        words[locale] = {"bell": set(page.evaluate(WORDS, "sse-notify"))}
        desk.open(page, "/notifications/", connection="")
        expect(page.locator("html")).to_have_attribute("dir", direction)
        words[locale]["page"] = set(page.evaluate(WORDS, "main"))
        context.close()
    english = words.pop("en-US")
    assert len(english["bell"]) > 20
    assert len(english["page"]) > 8
    for locale, found in words.items():
        for place, texts in found.items():
            assert texts & english[place] <= {"Filter"}, (locale, place)  # which is German, too
            assert len(texts) >= len(english[place]) - 3, (locale, place)
