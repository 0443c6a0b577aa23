"""What the script reads besides notifications, in Chromium, from real views: streams of one's own, and a part of itself."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.docs.pages import DOCS, blocks
from tests.support.desk import GUARD, Desk, requests, titles

#: Ask a view and note its events; ``ask.error`` is what it ended with.
SET_UP = """async () => {
  const { fetchEventStream } = await import(document.querySelector("script[src*=sse-notify]").src);
  window.ask = async (url, options = {}) => {
    const events = [];
    const controller = new AbortController();
    window.stop = () => controller.abort();
    window.heard = 0;
    const onEvent = ({ event, data, id }) => {
      events.push([event, data, id]);
      window.heard = events.length;
      return data !== "[DONE]";
    };
    try {
      const id = await fetchEventStream(url, { onEvent, signal: controller.signal, ...options });
      return { events, id };
    } catch ({ name, status, code, retryAfter }) {
      return { events, error: { name, status, code, retryAfter } };
    }
  };
}"""


def ask(page: Page, url: str, options: str = "{}") -> dict[str, Any]:
    """Ask a view; ``options`` are JavaScript."""
    answer: dict[str, Any] = page.evaluate(f"ask({url!r}, {options})")
    return answer


def test_a_view_is_asked_in_every_way_and_its_events_are_read_as_they_come(
    desk: Desk, page: Page
) -> None:
    """The view is protected against forgery: without the token there would be no answer."""
    desk.open(page)
    page.evaluate(SET_UP)
    words = [
        ["message", "Grüße", "1"],
        ["message", "\N{GRINNING FACE}", "2"],
        ["message", "[DONE]", None],
    ]
    text = "Grüße \N{GRINNING FACE}"
    form = (
        f"(() => {{ const form = new FormData(); form.append('text', {text!r}); return form; }})()"
    )
    for body, kind in (
        (f"{{ text: {text!r} }}", "application/json"),
        (form, "multipart/form-data"),
        (repr(text), "text/plain"),
    ):
        answer = ask(
            page, "/ask/", f"{{ body: {body}, headers: {{ Authorization: 'Bearer key' }} }}"
        )
        assert "error" not in answer, (kind, answer)
        asked, *rest = answer["events"]
        assert rest == words, kind
        how = json.loads(asked[1])
        assert (how["method"], how["Content-Type"].split(";")[0], how["Authorization"]) == (
            "POST",
            kind,
            "Bearer key",
        )
    again = ask(page, "/ask/", f"{{ body: {text!r}, lastEventId: '1' }}")
    assert (again["events"][1:], again["id"]) == (words[1:], "2")

    refused = ask(page, "/ask/", "{ body: 'text', csrf: 'x'.repeat(32) }")["error"]
    assert (refused["name"], refused["status"]) == ("SseNotifyError", 403)
    other = ask(page, "/", "{ resume: true }")["error"]
    assert (other["name"], other["status"]) == ("SseNotifyError", 200)

    with socket.create_server(("127.0.0.1", 0)) as ear:
        ear.settimeout(GUARD)
        page.evaluate(f"void (window.asked = ask('/ticks/{ear.getsockname()[1]}/'))")
        page.wait_for_function("window.heard > 2", timeout=GUARD)
        page.evaluate("stop()")
        assert page.evaluate("asked.then(({ error }) => error.name)") == "AbortError"
        source, _ = ear.accept()
        with source, source.makefile() as told:
            source.settimeout(GUARD)
            assert [told.readline(), bool(told.readline())] == ["begun\n", True], (
                "its source has ended"
            )


def test_the_last_event_of_a_stream_is_known_after_a_reload_of_its_tab_alone(
    desk: Desk, page: Page
) -> None:
    def last(page: Page) -> Any:
        """Return what a request without a body says that it has."""
        page.evaluate(SET_UP)
        return json.loads(ask(page, "/ask/", "{ resumeFrom: 'k' }")["events"][0][1])[
            "Last-Event-ID"
        ]

    desk.open(page)
    page.evaluate(SET_UP)
    leave = "({ id }) => { if (id === '3') throw new Error('left'); }"
    ask(page, "/ask/", f"{{ body: 'one two three', resumeFrom: 'k', onEvent: {leave} }}")
    page.reload()
    other = page.context.new_page()
    other.goto(desk.url)
    assert last(other) == "", "another tab shows something else"
    assert last(page) == "2"
    assert last(page) == "", "it was complete"


@pytest.mark.chromium("a request is answered while its page is left")
def test_what_makes_items_is_loaded_soon_and_once_more_if_it_did_not_come(
    desk: Desk, page: Page
) -> None:
    loads = requests(page, "sse-notify-arrivals")
    page.route("**/sse-notify-arrivals*.js", lambda route: route.abort(), times=2)
    with page.expect_event("requestfailed", lambda request: "arrivals" in request.url):
        desk.open(page)
    desk.send("One")
    titles(page, ["One"])
    desk.send("Two")
    titles(page, ["Two", "One"])
    expect(page.locator(".ssen-toast [data-ssen=title]").last).to_have_text("Two")
    desk.send("Three")
    titles(page, ["Three", "Two", "One"])
    assert len(loads) == 3, "under both names, and again"


def test_what_reads_streams_of_ones_own_is_loaded_when_it_is_used_and_again_if_it_did_not_come(
    desk: Desk, page: Page
) -> None:
    loads = requests(page, "sse-notify-fetch")
    page.route("**/sse-notify-fetch*.js", lambda route: route.abort(), times=2)
    desk.open(page)
    page.evaluate(SET_UP)
    assert loads == []
    assert ask(page, "/ask/", "{ body: 'text' }")["error"]["name"] == "TypeError"
    for _ in range(2):
        assert [data for _, data, _ in ask(page, "/ask/", "{ body: 'text' }")["events"]][1:] == [
            "text",
            "[DONE]",
        ]
    assert len(loads) == 3, "under both names, and again"


def test_streams_of_ones_own_are_read_under_the_strictest_policy(desk: Desk, page: Page) -> None:
    policy = next(blocks(DOCS / "how-to" / "csp.md")).code.strip()

    def with_policy(route: Route) -> None:
        response = route.fetch()
        route.fulfill(
            response=response, headers={**response.headers, "Content-Security-Policy": policy}
        )

    page.route(f"{desk.url}/", with_policy)
    desk.open(page)
    page.evaluate(SET_UP)
    assert ask(page, "/ask/", "{ body: 'text' }")["events"][1:][0][1] == "text"


def test_what_reads_streams_of_ones_own_comes_from_where_the_page_says(
    desk: Desk, page: Page
) -> None:
    """On a page without a bell, an element that is none says it, as where only hashed names are served."""
    desk.sign_in(page.context)
    page.goto(desk.url + "/stats/")  # JSON, a page of nothing
    loads = requests(page, "sse-notify-fetch")
    answer = page.evaluate(
        """async () => {
          document.body.innerHTML = '<sse-notify data-fetch-script="/static/sse_notify/sse-notify-fetch.js?here"></sse-notify>';
          const { fetchEventStream } = await import("/static/sse_notify/sse-notify.js");
          const data = [];
          await fetchEventStream("/ask/", { onEvent: (event) => data.push(event.data) });
          return data;
        }"""
    )
    assert answer[-1] == "[DONE]"
    assert [url.partition("#")[0].rpartition("/")[2] for url in loads] == [
        "sse-notify-fetch.js?here"
    ]


def test_what_makes_items_is_taken_from_the_scripts_own_origin_alone(
    desk: Desk, page: Page
) -> None:
    file = "/static/sse_notify/sse-notify-arrivals.js"
    elsewhere = desk.url.replace("127.0.0.1", "localhost")  # the same server, another origin
    loads = requests(page, "sse-notify-arrivals")
    data = "data:text/javascript,globalThis.hacked=1"
    page.route("**" + file, lambda route: route.fulfill(status=404))
    desk.open(page)
    for number, address in enumerate([elsewhere + file, elsewhere[5:] + file, data, "blob:x"], 1):
        page.evaluate("(to) => document.querySelector('sse-notify').dataset.arrivals = to", address)
        desk.send("One")
        titles(page, ["One"] * number)
    assert {url.partition("#")[0] for url in loads} == {desk.url + file}
    assert page.evaluate("globalThis.hacked") is None
