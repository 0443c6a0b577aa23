"""The npm package, as a project has it: packed, installed, built with Vite, beside a bell that rings."""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

import sse_notify
from tests.browser.test_bundles import bundle
from tests.docs.pages import DOCS, blocks
from tests.support import ROOT
from tests.support.desk import GUARD, Desk
from tests.support.node import command, need_modules, run

APPS = {
    "react": """
import { createElement as h } from "react";
import { createRoot } from "react-dom/client";
import "sse-notify";
import "sse-notify/style.css";
import { pageClient, useArrivals, useCounts } from "sse-notify/react";

function App({ client }) {
  const titles = useArrivals(client).map(({ id, title }) => h("li", { key: id }, title));
  return h("div", null, h("b", { id: "unread" }, useCounts(client).unread), h("ul", null, titles));
}
createRoot(document.querySelector("#app")).render(h(App, { client: pageClient() }));
""",
    "vue": """
import { createApp, h } from "vue";
import "sse-notify";
import "sse-notify/style.css";
import { pageClient, useArrivals, useCounts } from "sse-notify/vue";

createApp({
  setup() {
    const [counts, items] = [useCounts(pageClient()), useArrivals(pageClient())];
    return () => [
      h("b", { id: "unread" }, counts.value.unread),
      h("ul", items.value.map(({ id, title }) => h("li", { key: id }, title))),
    ];
  },
}).mount("#app");
""",
}

#: Uses every type that the package has, as a project in TypeScript would.
TYPED = """
import { SseNotifyClient, type Item } from "sse-notify";
import * as hooks from "sse-notify/react";
import * as composables from "sse-notify/vue";

const client: SseNotifyClient = hooks.pageClient();
export const unread: number = hooks.useCounts(client).unread;
export const also: number = composables.useCounts(client).value.unread;
export const items: Item[] = hooks.useArrivals(client, 5);
export const more: Item[] = composables.useArrivals(client).value;
hooks.useTopic(client, "wall", (text) => text.length);
// @ts-expect-error: the text is a string
composables.useTopic(client, "wall", (text) => text.nothing);
"""


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as ``npm pack`` makes it, of a copy of its folder."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "npm", folder / "npm", ignore=shutil.ignore_patterns("dist", "*.tgz"))
    shutil.copy(ROOT / "LICENSE", folder)
    (folder / "sse_notify").symlink_to(ROOT / "sse_notify")
    (packed,) = json.loads(run(*command("npm"), "pack", "--json", folder=folder / "npm"))
    return folder / "npm" / str(packed["filename"])


@pytest.fixture
def project(tarball: Path) -> Iterator[Path]:
    """A project that has it, where React, Vue, Vite and TypeScript are found as well."""
    need_modules()
    (ROOT / ".cache").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="npm-project-", dir=ROOT / ".cache"))
    (folder / "package.json").write_text('{"name": "project", "private": true, "type": "module"}')
    install = [*command("npm"), "install", "--no-audit", "--no-fund", "--legacy-peer-deps"]
    run(*install, tarball, folder=folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", APPS)
def test_a_project_with_vite_sees_the_bell_ring(
    kind: str, project: Path, desk: Desk, page: Page
) -> None:
    (project / "app.js").write_text(APPS[kind])
    out = project / "out"
    assert bundle("vite", project / "app.js", out) == ""

    def rewrite(route: Route) -> None:
        text = route.fetch().text()
        tag = '<script type="module" src="/static/sse_notify/sse-notify.js"></script>'
        assert tag in text
        text = text.replace(tag, '<script type="module" src="/bundle/main.js"></script>')
        text = text.replace("</body>", '<div id="app"></div></body>')
        assert 'id="app"' in text
        route.fulfill(body=text, content_type="text/html")

    page.route(desk.url + "/", rewrite)
    page.route("**/static/**/*.js", lambda route: route.fulfill(status=404))
    page.route(
        "**/bundle/**",
        lambda route: route.fulfill(
            path=out / route.request.url.partition("/bundle/")[2].partition("#")[0],
            content_type="text/javascript",
        ),
    )
    desk.open(page)
    desk.send("One")
    desk.send("Two")
    expect(page.locator("#app li")).to_have_text(["Two", "One"], timeout=GUARD)
    expect(page.locator("#unread")).to_have_text("2")
    expect(page.locator(".ssen-toast")).to_have_count(2)
    expect(page.locator("[data-ssen=badge]")).to_have_text("2")


def test_its_types_hold_for_a_project_in_typescript(project: Path) -> None:
    (project / "app.ts").write_text(TYPED)
    options = {"strict": True, "noEmit": True, "module": "nodenext", "lib": ["es2024", "dom"]}
    (project / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": {**options, "types": []}, "files": ["app.ts"]})
    )
    run(*command("npx"), "tsc", "--project", project)


def test_it_has_what_it_names_and_the_version_of_the_app(tarball: Path) -> None:
    with tarfile.open(tarball) as packed:
        names = {name.removeprefix("package/") for name in packed.getnames()}
    about: dict[str, Any] = json.loads((ROOT / "npm" / "package.json").read_text())
    assert about["version"] == sse_notify.__version__
    named: set[str] = set()
    for target in about["exports"].values():
        named.update([target] if isinstance(target, str) else target.values())
    assert {name.removeprefix("./") for name in named} <= names
    assert {"LICENSE", "README.md", "dist/sse-notify-arrivals.js"} <= names
    assert not [name for name in names if name.endswith((".mjs", ".tgz"))]


@pytest.mark.parametrize("kind", APPS)
def test_what_the_guide_has_for_pages_without_a_bundler_is_the_same(kind: str) -> None:
    (block,) = [
        block
        for block in blocks(DOCS / "how-to" / f"{kind}.md")
        if block.mark == f"module: {kind}/use-sse-notify.js"
    ]
    _comment, _, code = (ROOT / "npm" / f"{kind}.js").read_text().partition("\n\n")
    assert code == block.code
