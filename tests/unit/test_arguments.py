"""Each argument of the public functions is refused by its name, whatever was given for it, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.test import override_settings

import sse_notify
from sse_notify import Event, Progress, broadcast, notify, presence, publish, topic
from sse_notify.access.links import signed_stream_url
from sse_notify.compat import notifications_hq
from sse_notify.compat.eventstream import send_event
from sse_notify.conf import get_settings
from sse_notify.models import Mute, Notification
from sse_notify.revocation import disconnect, recheck

pytestmark = pytest.mark.django_db

HUGE = 10**5000
#: Texts that UTF-8 cannot encode, or that PostgreSQL cannot store.
TEXTS = ["\ud800", "half a 😀: \ud83d", "a\0b"]
#: Values that cannot be written out, or only at great length.
NUMBERS = [HUGE, -HUGE, [HUGE], {"x": HUGE}, float("nan"), float("inf"), "9" * 100_000]

Call = Callable[[User, Any], Any]


def render(name: str) -> Call:
    tag = Template(f"{{% load sse_notify %}}{{% sse_notify_widget {name}=given %}}")
    return lambda alice, given: tag.render(Context({"user": alice, "given": given}))


def setting(name: str) -> Call:
    def call(alice: User, given: Any) -> None:
        with override_settings(SSE_NOTIFY={name: given}):
            get_settings()

    return call


def report(name: str) -> Call:
    def call(alice: User, given: Any) -> None:
        progress = Progress(alice, "Import", 10)
        if name == "total":
            progress.total = given
        progress._row.pk = 0  # begun, and without a row
        progress._estimate.start(0)
        progress.advance(given) if name == "n" else progress.update(**{name: given})

    return call


MARKS = ("mark_read", "mark_unread", "mark_seen", "archive", "unarchive")

#: What takes a text, by the name that the message begins with.
OF_TEXT: list[tuple[str, Call]] = [
    *(
        (name, lambda alice, given, name=name: notify(alice, **{"title": "Hi", name: given}))
        for name in (
            *("title", "body", "level", "url", "category", "icon", "event", "key"),
            *("idempotency_key", "data", "actor", "target", "actions", "expires_at"),
        )
    ),
    ("actions", lambda alice, given: notify(alice, "Hi", actions=[{"label": given, "url": "/"}])),
    ("actions", lambda alice, given: notify(alice, "Hi", actions=[{"label": "x", "url": given}])),
    ("data", lambda alice, given: broadcast("Hi", data=[given])),
    ("to", lambda alice, given: notify(given, "Hi")),
    ("audience", lambda alice, given: broadcast("Hi", audience=given)),
    ("exclude", lambda alice, given: broadcast("Hi", exclude=given)),
    ("notifications", lambda alice, given: sse_notify.recall(given)),
    ("topic", lambda alice, given: publish(given, 1)),
    ("event", lambda alice, given: publish("wall", 1, event=given)),
    *(
        (name, lambda alice, given, name=name: Progress(alice, **{"title": "Hi", name: given}))
        for name in ("title", "total", "key", "body", "url", "category", "icon", "data", "actions")
    ),
    *((name, report(name)) for name in ("total", "n", "done", "stage", "message")),
    *(
        pair
        for mark in (getattr(sse_notify, name) for name in MARKS)
        for pair in (
            ("ids", lambda alice, given, mark=mark: mark(alice, ids=[given])),
            ("ids", lambda alice, given, mark=mark: mark(alice, ids=given)),
            ("client", lambda alice, given, mark=mark: mark(alice, ids=[1], client=given)),
            ("user", lambda alice, given, mark=mark: mark(given, ids=[1])),
        )
    ),
    ("up_to", lambda alice, given: sse_notify.mark_read(alice, up_to=given)),
    ("categories", lambda alice, given: sse_notify.mute(alice, given)),
    ("categories", lambda alice, given: sse_notify.unmute(alice, given)),
    ("pattern", lambda alice, given: topic(given)),
    ("topic", lambda alice, given: signed_stream_url(alice, [given])),
    ("max_age", lambda alice, given: signed_stream_url(alice, max_age=given)),
    ("topic", lambda alice, given: send_event(given, "x", 1)),
    ("event", lambda alice, given: send_event("wall", given, 1)),
    ("event", lambda alice, given: Event(event=given).encode()),
    ("id", lambda alice, given: Event(id=given).encode()),
    ("retry", lambda alice, given: Event(retry=given).encode()),
    ("reason", lambda alice, given: disconnect(alice, reason=given)),
    ("users", lambda alice, given: disconnect(given)),
    ("users", lambda alice, given: recheck([given])),
    ("timeout", lambda alice, given: presence.hubs(given)),
    ("timeout", lambda alice, given: presence.connected_users(given)),
    *(
        (name, render(name))
        for name in ("badge", "toasts", "external", "sound", "title_badge", "position")
    ),
    ("SSE_NOTIFY", setting("HEARTBEAT")),
    ("SSE_NOTIFY", setting("RETRY_MS")),
    ("SSE_NOTIFY", setting("REPLAY_LIMIT")),
    ("SSE_NOTIFY", setting("CATEGORIES")),
    ("SSE_NOTIFY", setting("GROUP")),
]
#: What takes a text, and cannot be given a number by mistake.
NAMES: list[tuple[str, Call]] = [
    ("data", lambda alice, given: notify(alice, "Hi", data={given: 1})),
    ("actions", lambda alice, given: notify(alice, "Hi", actions=[{"label": "x", "url": "/", given: 1}])),
    ("SSE_NOTIFY", lambda alice, given: setting("CATEGORIES")(alice, {given: {}})),
    *(
        ("SSE_NOTIFY", lambda alice, given, name=name: setting("CATEGORIES")(alice, {"x": {name: given}}))
        for name in ("label", "description")
    ),
]  # fmt: skip
#: What takes JSON, or text that is written out in full.
OF_JSON: list[tuple[str, Call]] = [
    ("actions", lambda alice, given: notify(alice, "Hi", actions=[{"label": "x", "url": "/", "more": given}])),
    ("data", lambda alice, given: Progress(alice, "Hi", data={"x": given})),
    ("data", lambda alice, given: Event(data=given).encode()),
    ("data", lambda alice, given: publish("wall", given)),
    ("data", lambda alice, given: send_event("wall", "x", [given])),
    ("data", lambda alice, given: notifications_hq.notify.send(alice, recipient=alice, verb="x", data=given)),
    ("data", lambda alice, given: notifications_hq.notify.send(alice, recipient=alice, verb="x", extra=given)),
]  # fmt: skip


#: Long texts that are no mistake, or that are not measured alone.
LONG = ("pattern", "id", "event")


@pytest.mark.parametrize(
    ("name", "call", "values"),
    [
        *((name, call, TEXTS + NUMBERS[: -1 if name in LONG else None]) for name, call in OF_TEXT),
        *((name, call, TEXTS) for name, call in NAMES),
        *((name, call, NUMBERS[:-1]) for name, call in OF_JSON),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_argument_is_named_in_a_short_text_that_can_be_shown(
    alice: User, name: str, call: Call, values: list[Any]
) -> None:
    for given in values:
        with pytest.raises((TypeError, ValueError, ImproperlyConfigured)) as caught:
            call(alice, given)
        text = str(caught.value)
        assert text.encode()
        assert text.startswith(name), text
        assert " must " in text
        assert len(text) < 600, text
        assert not Notification.objects.exists()
        assert not Mute.objects.exists()


def test_a_published_event_that_is_too_large_is_told_by_what_is_large_in_it() -> None:
    with pytest.raises(ValueError, match=r"^event must be smaller: "):
        publish("wall", 1, event="x" * 70_000)


def test_what_cannot_be_stored_of_an_instances_name_is_left_out(alice: User) -> None:
    """It may be cut within a character, as a slice of UTF-16 is, and SQLite stores NUL."""
    half = Group(pk=1, name="Al\ud83d\0!")
    row = notify(alice, "Hi", actor=half, target=half)
    row.refresh_from_db()
    assert (row.actor_name, row.payload()["target"]["name"]) == ("Al!", "Al!")
