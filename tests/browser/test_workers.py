"""A service worker of the site: as the documentation has it, it leaves the streams alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.test_bundles import bundle
from tests.conftest import MakeSite
from tests.docs.pages import DOCS, blocks
from tests.support.desk import GUARD, Desk, badge, titles

GUIDE = {
    block.mark.removeprefix("worker: "): block.code
    for block in blocks(DOCS / "how-to" / "service-workers.md")
    if block.mark.startswith("worker: ")
}

#: As Workbox's own guides have it: everything that is asked for.
EVERYTHING = """
import { registerRoute } from "workbox-routing";
import { CacheFirst } from "workbox-strategies";

registerRoute(() => true, new CacheFirst({ cacheName: "pages" }));
"""

#: What lets a worker take over the pages that are open, once it is there.
CLAIM = 'addEventListener("activate", (event) => event.waitUntil(clients.claim()));\n'

REGISTER = """async () => {
  await navigator.serviceWorker.register("/worker.js");
  if (!navigator.serviceWorker.controller)
    await new Promise((done) => navigator.serviceWorker.addEventListener("controllerchange", done, { once: true }));
}"""


def start(make_site: MakeSite, page: Page, folder: Path, code: str) -> Desk:
    """Serve a site with a worker of this code, and open a page that the worker has."""
    (folder / "worker.js").write_text(code + CLAIM)
    if "import " in code:
        bundle("esbuild", folder / "worker.js", folder / "out")
    else:
        (folder / "out").mkdir()
        (folder / "worker.js").rename(folder / "out" / "main.js")
    site = make_site(env={"WORKER": str(folder / "out" / "main.js")})
    desk = Desk(site, site.serve())
    desk.open(page)
    page.evaluate(REGISTER)
    page.reload()
    desk.wait(page, "open")
    return desk


@pytest.mark.parametrize("kind", ["plain", "workbox"])
def test_a_worker_that_leaves_the_app_to_the_network_costs_nothing(
    make_site: MakeSite, page: Page, browser: Browser, tmp_path: Path, kind: str
) -> None:
    desk = start(make_site, page, tmp_path, GUIDE[kind])
    desk.send("One")
    badge(page, "1")
    page.reload()  # from the cache, of before
    assert page.evaluate("document.querySelector('sse-notify').dataset.countUnread") == "0"
    desk.wait(page, "open")
    titles(page, ["One"])
    badge(page, "1")
    watcher = browser.new_context().new_page()
    watcher.goto(desk.url + "/stats/")
    desk.streams(watcher, 1)
    for _ in range(2):
        page.goto("about:blank")
        page.goto(desk.url + "/")
        desk.wait(page, "open")
    desk.streams(watcher, 1)
    page.close()
    desk.streams(watcher, 0)
    watcher.context.close()


def test_a_worker_that_takes_everything_into_its_cache_keeps_streams_open(
    make_site: MakeSite, page: Page, browser: Browser, tmp_path: Path
) -> None:
    """What the guide warns of, so that it does not warn of nothing."""
    desk = start(make_site, page, tmp_path, EVERYTHING)
    page.goto("about:blank")
    page.goto(desk.url + "/")
    desk.wait(page, "open")
    watcher = browser.new_context().new_page()
    watcher.goto(desk.url + "/stats/")
    page.close()
    # Those of two pages that are gone.
    watcher.wait_for_function(
        "async (user) => (await (await fetch(`/stats/?user=${user}`)).json()).of_user === 2",
        arg=desk.user,
        timeout=GUARD,
    )
    watcher.context.close()


@pytest.mark.parametrize("how", ["setting", "status 204"])
def test_a_page_without_a_stream_leaves_the_network_idle(
    make_site: MakeSite, page: Page, how: str
) -> None:
    """As ``docs/how-to/testing.md`` says."""
    site = make_site(env={"SSE_NOTIFY": '{"LIVE": false}'} if how == "setting" else {})
    desk = Desk(site, site.serve())
    desk.sign_in(page.context)
    desk.send("One")
    if how == "status 204":
        page.route("**/notifications/stream/**", lambda route: route.fulfill(status=204))
    page.goto(desk.url + "/", wait_until="networkidle")
    desk.streams(page, 0)
    page.locator("[data-ssen=bell]").click()
    titles(page, ["One"])
    page.get_by_role("button", name="Mark as read: One").click()
    badge(page, "")
    page.locator("[data-ssen=tab][data-state=unread]").click()
    titles(page, [])
    state = "idle" if how == "setting" else "stopped"
    assert page.evaluate("document.querySelector('sse-notify').client.state") == state
    page.wait_for_load_state("networkidle")
