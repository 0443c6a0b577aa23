"""What networks, servers and users do, in WebKit: nothing is lost and nothing comes twice there either, by ``fetch`` and by its EventSource."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.test_transport import HEAR
from tests.support.desk import Desk
from tests.support.proxy import Proxy
from tests.support.site import Site
from tests.support.webkit import Window

#: Notifies from a process that is no server.
NOTIFY = """
from django.contrib.auth.models import User
from sse_notify import notify
notify(User.objects.get(username={user!r}), "While away")
"""


@pytest.fixture(params=["fetch", "eventsource"], autouse=True)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What opens the streams of the pages."""
    monkeypatch.setattr(Desk, "path", f"/?transport={request.param}")
    return str(request.param)


def open_bell(window: Window, desk: Desk) -> None:
    """Load the page with the bell, and wait for its stream."""
    window.open_as(desk)
    connection(window, "open")


def connection(window: Window, state: str) -> None:
    """Wait for a state of the connection."""
    window.wait(f"document.querySelector('sse-notify[data-connection={state}]')")


def shows(window: Window, badge: int, titles: list[str]) -> None:
    """Wait until the badge and the panel show this."""
    item = "sse-notify [data-ssen=list] [data-ssen=title]"
    listed = f"[...document.querySelectorAll('{item}')].map((e) => e.textContent).join('|')"
    window.wait(f"({listed}) === {json.dumps('|'.join(titles))}")
    count = "document.querySelector('[data-ssen=badge]:not([hidden])')?.textContent"
    window.wait(f"({count}) === {json.dumps(str(badge)) if badge else 'undefined'}")


def test_what_is_sent_while_the_server_is_away_arrives_once(site: Site, window: Window) -> None:
    desk = Desk(site, site.serve())
    open_bell(window, desk)
    desk.send("While open")
    shows(window, 1, ["While open"])
    desk.server.kill()
    connection(window, "waiting")
    site.script(NOTIFY.format(user=desk.user))
    desk.server.start()
    connection(window, "open")
    shows(window, 2, ["While away", "While open"])
    desk.send("After")
    shows(window, 3, ["After", "While away", "While open"])


@pytest.mark.parametrize("at", [b"event: notif", b"brok", b'"silent":false}\n'])
def test_an_event_that_breaks_off_is_shown_once(desk: Desk, window: Window, at: bytes) -> None:
    with Proxy(desk.server.port) as proxy:
        desk.url = f"http://127.0.0.1:{proxy.port}"
        open_bell(window, desk)
        desk.send("Whole")
        shows(window, 1, ["Whole"])
        proxy.break_after(at)
        desk.send("Half", body="This is broken here.")
        shows(window, 2, ["Half", "Whole"])
        connection(window, "open")


def test_what_is_read_in_the_bell_is_read_on_the_server(desk: Desk, window: Window) -> None:
    open_bell(window, desk)
    for title in ("One", "Two"):
        desk.send(title)
    shows(window, 2, ["Two", "One"])
    window.run("document.querySelector('[data-ssen=bell]').click()")
    window.wait("document.querySelector('.ssen-panel:popover-open')")
    window.run("document.querySelector('[data-ssen-mark=read]').click()")
    shows(window, 1, ["Two", "One"])
    window.run("document.querySelector('[data-ssen-mark=archive]').click()")
    shows(window, 1, ["One"])
    window.run("document.querySelector('[data-ssen=undo]').click()")
    shows(window, 1, ["Two", "One"])
    window.open(desk.url + desk.path)
    shows(window, 1, ["Two", "One"])


def test_a_logout_ends_it_and_leaves_nothing_on_the_screen(desk: Desk, window: Window) -> None:
    open_bell(window, desk)
    desk.send("Secret")
    shows(window, 1, ["Secret"])
    window.call("async () => (await fetch('/logout/', { method: 'POST' })).ok")
    connection(window, "unauthorized")
    shows(window, 0, [])


def test_events_of_any_name_and_topic_arrive_whole(desk: Desk, window: Window) -> None:
    open_bell(window, desk)
    window.call(HEAR)
    said: list[Any] = [
        ["wall", None, "one\ntwo\n\n\u2028three \ufeff", False],
        ["moved", "wall", "{}", False],
        ["error", "wall", "no error of the connection", False],
        ["open", "wall", "x", False],
    ]
    for event, topic, data, _ in said:
        name = event if topic else None
        desk.site.send(desk.server, "publish", topic="wall", data=data, event=name)
    desk.send("Last")
    shows(window, 1, ["Last"])
    assert window.run("return heard") == said
