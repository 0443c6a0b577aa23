"""Categories that a user has muted: kept and listed, neither counted nor announced; and the page to mute them on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

import sse_notify
from sse_notify import broadcast, notify
from sse_notify.access.decisions import Granted, Question, decide, subscriber_of
from sse_notify.bus import publisher
from sse_notify.bus.messages import Batch, Entry, Message, Revocation, pack, unpack
from sse_notify.inbox import marks, preferences
from sse_notify.inbox.preferences import mute, muted_categories, unmute
from sse_notify.log.announcing import announce
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_head
from sse_notify.models import Mute, Notification
from sse_notify.sse import control
from tests.asgi.client import events
from tests.support.readers import reader_of

pytestmark = pytest.mark.django_db

REQUIRED = {
    "CATEGORIES": {
        "security": {
            "label": "Your account",
            "description": "Sign-ins & passwords",
            "required": True,
        },
        "news": {"label": "What is <new>"},
        "plain": {},
    }
}


def payloads(user: User) -> list[dict[str, Any]]:
    """Return what a stream of ``user`` replays."""
    announce()
    entries, _ = read_entries(0, get_head(), reader=reader_of(user), limit=100)
    return [
        data
        for name, data, _ in events(b"".join(entry.frame for entry in entries))
        if name == "notification"
    ]


def offered(client: Client) -> list[tuple[str, str | bool, bool, bool]]:
    found = client.get(reverse("sse_notify:preferences")).context["preferences"]
    return [(each.category, each.label, each.required, each.muted) for each in found]


def test_what_is_muted_is_listed_but_neither_counted_nor_announced(alice: User, bob: User) -> None:
    mute(alice, "news")
    for user in (alice, bob):
        notify(user, "To read later", category="news")
        notify(user, "Hello")
    broadcast("Also later", category="news")
    assert (marks.counts(alice), marks.counts(bob)) == ((1, 1), (3, 3))
    rows = Notification.objects.visible_to(alice)
    assert {row.title: (row.is_muted, row.is_unread, row.is_unseen) for row in rows} == {
        "To read later": (True, False, False),
        "Also later": (True, False, False),
        "Hello": (False, True, True),
    }
    assert [(data["title"], data["silent"], data.get("muted")) for data in payloads(alice)] == [
        ("To read later", True, True),
        ("Hello", False, None),
        ("Also later", True, True),
    ]
    assert not any("muted" in data or data["silent"] for data in payloads(bob))


def test_what_was_unread_before_is_unread_again_when_it_is_heard_again(alice: User) -> None:
    notify(alice, "Unread", category="news")
    read = notify(alice, "Read meanwhile", category="news")
    mute(alice, "news")
    marks.mark_read(alice, ids=[read.pk])
    assert marks.counts(alice) == (0, 0)
    unmute(alice, "news")
    assert [row.title for row in Notification.objects.visible_to(alice).unread()] == ["Unread"]
    assert marks.counts(alice) == (1, 1)


def test_what_is_required_is_heard_whatever_was_muted_before(alice: User) -> None:
    mute(alice, "security", "news")
    notify(alice, "A new sign-in", category="security")
    assert marks.counts(alice) == (0, 0)
    with override_settings(SSE_NOTIFY=REQUIRED):
        assert marks.counts(alice) == (1, 1)
        assert muted_categories(alice) == ["news"]
        assert [data.get("muted") for data in payloads(alice)] == [None]
        with pytest.raises(ValueError, match="categories must not have 'security'"):
            mute(alice, "other", "security")
        assert muted_categories(alice) == ["news"]
        unmute(alice, "security")


def test_a_verb_writes_what_changes_and_tells_open_streams_after_the_commit(
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    rung: list[Message] = []
    monkeypatch.setattr(publisher, "ring", rung.append)
    for verb, expected in ((mute, 1), (mute, 0), (unmute, 1), (unmute, 0)):
        with django_capture_on_commit_callbacks(execute=True):
            verb(alice, "news", "news")
            assert not rung
        assert rung == [Revocation(topics=(f"user:{alice.pk}",))] * expected
        rung.clear()


def test_a_decision_about_an_open_stream_finds_what_its_user_has_muted(
    alice: User, bob: User
) -> None:
    mute(alice, "news", "plain")
    with override_settings(SSE_NOTIFY={"CATEGORIES": {"plain": {"required": True}}}):
        decided = decide([Question(subscriber_of(user)) for user in (alice, bob)])
        assert [each.reader.muted for each in decided if isinstance(each, Granted)] == [
            {"news"},
            set(),
        ]


@pytest.mark.parametrize("text", ['"silent":false', '","silent":false}\nid: 9\n\n', "}"])
def test_the_muted_form_of_a_block_differs_in_two_fields_alone(alice: User, text: str) -> None:
    notify(alice, text, text, category=text.strip()[:90] or "c", data={"silent": text, "}": [text]})
    Notification.objects.update(progress_state={"state": "done", "message": text})
    announce()
    (entry,), _ = read_entries(0, get_head(), limit=1)
    ((name, data, id),) = events(entry.frame)
    assert events(control.muted(entry.frame)) == [
        (name, {**data, "silent": True, "muted": True}, id)
    ]


def test_another_process_hears_of_which_category_it_is() -> None:
    batch = Batch(
        1, 2, (Entry(1, "everyone", b"a", frozenset({"5"}), "news"), Entry(2, "everyone", b"b"))
    )
    assert unpack(json.loads(pack(batch))) == batch


@pytest.mark.parametrize(
    ("user", "category", "error", "names"),
    [
        (None, 7, TypeError, "categories"),
        (None, "", ValueError, "categories"),
        (None, "x" * 101, ValueError, "categories"),
        (None, "a\0b", ValueError, "categories"),
        (AnonymousUser(), "news", TypeError, "user"),
        (User(username="new"), "news", ValueError, "user"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(
    alice: User, user: Any, category: Any, error: type[Exception], names: str
) -> None:
    for verb in (mute, unmute):
        with pytest.raises(error, match=f"^{names} must "):
            verb(user or alice, "fine", category)
    assert not Mute.objects.exists()


def test_each_verb_has_an_async_twin(alice: User) -> None:
    async_to_sync(sse_notify.amute)(alice, "news", "plain")
    async_to_sync(sse_notify.aunmute)(alice, "plain")
    assert async_to_sync(sse_notify.amuted_categories)(alice) == ["news"]
    assert muted_categories(AnonymousUser()) == []


# --- the page ----------------------------------------------------------------------------------------------------------------


def test_the_page_offers_what_the_settings_name_and_what_the_user_has_got(
    client: Client, alice: User
) -> None:
    client.force_login(alice)
    assert offered(client) == []
    notify(alice, "n", category="<orders>")
    mute(alice, "long ago")
    with override_settings(SSE_NOTIFY=REQUIRED):
        assert offered(client) == [
            ("security", "Your account", True, False),
            ("news", "What is <new>", False, False),
            ("plain", "plain", False, False),
            ("<orders>", "<orders>", False, False),
            ("long ago", "long ago", False, True),
        ]
        page = client.get(reverse("sse_notify:preferences")).content.decode()
    for text in ("What is <new>", "<orders>", "Sign-ins & passwords"):
        assert escape(text) in page
        assert text not in page


def test_the_form_mutes_what_is_not_ticked_and_nothing_that_it_did_not_offer(
    client: Client, alice: User, bob: User
) -> None:
    client.force_login(alice)
    url = reverse("sse_notify:preferences")
    notify(alice, "n", category="orders")
    mute(alice, "long ago")
    mute(bob, "plain")
    with override_settings(SSE_NOTIFY=REQUIRED):
        # A disabled box is not submitted; and a page of yesterday offers less than today's.
        shown = ["security", "news", "plain", "long ago", "made up"]
        response = client.post(
            url, {"category": shown, "heard": ["plain", "long ago"]}, follow=True
        )
        assert response.redirect_chain == [(f"{url}?saved", 302)]
        assert "Your preferences have been saved." in response.content.decode()
        assert muted_categories(alice) == ["news"]
        assert muted_categories(bob) == ["plain"]
        assert client.post(url, {"category": ["news"], "heard": ["x" * 101]}).status_code == 400
        assert muted_categories(alice) == ["news"]


def test_the_page_is_its_users_alone_and_changes_by_a_protected_post_alone(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    url = reverse("sse_notify:preferences")
    assert client.get(url).status_code == 302
    client.force_login(alice)
    notify(alice, "n", category="news")
    response = client.get(url, {"category": "news"})
    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
    assert "Cookie" in response["Vary"]
    assert client.post(url, {"category": "news"}).status_code == 403
    assert muted_categories(alice) == []


def test_items_say_that_they_are_muted(client: Client, alice: User) -> None:
    client.force_login(alice)
    notify(alice, "n", category="news")
    mute(alice, "news")
    answer = json.loads(client.get(reverse("sse_notify:items")).content)
    assert (answer["unread"], answer["unseen"]) == (0, 0)
    (item,) = answer["items"]
    assert {name: item[name] for name in ("muted", "silent", "unread", "unseen")} == {
        "muted": True,
        "silent": True,
        "unread": False,
        "unseen": False,
    }


def test_the_page_takes_few_queries_however_many_categories(
    client: Client, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(alice)
    for index in range(30):
        notify(alice, "n", category=f"c{index}")
    with django_assert_max_num_queries(6):
        client.get(reverse("sse_notify:preferences"))
    assert len(preferences.preferences(alice)) == 30


@pytest.mark.django_db
def test_what_is_not_muted_is_unmuted_without_a_delete(alice: User) -> None:
    with CaptureQueriesContext(connection) as captured:
        unmute(alice, "news")
    assert not [query for query in captured if query["sql"].startswith("DELETE")]
