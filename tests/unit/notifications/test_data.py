"""What a project puts into ``data``: whatever it is, it comes back as it was sent, within the limit, and breaks no page."""

from __future__ import annotations

import json
from random import Random
from time import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.template import Context, Template
from django.test import Client, override_settings
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_notify import broadcast, notify
from sse_notify.log.announcing import announce
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import get_head
from sse_notify.models import Notification
from sse_notify.models.content import Content
from sse_notify.notifications import validation
from sse_notify.progress import store
from sse_notify.sse.format import parse
from tests.support.odd import odd

pytestmark = pytest.mark.django_db


def as_floats(value: Any) -> Any:
    """Return a JSON value as scripts read it: each number is a float."""
    return json.loads(json.dumps(value), parse_int=float)


# --- the size ----------------------------------------------------------------------------------------------------------------


def data_of(value: Any, number: int) -> Content:
    return {"data": [value] * number}


def actions_of(value: Any, number: int) -> Content:
    return {"actions": [{"label": "x", "url": "/", "more": [value] * number}]}


@pytest.mark.parametrize("shape", [data_of, actions_of])
@pytest.mark.parametrize(
    ("value", "size"),
    [
        # PostgreSQL returns what is written with an exponent as a whole number.
        *((1e308, 309), (-1.7976931348623157e308, 310), (1.5e100, 101), (1e16, 17)),
        *((1.2345678901234568e17, 22), (-1.2345678901234568e21, 23), (1.2345678901234568e22, 23)),
        *((5e-324, 6), (1e15, 18), (-0.0, 4), (10**300, 301), ("1e308", 7), ("\u2028\x01", 14)),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_the_largest_event_that_is_taken_is_within_the_limit_when_it_comes_back(
    alice: User, value: Any, size: int, shape: Any
) -> None:
    limit = 3_000
    named: Any = {"key": "again", "category": "c"}
    with override_settings(SSE_NOTIFY={"EVENT_MAX_BYTES": limit}):
        taken, refused = 0, limit
        while refused - taken > 1:
            number = (taken + refused) // 2
            try:
                validation.check("Hi", "", named | shape(value, number))
                taken = number
            except ValueError as error:
                assert str(error).startswith(("data must be smaller", "actions must be smaller"))  # noqa: PT017
                refused = number
        assert limit - 600 - size < taken * (size + 1) < limit
        for _ in range(12):  # its number of repeats grows, too
            notify(alice, "Hi", **named, **shape(value, taken))
        announce()
        for muted in (frozenset[str](), frozenset({"c"})):
            reader = Reader(topics=(f"user:{alice.pk}",), user_id=alice.pk, muted=muted)
            ((entry,), _) = read_entries(0, get_head(), reader=reader, limit=10)
            assert len(entry.frame) <= limit
            payload, sent = parse(entry.frame)[0].data, shape(value, taken)
            # As scripts read it, for whom each number is a float.
            assert as_floats({field: payload[field] for field in sent}) == as_floats(sent)
        with pytest.raises(ValueError, match="must be smaller"):
            broadcast("Hi", **named, **shape(value, refused))


# --- what a database cannot take ---------------------------------------------------------------------------------------------


def deep(levels: int) -> Any:
    value: Any = []
    for level in range(levels - 1):
        value = [value] if level % 2 else {"x": value}
    return value


@pytest.mark.parametrize("least", [0, 2], ids=["data", "actions"])
def test_the_deepest_data_that_is_taken_can_be_stored(alice: User, least: int) -> None:
    """MariaDB stores no more than 31 levels."""
    deepest = 30 if connection.vendor == "mysql" else 100

    def content(levels: int) -> Content:
        if not least:
            return {"data": deep(levels)}
        return {"actions": [{"label": "x", "url": "/", "more": deep(levels - least)}]}

    row = notify(alice, "Hi", **content(deepest))
    stored = Notification.objects.get()
    assert (stored.data, stored.actions) == (row.data, row.actions)
    with pytest.raises(ValueError, match=f"must be nested at most {deepest} levels"):
        notify(alice, "Hi", **content(deepest + 1))


@pytest.mark.parametrize(
    ("users", "content"),
    [
        (1000, {"body": "'\n" * 8_500}),
        (100, {"data": ["\u00e9" * 30_000]}),
        (150, {"data": [""] * 20_000}),
        (100, {"actions": [{"label": "🙂" * 15_000, "url": "/"}]}),
    ],
    ids=["body", "data", "quotes", "emoji"],
)
@pytest.mark.mariadb
def test_many_users_get_large_notifications(users: int, content: Content) -> None:
    """MariaDB refuses statements of more than 16 MiB."""
    User.objects.bulk_create(User(username=f"u{number}") for number in range(users))
    assert len(notify(User.objects.all(), "Hi", **content)) == users


# --- anything at all ---------------------------------------------------------------------------------------------------------

BELL = Template("{% load sse_notify %}{% sse_notify_widget %}")


def send(user: User, values: list[Any]) -> dict[int, Any]:
    """Send the values; return those that were not refused, by the notification's id."""
    sent: dict[int, Any] = {}
    for value in values:
        try:
            row = notify(user, "Odd", data=value)
        except (TypeError, ValueError) as error:
            assert str(error).startswith("data must "), error  # noqa: PT017
        else:
            # Tuples became lists, and keys strings; each is equal to its text.
            sent[row.pk] = row.data
    announce()
    return sent


def check_everywhere(user: User, staff: User, sent: dict[int, Any], since: int) -> None:
    """Look at each place that shows what was sent.

    Raises:
        AssertionError: a place fails, or shows another value.
    """
    client, admin = Client(), Client()
    client.force_login(user)
    admin.force_login(staff)
    assert client.get(reverse("sse_notify:list"), {"limit": 100}).status_code == 200
    assert BELL.render(Context({"user": user})).count("data-ssen-item") >= min(len(sent), 20)
    items = client.get(reverse("sse_notify:items"), {"limit": 100}).json()["items"]
    answer: Any = client.get(reverse("sse_notify:stream"), {"cursor": since})
    stream = b"".join(answer.streaming_content)
    events = [event for event in parse(stream) if event.event == "notification"]
    for payloads in (items, [event.data for event in events]):
        told = {payload["id"]: payload["data"] for payload in payloads if payload["id"] in sent}
        assert as_floats(told) == as_floats(sent)
    log = "admin:sse_notify_notification_"
    assert admin.get(reverse(f"{log}changelist")).status_code == 200
    for pk in list(sent)[:2]:
        assert admin.get(reverse(f"{log}change", args=[pk])).status_code == 200


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=settings().max_examples // 33,  # each is some dozens of values, and all pages
)
@given(seed=st.integers(0, 2**32))
def test_whatever_is_sent_comes_back_and_breaks_no_page(
    alice: User, admin_user: User, seed: int
) -> None:
    dice = Random(seed)
    Notification.objects.all().delete()
    since = get_head()
    sent = send(alice, [odd(dice) for _ in range(40)])
    rows = list(Notification.objects.filter(pk__in=sent))
    assert not any(row.payload()["progress"] for row in rows)
    check_everywhere(alice, admin_user, sent, since)
    # The same, written where the package keeps the state of long work.
    for row in rows:
        run = {"id": "1", "heard_at": time(), "stalls_after": 9, "cancellable": True}
        run |= row.data if isinstance(row.data, dict) and dice.random() < 0.5 else {}
        row.progress_state = dice.choice(
            [row.data, {"state": "running", "run": run, "eta": row.data}]
        )
        row.save(update_fields=["progress_state"])
    check_everywhere(alice, admin_user, sent, since)
    store.cancel(alice, list(sent))
    check_everywhere(alice, admin_user, sent, since)
