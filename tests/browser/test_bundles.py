"""The script out of a bundle, and from another host."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import MakeSite
from tests.support import ROOT
from tests.support.desk import GUARD, Desk, badge, kinds, requests, titles
from tests.support.node import need_modules, node, run

STATIC = ROOT / "sse_notify" / "static"
SCRIPT = STATIC / "sse_notify" / "sse-notify.js"


def bundle(bundler: str, entry: Path, folder: Path) -> str:
    """Bundle a module into ``folder/main.js``; return what the bundler warned of."""
    need_modules()
    return run(node(), ROOT / "tests" / "js" / "bundle.mjs", bundler, entry, folder)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("bundler", ["webpack", "vite", "esbuild"])
def test_a_bundle_brings_its_own_chunks(
    desk: Desk, page: Page, tmp_path: Path, bundler: str, plain: bool
) -> None:
    """Also where the server's own file cannot be had."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "app.js").write_text(
        f'import {{ SseNotifyClient }} from "{SCRIPT}";\nwindow.bundled = SseNotifyClient.name;\n'
    )
    assert bundle(bundler, source / "app.js", tmp_path / "out") == ""
    assert len(list((tmp_path / "out").rglob("*.js"))) == 4, "the bundle and three chunks"
    kind = "defer" if bundler == "webpack" else 'type="module"'

    def rewrite(route: Route) -> None:
        text = route.fetch().text()
        tag = '<script type="module" src="/static/sse_notify/sse-notify.js"></script>'
        assert tag in text
        text = text.replace(tag, f'<script {kind} src="/bundle/main.js"></script>')
        route.fulfill(body=text, content_type="text/html")

    def serve(route: Route) -> None:
        path = route.request.url.partition("/bundle/")[2].partition("#")[0]
        route.fulfill(path=tmp_path / "out" / path, content_type="text/javascript")

    page.route(desk.url + "/?transport=*", rewrite)
    page.route("**/bundle/**", serve)
    if not plain:
        page.route("**/static/**/*.js", lambda route: route.fulfill(status=404))
    streams = kinds(page)
    desk.open(page, "/?transport=eventsource")
    assert streams == ["eventsource"]
    assert page.evaluate("typeof bundled") == "string"
    desk.send("One", body="With a body")
    expect(page.locator(".ssen-toast [data-ssen=title]")).to_have_text(["One"], timeout=GUARD)
    expect(page.locator("[data-ssen=list] [data-ssen=body]")).to_have_text("With a body")
    expect(page.locator("[data-ssen=status]")).to_be_hidden()


class Files(SimpleHTTPRequestHandler):
    """The package's static files on a host of their own, which may allow other origins to load them."""

    allowed = True

    def end_headers(self) -> None:
        if self.allowed:
            self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class ClosedFiles(Files):
    """The same without CORS."""

    allowed = False


@pytest.fixture(params=[Files, ClosedFiles])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of static files on another host."""
    handler = partial(request.param, directory=str(STATIC))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.chromium("the console's words are read")
def test_static_files_of_another_host_work_if_it_allows_them(
    make_site: MakeSite, page: Page, elsewhere: str, request: pytest.FixtureRequest
) -> None:
    site = make_site(env={"STATIC_URL": elsewhere})
    desk = Desk(site, site.serve())
    errors: list[str] = []
    page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    loads = requests(page, elsewhere)
    if "ClosedFiles" in request.node.name:
        desk.open(page, connection="")
        desk.send("One")
        assert any("blocked by CORS policy" in error for error in errors), errors
        page.locator("[data-ssen=bell]").click()
        page.wait_for_url("**/notifications/")
        return
    desk.open(page)
    expect(page.locator("script[crossorigin]")).to_have_count(1)
    desk.send("One", body="With a body")
    badge(page, "1")
    titles(page, ["One"])
    expect(page.locator("[data-ssen=list] [data-ssen=body]")).to_have_text("With a body")
    assert any("arrivals" in url for url in loads)
    assert not any("CORS" in error for error in errors), errors
