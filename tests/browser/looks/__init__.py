"""How the widget looks in a site: what tests measure of it, and sites in the frameworks that they know.

With ``LOOKS=folder`` in the environment, each look leaves a picture there.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.docs.pages import DOCS, blocks
from tests.support import ROOT
from tests.support.desk import GUARD, Desk
from tests.support.node import environment, need_modules, node

HERE = Path(__file__).parent

#: The attributes of ``html`` that make a site of a framework light or dark.
THEMES = {
    "plain": {"light": "", "dark": 'style="color-scheme: dark"'},
    "bootstrap": {"light": 'data-bs-theme="light"', "dark": 'data-bs-theme="dark"'},
    # By the system's colours; the other Tailwind by a class, as its guide shows both.
    "tailwind3": dict.fromkeys(("light", "dark"), 'style="color-scheme: light dark"'),
    "tailwind4": {"light": "", "dark": 'class="dark"'},
    "daisyui": {"light": 'data-theme="light"', "dark": 'data-theme="dark"'},
}

_SITE = HERE / "site.html"
#: The command that builds a framework's stylesheet; it reads what the guide has for it.
_BUILDS = {
    "tailwind3": ["tailwindcss3/lib/cli.js", "--content", str(_SITE), "--input", "-"],
    "tailwind4": ["@tailwindcss/cli/dist/index.mjs", "--input", "-"],
    "daisyui": ["@tailwindcss/cli/dist/index.mjs", "--input", "-"],
}

#: What is measured of the elements below a selector that can be seen: texts and drawings whose contrast is too low or whose text is
#: too small, and controls without a box. Colours are painted, so that every way to write one is understood.
FAULTS = """(selector) => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colors) => {
    context.clearRect(0, 0, 1, 1);
    for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1) }
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const probe = document.documentElement.appendChild(document.createElement("i"));
  probe.style.cssText = "background: canvas !important; transition: none !important";
  const canvas = getComputedStyle(probe).backgroundColor;
  probe.remove();
  const behind = (element) => {
    const found = [];
    for (let at = element; at; at = at.parentElement) {
      const { backgroundColor, backgroundImage } = getComputedStyle(at);
      found.unshift(backgroundImage.match(/-gradient\\(([a-z]+\\([^)]*\\))/)?.[1] ?? backgroundColor); // a gradient's first
      if (paint([found[0]])[3] === 255) return found;
    }
    return [canvas, ...found];
  };
  const light = (colors) => {
    const [r, g, b] = paint(colors).slice(0, 3).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (element, color) => {
    const back = behind(element);
    const [low, high] = [light(back), light([...back, color])].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const faults = [];
  const seen = [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest(".ssen-sr"));
  if (!seen.length) faults.push(`nothing is seen of ${selector}`);
  for (const element of seen) {
    const style = getComputedStyle(element);
    const name = `${element.localName}.${element.getAttribute("class")} "${element.textContent.trim().slice(0, 20)}"`;
    const { width, height } = element.getBoundingClientRect();
    const own = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if ((own.length || element.matches("a, button, svg, li, ul, progress, input")) && Math.min(width, height) < 8)
      faults.push(`${name} is ${width} x ${height}`);
    if (own.length) {
      const found = contrast(element, style.color);
      if (found < 4.5) faults.push(`${name} has contrast ${found.toFixed(2)}: ${style.color} on ${behind(element).join(" + ")}`);
      if (Number.parseFloat(style.fontSize) < 11) faults.push(`${name} has ${style.fontSize}`);
      if (style.textShadow !== "none") faults.push(`${name} has a shadow`);
    }
    if (element.localName === "svg") {
      const found = contrast(element, style.stroke);
      if (found < 3) faults.push(`${name} has contrast ${found.toFixed(2)}: ${style.stroke} on ${behind(element).join(" + ")}`);
    }
  }
  return faults;
}"""

#: Every computed style of the elements below a selector, but for what the place of the bell, and the time of day, decide. Of drawings,
#: which keep the rules of earlier layers, what is seen of them.
STYLES = """([selector, flexible]) => {
  const left = /^(top|right|bottom|left|inset-.*|transform-origin|perspective-origin|color-scheme|-webkit-locale|tab-size|scrollbar-color|.*text-size-adjust|.*tap-highlight-color)$/;
  const size = /^((min-|max-)?(width|height|inline-size|block-size))$/;
  const drawn = ["display", "color", "fill", "stroke", "stroke-width", "width", "height", "opacity"];
  return [...document.querySelectorAll(selector)].map((element) => {
    const style = getComputedStyle(element);
    const all = element.matches("svg, svg *") ? drawn : [...style].filter((name) => !name.startsWith("--") && !left.test(name));
    const names = all.filter((name) => !(flexible && size.test(name)));
    return [`${element.localName}.${element.getAttribute("class")}`, ...names.map((name) => `${name}: ${style.getPropertyValue(name)}`)];
  });
}"""

#: The size of what is only for screen readers.
HEARD = """() => {
  const { width, height } = document.querySelector("sse-notify > .ssen-sr").getBoundingClientRect();
  return [width, height];
}"""

#: What of the list page has a background of its own; the rest has the site's colour.
OWN = ".ssen-page .ssen-list, .ssen-page .ssen-list *, .ssen-page-filters a, .ssen-page-button"


def documented(mark: str) -> str:
    """Return what the guide to CSS frameworks has under a mark."""
    page = blocks(DOCS / "how-to" / "css-frameworks.md")
    (code,) = (block.code for block in page if block.mark == mark)
    return code


def stylesheet(framework: str, changes: str = "") -> str:
    """Return a framework's stylesheet with what the site of these tests uses, built by its own command from the guide's input and ``changes``."""
    if framework == "plain":
        return changes
    modules = need_modules()
    if framework == "bootstrap":
        return (modules / "bootstrap/dist/css/bootstrap.min.css").read_text("utf-8") + changes
    # Where a project would be found by its folder, it is one file here.
    only = f'@import "tailwindcss" source(none); @source "{_SITE}";'
    source = documented(framework).replace('@import "tailwindcss";', only) + changes
    cli, *arguments = _BUILDS[framework]
    command = [str(node()), str(modules / cli), *arguments]
    built = subprocess.run(
        command,
        env=environment(),
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "dark" in built.stdout, built.stderr
    return built.stdout


def address(path: str, framework: str, scheme: str, *, last: bool = False) -> str:
    """Return the address of a page of the site in a framework.

    Args:
        path: of the page.
        framework: a key of ``THEMES``.
        scheme: "light" or "dark".
        last: whether the framework's stylesheet comes after the widget's.
    """
    return f"{path}?{urlencode({'html': THEMES[framework][scheme], 'last': '1' if last else ''})}"


def dress(page: Page, css: str, scheme: Any) -> None:
    """Make a page, of a system of these colours, load ``css`` for the framework's stylesheet."""
    page.route(
        "**/vendor/framework.css", lambda route: route.fulfill(body=css, content_type="text/css")
    )
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")


#: The colour schemes to look in.
SCHEMES = [
    "light",
    pytest.param(
        "dark",
        marks=pytest.mark.chromium(
            "preferences of the user, such as the colour scheme, are emulated"
        ),
    ),
]


def send_all(desk: Desk) -> None:
    """Send items that together have every part."""
    for level in ("debug", "info", "success", "warning"):
        desk.send(level.title(), level=level, category="kinds")
    actions = [{"label": "Again", "url": "/"}, {"label": "Post", "url": "/", "method": "POST"}]
    desk.send("Failed", body="Some text. " * 30, level="error", url="/stats/", actions=actions)
    desk.send("Import", progress={"state": "running", "percent": 40}, key="import")
    desk.site.all_numbered(
        desk.server
    )  # an item that a page lists, and that arrives a moment later, is marked as new


def look(page: Page, desk: Desk, name: str, scheme: str) -> dict[str, list[list[str]]]:
    """Look at the bell of a page, at a toast, and at the panel; return the styles of what is the widget's own.

    The user must have the items of ``send_all``, and no others.
    """
    bell, panel = page.locator("[data-ssen=bell]"), page.locator("[data-ssen=panel]")
    picture(page, f"{name}-{scheme}-bell")
    box = bell.bounding_box()
    assert box is not None
    assert 44 <= min(box["width"], box["height"]) <= max(box["width"], box["height"]) < 46, box
    no_faults(page, "sse-notify, .ssen-bell, .ssen-bell *")
    # What is only for screen readers takes no place.
    assert page.evaluate(HEARD) == [1, 1]
    desk.send("Live", body="Arrived", level="success")
    toast = page.locator(".ssen-toast")
    expect(toast).to_be_in_viewport(ratio=1, timeout=GUARD)
    expect(toast).to_have_css("border-top-style", "solid")
    # Firefox's driver does not ask for less motion.
    toast.evaluate("(toast) => Promise.all(toast.getAnimations().map(({ finished }) => finished))")
    no_faults(page, ".ssen-toast, .ssen-toast *")
    picture(page, f"{name}-{scheme}-toast")
    found = {"toast": page.evaluate(STYLES, [".ssen-toasts, .ssen-toasts *", False])}
    bell.press("Enter")
    expect(panel).to_be_in_viewport(ratio=1)
    expect(panel.locator(".ssen-list > li")).to_have_count(7)
    expect(panel.and_(page.locator(":lang(en)"))).to_be_visible()
    for part in (".ssen-panel", ".ssen-tab", ".ssen-action", ".ssen-dot"):
        for side in ("top", "right", "bottom", "left"):
            expect(
                panel.locator(f"{part}:visible").or_(panel.and_(page.locator(part))).first
            ).to_have_css(f"border-{side}-style", "solid")
    expect(panel.locator(".ssen-item").first).to_have_css("border-bottom-style", "solid")
    no_faults(page, ".ssen-panel, .ssen-panel *")
    picture(page, f"{name}-{scheme}")
    found["panel"] = page.evaluate(STYLES, [".ssen-panel, .ssen-panel *", False])
    return found


def look_at_list(page: Page, name: str, scheme: str) -> dict[str, list[list[str]]]:
    """Look at the list page; return the styles of all that is in it, but for sizes."""
    expect(page.locator(".ssen-page .ssen-list > li")).to_have_count(7)
    for part in (".ssen-list", ".ssen-page-filters a", ".ssen-page-button"):
        expect(page.locator(f".ssen-page {part}").first).to_have_css("border-top-style", "solid")
    no_faults(page, ".ssen-page *")
    picture(page, f"{name}-{scheme}-list")
    return {"list": page.evaluate(STYLES, [OWN, True])}


def no_faults(page: Page, selector: str) -> None:
    """Fail if ``FAULTS`` finds any below a selector."""
    found = page.evaluate(FAULTS, selector)
    assert not found, "\n".join(found)


def picture(page: Page, name: str) -> None:
    """Leave a picture for whoever asked for it."""
    if folder := os.environ.get("LOOKS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def different(ours: dict[str, list[list[str]]], theirs: dict[str, list[list[str]]]) -> list[str]:
    """Return what is not the same in two looks, line by line."""
    found = []
    for place, elements in ours.items():
        for one, other in zip(elements, theirs[place], strict=True):
            found += [
                f"{place} {one[0]}: {b}, not {a}" for a, b in zip(one, other, strict=True) if a != b
            ]
    return found
