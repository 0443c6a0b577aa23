"""Pages of an inbox: the newest on top everywhere, each item once, whatever moves meanwhile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.template import engines
from django.test import Client

from sse_notify import broadcast, notify
from sse_notify.inbox import marks, preferences
from sse_notify.log.announcing import announce
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_head
from sse_notify.models import LogHead, Notification
from sse_notify.models.paging import Place

pytestmark = pytest.mark.django_db


def number() -> int:
    """Number what is pending, as happens after a commit; return the head."""
    announce()
    return get_head()


def items(client: Client, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/notifications/items/", query).json()
    return found


def json_titles(client: Client, user: User) -> list[str]:
    return [item["title"] for item in items(client)["items"]]


def shown(html: str) -> list[str]:
    ids = [int(id) for id in re.findall(r'data-ssen-item="(\d+)"', html)]
    rows = Notification.objects.in_bulk(ids)
    return [rows[id].title for id in ids]


def page_titles(client: Client, user: User) -> list[str]:
    return shown(client.get("/notifications/").content.decode())


def panel_titles(client: Client, user: User) -> list[str]:
    bell = engines["django"].from_string("{% load sse_notify %}{% sse_notify_widget %}")
    return shown(bell.render({"user": user}))


def queryset_titles(client: Client, user: User) -> list[str]:
    return [row.title for row in Notification.objects.visible_to(user).newest(20)]


def stream_titles(client: Client, user: User) -> list[str]:
    """What a page that hears all from the beginning has on top, as each event goes there."""
    entries, _ = read_entries(0, get_head(), limit=100)
    said = [json.loads(entry.frame.split(b"data: ", 1)[1].split(b"\n")[0]) for entry in entries]
    return [data["title"] for data in reversed(said)]


Titles = Callable[[Client, User], list[str]]
everywhere = pytest.mark.parametrize(
    "titles", [json_titles, page_titles, panel_titles, queryset_titles, stream_titles]
)


def in_turn(*work: Callable[[], Any]) -> None:
    for step in work:
        step()
        number()


def in_one_transaction(*work: Callable[[], Any]) -> None:
    with transaction.atomic():
        for step in work:
            step()
    number()


def without_numbers(*work: Callable[[], Any]) -> None:
    """As in a project's ``TestCase``, where nothing commits."""
    for step in work:
        step()


@everywhere
@pytest.mark.parametrize("how", [in_turn, in_one_transaction, without_numbers])
def test_a_repeat_under_its_key_is_the_newest(
    client: Client, alice: User, titles: Titles, how: Callable[..., None]
) -> None:
    if (titles, how) == (stream_titles, without_numbers):
        return
    client.force_login(alice)
    how(
        lambda: notify(alice, "keyed", key="a"),
        lambda: broadcast("to all"),
        lambda: notify(alice, "other"),
        lambda: notify(alice, "keyed again", key="a"),
        lambda: notify(alice, "kept", key="b"),
        lambda: broadcast("last to all"),
        lambda: notify(alice, "kept again", key="b"),
    )
    assert titles(client, alice) == [
        "kept again",
        "last to all",
        "keyed again",
        "other",
        "to all",
    ]


@everywhere
def test_what_was_inserted_first_and_committed_last_is_the_newest(
    client: Client, alice: User, titles: Titles
) -> None:
    """A long transaction: live, it comes when it is committed."""
    client.force_login(alice)
    early, late = notify(alice, "inserted first"), notify(alice, "committed first")
    number()
    Notification.objects.filter(pk=early.pk).update(seq=3)
    LogHead.objects.update(seq=3)
    assert late.pk > early.pk
    assert titles(client, alice) == ["inserted first", "committed first"]


@pytest.mark.parametrize("seed", range(5))
def test_pages_neither_repeat_nor_skip_what_stays_while_others_arrive_move_and_are_numbered(
    client: Client, alice: User, seed: int
) -> None:
    random = Random(seed)
    team = Group.objects.create(name="team")
    alice.groups.add(team)
    client.force_login(alice)
    send: list[Callable[..., Any]] = [
        lambda title, **more: notify(alice, title, **more),
        lambda title, **more: broadcast(title, **more),
        lambda title, **more: broadcast(title, audience=team, **more),
    ]
    sent = {}
    for index in range(40):
        sent[index] = random.choice(send)
        sent[index](f"n{index}", key=f"k{index}")
        if random.random() < 0.15 and index < 30:
            number()
    moved: set[int] = set()
    arrived = 0
    found: list[str] = []
    query: dict[str, Any] | None = {}
    while query is not None:
        page = items(client, limit=random.choice([1, 3, 7]), **query)
        found += [item["title"] for item in page["items"]]
        query = {"before": page["next"]} if page["next"] is not None else None
        for _ in range(random.randint(0, 2)):
            index = random.randrange(40)
            moved.add(index)
            sent[index](f"n{index}", key=f"k{index}")
            arrived += 1
            notify(alice, f"arrived {arrived}")
        if random.random() < 0.5:
            number()
    assert len(found) == len(set(found)), "none comes twice"
    stayed = [f"n{index}" for index in reversed(range(40)) if index not in moved]
    assert [title for title in found if title in stayed] == stayed, (
        "each of the others comes, in order"
    )
    assert not [title for title in found if title.startswith("arrived")]


def test_the_item_at_the_end_of_a_page_may_move_go_and_be_numbered(
    client: Client, alice: User
) -> None:
    client.force_login(alice)
    for index in range(6):
        notify(alice, f"n{index}", key=f"k{index}")
    first = items(client, limit=2)
    notify(alice, "n4", key="k4")
    second = items(client, limit=2, before=first["next"])
    number()
    marks.archive(alice, ids=[second["items"][-1]["id"]])
    third = items(client, limit=2, before=second["next"])
    titles = [item["title"] for page in (first, second, third) for item in page["items"]]
    assert (titles, third["next"]) == (["n5", "n4", "n3", "n2", "n1", "n0"], None)


def test_what_leads_to_the_next_page_is_a_number_unless_its_last_item_has_none(
    client: Client, alice: User
) -> None:
    client.force_login(alice)
    for index in range(3):
        notify(alice, f"n{index}")
    number()
    page = items(client, limit=2)
    assert page["next"] == page["items"][-1]["seq"] == 2
    for index in range(2):
        notify(alice, f"waits {index}")
    assert re.fullmatch(r"4\.\d+\.\d+", items(client, limit=1)["next"])
    assert items(client, limit=3)["next"] == 3


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "-1",
        "1.",
        "1.2",
        "1.2.",
        "1.2.3.4",
        " 1.2.x",
        "٣",
        str(2**63),
        f"1.{2**60}.1",
        f"1.1.{2**63}",
    ],
)
@pytest.mark.parametrize("name", ["items/", ""])
def test_what_no_page_gave_is_refused(client: Client, alice: User, text: str, name: str) -> None:
    client.force_login(alice)
    response = client.get(f"/notifications/{name}", {"before": text})
    assert response.status_code == 400
    with pytest.raises(ValueError, match="place"):
        Place.parse(text)


@pytest.mark.parametrize(
    "place", [Place(0), Place(7), Place(8, 1_700_000_000_123_456, 99), Place.top(5), Place.top()]
)
def test_a_place_comes_back_from_its_token(place: Place) -> None:
    assert Place.parse(str(place.token)) == place


@pytest.mark.parametrize("use_tz", [True, False])
def test_a_place_is_by_the_microsecond_in_every_zone(
    alice: User, settings: Any, use_tz: bool
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "America/New_York"
    alice.refresh_from_db()
    rows = [notify(alice, f"n{index}") for index in range(4)]
    moment = datetime(2026, 1, 5, 12, 0, 0, 123_456, tzinfo=UTC if use_tz else None)
    for row, late in zip(rows, (0, 1, 1, 2), strict=True):
        sent = moment + timedelta(microseconds=late)
        Notification.objects.filter(pk=row.pk).update(created_at=sent)
    visible = Notification.objects.visible_to(alice)
    found: list[str] = []
    place: Place | None = None
    while True:
        page, place = marks.page(visible, 1, place)
        found += [row.title for row in page]
        if place is None:
            break
        place = Place.parse(str(place.token))
    assert found == ["n3", "n2", "n1", "n0"]


def test_the_newest_of_any_chain_are_the_same(alice: User) -> None:
    for index in range(5):
        notify(alice, f"n{index}", key=f"k{index}", category="a" if index else "")
    number()
    broadcast("waits", category="a")
    notify(alice, "n2", key="k2", category="a")
    visible = Notification.objects.visible_to(alice)
    wanted = ["n2", "waits", "n4", "n3", "n1"]
    for chain in (
        visible.filter(category="a"),
        visible.exclude(category=""),
        visible.filter(category="a").order_by("title"),
        visible.select_related("group").filter(category="a"),
        Notification.objects.filter(category="a").visible_to(alice),
        Notification.objects.exclude(category="").with_states(alice),
    ):
        assert [row.title for row in chain.newest(9)] == wanted
        assert [row.title for row in chain.newest(3)] == wanted[:3]
    assert [each.category for each in preferences.preferences(alice)] == ["a"]


def test_archived_after_more_than_filters_is_refused_and_not_answered_wrongly(alice: User) -> None:
    row = notify(alice, "away")
    marks.archive(alice, ids=[row.pk])
    visible = Notification.objects.visible_to(alice)
    assert list(visible.exclude(title="x").unread().unseen().archived()) == [row]
    for chain in (visible.order_by("title"), Notification.objects.all()):
        with pytest.raises(TypeError, match=r"archived\(\) must come after visible_to\(\)"):
            chain.archived()
