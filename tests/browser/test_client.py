"""``SseNotifyClient`` alone, in a real browser, with real servers: two tabs, restarts, a logout."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import BrowserContext, Page, Request

from tests.conftest import MakeSite
from tests.support.servers import Server
from tests.support.site import Site

#: Makes a client of the page's own, which keeps what it hears.
CLIENT = """async () => {
  const { SseNotifyClient } = await import("/static/sse_notify/sse-notify.js");
  const urls = Object.fromEntries(["stream", "state", "items", "read", "unread", "seen", "archive"].map(
    (name) => [name, `/notifications/${name}/`]));
  const state = await (await fetch(urls.state)).json();
  window.titles = [];
  window.client = new SseNotifyClient({ urls, key: state.key, cursor: state.cursor, stateSeq: state.state_seq, unread: state.unread,
    unseen: state.unseen, csrf: () => state.csrf });
  client.on("notification", ({ title }) => titles.push(title));
  client.start();
}"""

#: Notifies from a process that is no server.
NOTIFY = """
import sse_notify
from django.contrib.auth import get_user_model as u
sse_notify.notify(u().objects.get(username="alice"), "Two")
"""

GUARD = 30_000  # ms


def tab(context: BrowserContext, server: Server, streams: list[str]) -> Page:
    """Open a tab of a page without the bell, and start a client in it."""
    page = context.new_page()

    def note(request: Request) -> None:
        if "/stream/" in request.url:
            streams.append(request.url)

    page.on("request", note)
    page.goto(server.url + "/stats/")
    page.evaluate(CLIENT)
    return page


def until(page: Page, expression: str, value: Any = True) -> None:
    """Wait until ``expression`` is ``value`` in the page."""
    page.wait_for_function(
        "([expression, value]) => eval(expression) === value",
        arg=[expression, value],
        timeout=GUARD,
    )


def test_tabs_share_one_stream_and_lose_nothing_when_the_server_restarts(
    site: Site, context: BrowserContext
) -> None:
    server = site.serve()
    context.request.post(server.url + "/login/", form={"username": "alice"})
    streams: list[str] = []
    first = tab(context, server, streams)
    until(first, "client.state", "open")
    second = tab(context, server, streams)
    until(second, "client.state", "follower")
    site.send(server, "notify", to="alice", title="One")
    for page in (first, second):
        until(page, "titles.join()", "One")
        until(page, "client.counts.unread", 1)
    assert len(streams) == 1

    server.kill()
    until(second, "client.state === 'waiting' || client.state === 'connecting'")
    site.script(NOTIFY)
    server.start()
    for page in (first, second):
        until(page, "titles.join()", "One,Two")
        until(page, "client.counts.unread", 2)

    first.close()
    until(second, "client.state", "open")
    site.send(server, "notify", to="alice", title="Three")
    until(second, "titles.join()", "One,Two,Three")
    counts = second.evaluate("client.markAllRead()")
    assert (counts["unread"], counts["unseen"]) == (0, 0)


def test_a_client_that_was_not_told_whose_it_is_shows_nothing_of_who_signs_in_next(
    site: Site, context: BrowserContext
) -> None:
    server = site.serve()
    context.request.post(server.url + "/login/", form={"username": "alice"})
    page = context.new_page()
    page.goto(server.url + "/stats/")
    page.evaluate(CLIENT.replace("key: state.key, ", ""))
    until(page, "client.state", "open")
    site.send(server, "notify", to="alice", title="Hers")
    until(page, "titles.join()", "Hers")
    context.request.post(server.url + "/login/", form={"username": "bob"})
    site.send(server, "notify", to="bob", title="Not for this page")
    assert page.evaluate("client.list().catch(({ status }) => status)") == 401
    until(page, "client.state", "unauthorized")
    assert page.evaluate("titles.join()") == "Hers"


#: Sends the largest event that there may be, and prints how long its text is.
LARGEST = """
import re
from django.contrib.auth.models import User
from sse_notify import notify
alice, length = User.objects.get(username="alice"), 1_048_576
try:
    notify(alice, "Too large", data="é" * length)
except ValueError as error:
    over = int(re.search(r"has (\\d+) bytes", str(error))[1]) - 1_048_576
length -= (over + 1) // 2
notify(alice, "Largest", data="é" * length)
print(length)
"""


def test_the_largest_event_that_the_settings_allow_arrives(
    make_site: MakeSite, context: BrowserContext
) -> None:
    site = make_site(env={"SSE_NOTIFY": '{"EVENT_MAX_BYTES": 1048576}'})
    server = site.serve()
    context.request.post(server.url + "/login/", form={"username": "alice"})
    page = tab(context, server, [])
    until(page, "client.state", "open")
    page.evaluate(
        "() => client.on('notification', ({ data }) => { window.length_ = data.length; })"
    )
    length = int(site.script(LARGEST))
    assert length > 520_000
    until(page, "titles.join()", "Largest")
    assert page.evaluate("length_") == length
