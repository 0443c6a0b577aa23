"""A page of another origin opens a stream, with a signed link or with the user's cookies, where django-cors-headers lets it, and nowhere else."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.conftest import MakeSite
from tests.support.desk import GUARD, Desk
from tests.support.processes import free_port

LINK = """
from django.contrib.auth.models import User
from sse_notify import signed_stream_url
print(signed_stream_url(User.objects.get(username="alice")))
"""

OPEN = """(url) => {
  window.heard = [];
  const stream = new EventSource(url);
  for (const name of ["hello", "notification"]) stream.addEventListener(name, ({ data }) => heard.push([name, JSON.parse(data).title]));
  stream.onerror = () => heard.push(["error", stream.readyState]);
}"""


@pytest.mark.parametrize("allowed", [True, False])
def test_a_page_of_another_origin_hears_if_it_is_allowed(
    make_site: MakeSite, page: Page, allowed: bool
) -> None:
    origin = r"^http://localhost:\d+$" if allowed else r"^https://shop\.example$"
    site = make_site(
        env={
            "EXTRA_APPS": "corsheaders",
            "EXTRA_MIDDLEWARE": "corsheaders.middleware.CorsMiddleware",
            "CORS_ALLOWED_ORIGIN_REGEX": origin,
        }
    )
    server = site.serve()
    page.goto(
        server.url.replace("127.0.0.1", "localhost") + "/stats/"
    )  # the same server by another name is another origin
    page.evaluate(OPEN, server.url + site.script(LINK).strip())
    page.wait_for_function("heard.length === 1", timeout=GUARD)
    if not allowed:
        assert page.evaluate("heard") == [["error", 2]], (
            "closed: the browser kept the answer from the page"
        )
        return
    site.send(server, "notify", to="alice", title="Over there")
    page.wait_for_function("heard.length === 2", timeout=GUARD)
    assert page.evaluate("heard") == [["hello", None], ["notification", "Over there"]]


# The client as docs/how-to/security.md has it, and the browser's own EventSource beside it.
WITH_COOKIES = """async (site) => {
  const { SseNotifyClient } = await import("/static/sse_notify/sse-notify.js");
  window.heard = [];
  const path = (name) => `${site}/notifications/${name}/`;
  const names = ["stream", "state", "items", "read", "unread", "seen", "archive", "unarchive"];
  window.client = new SseNotifyClient({
    urls: Object.fromEntries(names.map((name) => [name, path(name)])),
    fetch: (url, options) => fetch(url, { ...options, mode: "cors", credentials: "include" }),
  });
  client.on("state", ({ state }) => heard.push(`client ${state}`));
  client.on("notification", ({ title }) => heard.push(`client ${title}`));
  client.start();
  const source = new EventSource(path("stream"), { withCredentials: true });
  source.addEventListener("notification", ({ data }) => heard.push(`source ${JSON.parse(data).title}`));
  source.addEventListener("hello", () => heard.push("source open"));
  source.onerror = () => heard.push(`source ${source.readyState === 2 ? "closed" : "error"}`);
}"""


@pytest.mark.parametrize("credentials", [True, False])
def test_a_page_of_another_origin_takes_the_users_cookies_along_if_it_is_allowed(
    make_site: MakeSite, page: Page, credentials: bool
) -> None:
    port = free_port()  # of the page; the cookies are for both, as they are for the host
    site = make_site(
        env={
            "EXTRA_APPS": "corsheaders",
            "EXTRA_MIDDLEWARE": "corsheaders.middleware.CorsMiddleware",
            "CORS_ALLOWED_ORIGIN_REGEX": rf"^http://127\.0\.0\.1:{port}$",
            "CSRF_TRUSTED_ORIGIN": f"http://127.0.0.1:{port}",
            **({"CORS_ALLOW_CREDENTIALS": "1"} if credentials else {}),
        }
    )
    elsewhere, server = site.serve(port=port), site.serve()
    desk = Desk(site, server)
    desk.sign_in(page.context)
    page.goto(elsewhere.url + "/stats/")
    page.evaluate(WITH_COOKIES, server.url)
    if not credentials:
        page.wait_for_function(
            "heard.includes('source closed') && heard.includes('client waiting')", timeout=GUARD
        )
        assert not page.evaluate("heard.some((said) => said.endsWith('open'))"), (
            "the browser kept the answers from the page"
        )
        return
    page.wait_for_function(
        "heard.includes('source open') && heard.includes('client open')", timeout=GUARD
    )
    sent = desk.send("Over there")
    page.wait_for_function(
        "heard.includes('source Over there') && heard.includes('client Over there')", timeout=GUARD
    )
    assert page.evaluate("(id) => client.markRead([id])", sent)["unread"] == 0, (
        "a CSRF-checked POST"
    )
