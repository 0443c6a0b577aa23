"""A broadcast on its way through the admin: composed, looked at, confirmed, sent, noted in the history, taken back."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from sse_notify import notify, recall
from sse_notify.admin import actions, forms
from sse_notify.inbox import marks
from sse_notify.models import Notification
from sse_notify.monitoring import presence
from tests.support import GUARD

pytestmark = pytest.mark.django_db

BROADCAST = "admin:sse_notify_notification_broadcast"
LIST = "admin:sse_notify_notification_changelist"
SHOW = "admin:sse_notify_notification_change"
RECALL = "admin:sse_notify_notification_recall"
USERS = "admin:auth_user_changelist"

MESSAGE: dict[str, Any] = {
    "audience": "everyone",
    "title": "Hello",
    "body": "World",
    "level": "info",
}


class Visit:
    """One way through the steps, as a browser without scripts goes it."""

    def __init__(self, client: Client, address: str, first: Any = None) -> None:
        self.client, self.address = client, address
        self.page = client.get(address) if first is None else client.post(address, first)
        assert self.page.status_code == 200, self.page

    @property
    def hidden(self) -> dict[str, list[str]]:
        """What the page's form carries."""
        found: dict[str, list[str]] = {}
        for tag in re.findall(r"<input[^>]*>", self.text[self.text.index("content-main") :]):
            given = dict(re.findall(r'(\w+)="([^"]*)"', tag))
            if given.get("type") == "hidden":
                found.setdefault(given["name"], []).append(given.get("value", ""))
        return found

    @property
    def text(self) -> str:
        text: str = self.page.content.decode()
        return text

    def go(self, button: str, **fields: Any) -> Visit:
        """Press a button; what the browser would not carry is filled in."""
        self.page = self.client.post(self.address, {**self.hidden, **fields, button: "1"})
        return self

    def number(self, name: str) -> str:
        found = re.search(rf'data-ssen-number="{name}">([^<]*)<', self.text)
        assert found, self.text
        return found[1]

    def errors(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for part in self.page.context["parts"]:
            found |= part.errors
        assert found
        assert not Notification.objects.exists()
        return found


def select(client: Client, action: str, *objects: Any, address: str = LIST, **more: Any) -> Visit:
    """Choose rows of a list and an action."""
    form = {
        "action": action,
        "index": "0",
        "select_across": "0",
        "_selected_action": [row.pk for row in objects],
        **more,
    }
    return Visit(client, reverse(address), form)


def history() -> list[tuple[str, str]]:
    return [
        (entry.object_repr, entry.get_change_message()) for entry in LogEntry.objects.order_by("pk")
    ]


def test_a_broadcast_is_composed_looked_at_and_confirmed(
    client: Client, carol: User, alice: User
) -> None:
    User.objects.create_user("gone", is_active=False)
    visit = Visit(client, reverse(BROADCAST))
    more = {"url": "/x/", "category": "c", "silent": "on", "label_2": "Look", "address_2": "/y/"}
    visit.go("_confirm", **MESSAGE, **more)
    assert not Notification.objects.exists(), "nothing is sent before it is confirmed"
    assert visit.number("reach") == "2"
    assert 'data-ssen="title" dir="auto" href="/x/"' in visit.text, (
        "the item's own template shows it"
    )
    assert 'href="/y/"' in visit.text
    visit.go("_edit")
    assert re.search(r'<input type="text" name="title" value="Hello"', visit.text), (
        "back in the form, nothing is lost"
    )
    assert "errornote" not in visit.text
    visit.go("_confirm", **MESSAGE, **more).go("_send")
    row = Notification.objects.get()
    assert (row.topic, row.title, row.body, row.url, row.category, row.silent) == (
        "everyone",
        "Hello",
        "World",
        "/x/",
        "c",
        True,
    )
    assert row.actions == [{"label": "Look", "url": "/y/"}]
    assert visit.page["Location"] == reverse(SHOW, args=[row.pk])
    assert history() == [("Hello", "Sent. Audience: Everyone. Reach: 2.")]
    assert "Reach: 2." in client.get(visit.page["Location"]).content.decode()
    assert marks.unread_count(alice) == 1


def test_a_form_that_is_sent_twice_sends_and_is_noted_once(client: Client) -> None:
    groups = [Group.objects.create(name=name) for name in "ab"]
    for whom in (
        {},
        {"audience": "group", "groups": [group.pk for group in groups]},
        {"audience": "user", "names": "carol"},
    ):
        visit = Visit(client, reverse(BROADCAST)).go("_confirm", **{**MESSAGE, **whom})
        carried = visit.hidden
        answers = [
            client.post(visit.address, {**carried, "_send": "1"}, follow=True).content.decode()
            for _ in range(2)
        ]
        assert ["This notification was already sent" in answer for answer in answers] == [
            False,
            True,
        ]
    assert Notification.objects.count() == 1 + 2 + 1
    assert LogEntry.objects.count() == 1 + 2 + 1
    # Another form, with a token of its own, is another broadcast.
    Visit(client, reverse(BROADCAST)).go("_confirm", **MESSAGE).go("_send")
    assert Notification.objects.filter(topic="everyone").count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_form_that_is_sent_twice_at_the_same_time_sends_and_is_noted_once(
    carol: User, client: Client
) -> None:
    visit = Visit(client, reverse(BROADCAST)).go("_confirm", **MESSAGE)
    form = {**visit.hidden, "_send": "1"}
    clients = [Client() for _ in range(4)]
    for other in clients:
        other.force_login(carol)
    start = threading.Barrier(len(clients))

    def send(other: Client) -> int:
        try:
            start.wait(GUARD)
            return other.post(visit.address, form).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(clients)) as pool:
        assert list(pool.map(send, clients)) == [302] * len(clients)
    assert Notification.objects.count() == 1
    assert history() == [("Hello", "Sent. Audience: Everyone. Reach: 1.")]


def test_a_member_of_several_groups_gets_it_once(client: Client, alice: User, bob: User) -> None:
    first, second, third = (Group.objects.create(name=name) for name in ("a", "b", "c"))
    first.user_set.add(alice)
    second.user_set.add(alice, bob)
    third.user_set.add(alice, bob, User.objects.create_user("dan"))
    visit = Visit(client, reverse(BROADCAST))
    visit.go(
        "_confirm",
        **{
            **MESSAGE,
            "audience": "group",
            "groups": [group.pk for group in (first, second, third)],
        },
    )
    assert visit.number("reach") == "3"
    visit.go("_send")
    assert Notification.objects.count() == 3
    assert [
        Notification.objects.visible_to(user).count() for user in User.objects.filter(groups=third)
    ] == [1, 1, 1]
    assert {message for _, message in history()} == {"Sent. Audience: Groups: a, b, c. Reach: 3."}


def test_chosen_users_are_found_by_name_or_by_typing_and_never_listed(
    client: Client, alice: User, bob: User
) -> None:
    strangers = User.objects.bulk_create(
        [User(username=f"stranger-{number}") for number in range(50)]
    )
    visit = Visit(client, reverse(BROADCAST))
    assert "admin-autocomplete" in visit.text
    assert "stranger-" not in visit.text
    # Django's own view answers what is typed.
    found = client.get(
        reverse("admin:autocomplete"),
        {
            "term": "ali",
            "app_label": "sse_notify",
            "model_name": "notification",
            "field_name": "excluded",
        },
    )
    assert found.json()["results"] == [{"id": str(alice.pk), "text": "alice"}]
    chosen = {"audience": "user", "names": "bob\n\n stranger-3 \nbob", "users": [alice.pk, bob.pk]}
    visit.go("_confirm", **{**MESSAGE, **chosen})
    assert visit.number("reach") == "3"
    visit.go("_send")
    recipients = {row.recipient for row in Notification.objects.all()}
    assert recipients == {alice, bob, strangers[3]}
    ((_, message),) = history()
    assert message.endswith("Reach: 3.")
    assert message.startswith("Sent. Audience: Chosen users: ")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "x" * 256}, "title"),
        ({"level": "loud"}, "level"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"icon": "data:image/png;base64,AAAA"}, "icon"),
        ({"body": "x" * 70_000}, "body"),
        ({"expires_at_0": "soon", "expires_at_1": ""}, "expires_at"),
        ({"label_1": "Look"}, "address_1"),
        ({"address_3": "/x/"}, "label_3"),
        ({"label_2": "Look", "address_2": "javascript:alert(1)"}, "address_2"),
        ({"audience": "nobody"}, "audience"),
        ({"audience": "group"}, "groups"),
        ({"audience": "group", "groups": [12345]}, "groups"),
        ({"audience": "user"}, "names"),
        ({"audience": "user", "names": "carol\nnobody-at-all"}, "names"),
        ({"audience": "user", "users": [12345]}, "users"),
        ({"audience": "user", "users": ["alice"]}, "users"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_at_every_step(
    client: Client, fields: dict[str, Any], field: str
) -> None:
    visit = Visit(client, reverse(BROADCAST))
    for button in ("_confirm", "_send"):
        visit.go(button, **{**MESSAGE, **fields})
        found = visit.errors()
        assert list(found) == [field]
        assert len(found[field]) == 1
        assert "errornote" in visit.text
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("part", ["preview", "reach"])
def test_a_part_of_the_page_that_is_asked_for_without_its_form_is_empty(
    client: Client, part: str
) -> None:
    address = reverse(f"admin:sse_notify_notification_{part}")
    for posted in ({}, {"action": "notify"}):
        assert client.post(address, posted).status_code == 200


def test_names_are_taken_up_to_a_number(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MAX_NAMES", 1)
    visit = Visit(client, reverse(BROADCAST)).go(
        "_confirm", **{**MESSAGE, "audience": "user", "names": "alice\ncarol"}
    )
    assert visit.errors() == {"names": ["Enter at most 1 usernames."]}
    visit.go("_confirm", **{**MESSAGE, "audience": "user", "names": "alice\nalice"})
    assert visit.number("reach") == "1"


def test_what_belongs_to_another_audience_does_not_count(client: Client, alice: User) -> None:
    """The page hides those fields; what was chosen in them before must not get in the way, nor widen who is reached."""
    group = Group.objects.create(name="editors")
    visit = Visit(client, reverse(BROADCAST))
    visit.go(
        "_confirm", **{**MESSAGE, "audience": "user", "names": "alice", "groups": [group.pk]}
    ).go("_send")
    assert [row.topic for row in Notification.objects.all()] == [f"user:{alice.pk}"]


def test_the_numbers_follow_the_audience_in_few_queries(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    people = User.objects.bulk_create(
        [User(username=f"u{number}", is_staff=number < 40) for number in range(200)]
    )
    group = Group.objects.create(name="editors")
    group.user_set.set(people[30:90])
    connected = {str(user.pk) for user in people[20:60]} | {"999999"}
    monkeypatch.setattr(presence, "connected_users", lambda timeout: connected)

    def numbers(**audience: Any) -> tuple[str, ...]:
        with django_assert_max_num_queries(
            8
        ):  # session, user, permissions, the form and two counts
            page = client.post(reverse("admin:sse_notify_notification_reach"), audience)
        return tuple(re.findall(r'data-ssen-number="\w+">([^<]*)<', page.content.decode()))

    assert numbers(audience="everyone") == ("201", "40")
    assert numbers(audience="staff") == ("41", "20")
    assert numbers(audience="group", groups=[group.pk]) == ("60", "30")
    assert numbers(audience="user", names="u20\nu3") == ("2", "1")
    assert numbers(audience="group") == ("-", "-"), "nothing is chosen yet"


def test_the_preview_is_the_items_own_template_with_text_as_text(client: Client) -> None:
    hostile = '<img src=x onerror="alert(1)"></ul><script>'
    page = client.post(
        reverse("admin:sse_notify_notification_preview"),
        {**MESSAGE, "title": hostile, "url": "javascript:alert(1)"},
    )
    text = page.content.decode()
    assert 'data-ssen-item=""' in text
    assert "&lt;img src=x" in text
    assert "<img" not in text
    assert "<script" not in text
    assert "javascript:" not in text
    assert "inert" in text
    assert client.get(reverse("admin:sse_notify_notification_preview")).status_code == 405


def test_without_the_permission_there_is_no_link_no_action_and_no_page(alice: User) -> None:
    row, other = notify(alice, "one"), User.objects.create_user("other")
    dave = User.objects.create_user("dave", is_staff=True)
    dave.user_permissions.set(
        Permission.objects.filter(
            codename__in=[
                "add_notification",
                "view_notification",
                "delete_notification",
                "view_user",
                "change_user",
            ]
        )
    )
    client = Client()
    client.force_login(dave)
    pages = [reverse(BROADCAST), reverse(RECALL, args=[row.pk])]
    parts = [
        *pages,
        *(reverse(f"admin:sse_notify_notification_{name}") for name in ("preview", "reach")),
    ]

    def offered() -> list[bool]:
        texts = [
            client.get(address).content.decode()
            for address in (reverse(LIST), reverse(SHOW, args=[row.pk]), reverse(USERS))
        ]
        return [
            word in text
            for text, words in zip(
                texts,
                (
                    [pages[0], "broadcast_selected", "recall_selected"],
                    [pages[1]],
                    ["notify_selected_users"],
                ),
                strict=True,
            )
            for word in words
        ]

    assert not any(offered())
    for address in parts:
        assert (
            client.post(
                address, {**MESSAGE, "token": "x" * 22, "_send": "1", "_recall": "1"}
            ).status_code
            == 403
        )
    for address in pages:
        assert client.get(address).status_code == 403
    for address, action in (
        (LIST, "broadcast_selected"),
        (LIST, "recall_selected"),
        (USERS, "notify_selected_users"),
    ):
        form = {
            **MESSAGE,
            "action": action,
            "_selected_action": [row.pk, other.pk],
            "token": "x" * 22,
            "_send": "1",
            "_recall": "1",
        }
        client.post(reverse(address), form)
    assert Notification.objects.count() == 1
    assert Notification.objects.filter(recalled_at=None).count() == 1
    dave.user_permissions.add(Permission.objects.get(codename="broadcast_notification"))
    assert all(offered())
    Visit(client, pages[0]).go("_confirm", **MESSAGE).go("_send")
    assert Notification.objects.filter(topic="everyone").count() == 1


@pytest.fixture
def sender() -> Client:
    """A browser of staff who may broadcast, and neither view notifications nor users."""
    dave = User.objects.create_user("dave", is_staff=True)
    dave.user_permissions.add(Permission.objects.get(codename="broadcast_notification"))
    client = Client()
    client.force_login(dave)
    return client


def grant(codename: str) -> None:
    dave = User.objects.get(username="dave")
    dave.user_permissions.add(Permission.objects.get(codename=codename))


def test_who_may_recall_reads_only_what_they_may_view(sender: Client, alice: User) -> None:
    row = notify(alice, "A diagnosis", category="Health")
    for pk in (row.pk, row.pk + 1):
        address = reverse(RECALL, args=[pk])
        assert sender.get(address).status_code == 403
        assert sender.post(address, {"_recall": "1"}).status_code == 403
    assert "Health" not in Visit(sender, reverse(BROADCAST)).text
    assert not Notification.objects.exclude(recalled_at=None).exists()
    grant("view_notification")
    assert "A diagnosis" in sender.get(reverse(RECALL, args=[row.pk])).content.decode()
    assert "Health" in Visit(sender, reverse(BROADCAST)).text


def test_who_may_send_finds_out_nothing_about_chosen_users(
    sender: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither their names nor whether they are connected."""
    monkeypatch.setattr(presence, "connected_users", lambda timeout: {str(alice.pk)})
    monkeypatch.setattr(User, "__str__", lambda user: f"{user.username}, manager")
    alone = {**MESSAGE, "audience": "user", "names": "alice"}
    numbers = reverse("admin:sse_notify_notification_reach")

    def connected(**fields: Any) -> Any:
        return sender.post(numbers, fields).context["connected"]

    assert (connected(**alone), connected(audience="everyone")) == (None, 1)
    visit = Visit(sender, reverse(BROADCAST)).go("_confirm", **alone)
    assert (visit.number("reach"), visit.number("connected")) == ("1", "-")
    assert "Chosen users: alice" in visit.text
    visit.go("_send")
    assert "manager" not in visit.text + str(history())
    grant("view_user")
    assert connected(**alone) == 1


@pytest.mark.parametrize("audience", ["group", "staff", "everyone"])
def test_how_many_are_connected_of_a_few_is_told_to_who_may_view_users(
    sender: Client, alice: User, monkeypatch: pytest.MonkeyPatch, audience: str
) -> None:
    """A group may have one member. Of everyone, the number says nothing about anybody."""
    monkeypatch.setattr(presence, "connected_users", lambda timeout: {str(alice.pk)})
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    alice.groups.add(group := Group.objects.create(name="Alone"))
    fields = {**MESSAGE, "audience": audience, "groups": [group.pk]}

    def connected() -> Any:
        return sender.post(reverse("admin:sse_notify_notification_reach"), fields).context[
            "connected"
        ]

    assert connected() == (1 if audience == "everyone" else None)
    grant("view_user")
    assert connected() == 1


def test_a_broadcast_needs_a_csrf_token(carol: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(carol)
    for name in ("broadcast", "preview", "reach"):
        assert (
            client.post(
                reverse(f"admin:sse_notify_notification_{name}"),
                {**MESSAGE, "token": "x" * 22, "_send": "1"},
            ).status_code
            == 403
        )
    assert not Notification.objects.exists()


def test_selected_notifications_are_broadcast_to_another_audience(
    client: Client, alice: User
) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    actions = [{"label": "Go", "url": "/x/", "method": "POST"}]
    first = notify(
        alice, "First", level="error", actions=actions, data={"a": 1}, key="k", expires_at=yesterday
    )
    second = notify(alice, "Second")
    visit = select(client, "broadcast_selected", second, first)
    assert "Second" in visit.text
    visit.go("_confirm", audience="staff")
    assert visit.number("reach") == "1"
    visit.go("_send")
    sent = list(Notification.objects.filter(topic="staff").order_by("pk"))
    assert [row.title for row in sent] == ["First", "Second"]
    again = sent[0]
    assert (again.level, again.actions, again.data, again.key, again.expires_at) == (
        "error",
        actions,
        {"a": 1},
        None,
        None,
    )
    assert [name for name, _ in history()] == ["First", "Second"]
    first.refresh_from_db()
    assert first.count == 1


def test_what_was_recalled_or_is_too_much_is_not_broadcast_again(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, there = notify(alice, "Gone"), notify(alice, "There")
    recall(gone)
    form = {"action": "broadcast_selected", "index": "0", "_selected_action": [gone.pk, there.pk]}
    assert (
        "cannot be broadcast again: Gone"
        in client.post(reverse(LIST), form, follow=True).content.decode()
    )
    monkeypatch.setattr(actions, "MAX_AGAIN", 1)
    text = client.post(reverse(LIST), form, follow=True).content.decode()
    assert "Select at most 1 items." in text
    assert 'name="_confirm"' not in text


def test_what_a_verb_would_refuse_is_not_broadcast_again_and_says_why(
    client: Client, alice: User
) -> None:
    row = notify(alice, "Odd")
    Notification.objects.filter(pk=row.pk).update(title=" ")
    form = {"action": "broadcast_selected", "index": "0", "_selected_action": [row.pk]}
    text = client.post(reverse(LIST), form, follow=True).content.decode()
    assert "title must not be empty." in text
    assert 'name="_confirm"' not in text


def test_selected_users_are_notified_whatever_page_of_the_list_they_are_on(
    client: Client, carol: User
) -> None:
    User.objects.bulk_create([User(username=f"u{number:03}") for number in range(150)])
    # The filter of the list finds them, not the boxes: all of them are selected, across pages.
    shown = User.objects.filter(username__startswith="u1")[:2]
    first = {
        "action": ["notify_selected_users", ""],
        "index": "0",
        "select_across": "1",
        "_selected_action": [user.pk for user in shown],
    }
    address = reverse(USERS) + "?q=u1"
    visit = Visit(client, address, first)
    assert "50" in visit.text
    visit.go("_confirm", **{key: value for key, value in MESSAGE.items() if key != "audience"})
    assert visit.number("reach") == "50"
    User.objects.create_user("u1-new")
    visit.go("_send")
    assert "The number of recipients has changed" in visit.text
    assert not Notification.objects.exists()
    visit.go("_send")
    assert Notification.objects.count() == 51
    assert visit.page["Location"] == address
    assert [message for _, message in history()] == [
        "Sent. Audience: Chosen users: u1-new, u100, u101, u102, u103 …. Reach: 51."
    ]


def test_an_action_is_followed_to_its_end_from_the_box_below_the_list_too(
    client: Client, alice: User
) -> None:
    first = {
        "action": ["", "notify_selected_users"],
        "index": "1",
        "select_across": "0",
        "_selected_action": [alice.pk],
    }
    message = {key: value for key, value in MESSAGE.items() if key != "audience"}
    Visit(client, reverse(USERS), first).go("_confirm", **message).go("_send")
    assert [row.recipient for row in Notification.objects.all()] == [alice]


def test_more_users_than_can_be_notified_one_by_one_are_refused(
    client: Client, carol: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "MAX_USERS", 1)
    User.objects.create_user("other")
    form = {
        "action": "notify_selected_users",
        "index": "0",
        "select_across": "1",
        "_selected_action": [carol.pk],
    }
    text = client.post(reverse(USERS), form, follow=True).content.decode()
    assert "Select at most 1 items. You selected 2." in text
    assert 'name="_confirm"' not in text


def test_categories_that_are_known_are_offered(client: Client, alice: User, settings: Any) -> None:
    settings.SSE_NOTIFY = {"CATEGORIES": {"Security": {"required": True}}}
    notify(alice, "one", category="Bills")
    notify(alice, "two", category="<b>")
    text = Visit(client, reverse(BROADCAST)).text
    assert re.findall(r'<option value="([^"]*)"></option>', text) == [
        "&lt;b&gt;",
        "Bills",
        "Security",
    ]


def test_a_recalled_broadcast_leaves_every_inbox_and_the_history_tells(
    client: Client, alice: User
) -> None:
    mine, yours, third = notify(alice, "One"), notify(alice, "Two"), notify(alice, "Three")
    visit = Visit(client, reverse(RECALL, args=[mine.pk]))
    assert "One" in visit.text
    assert marks.unread_count(alice) == 3, "asked first"
    visit.go("_recall")
    select(client, "recall_selected", mine, yours).go("_recall")
    assert [row.title for row in Notification.objects.visible_to(alice)] == [third.title]
    assert history() == [("One", "Recalled."), ("Two", "Recalled.")]
    assert "Already recalled" in client.get(reverse(RECALL, args=[mine.pk])).content.decode()
    for nothing in ("12345", "x", "1_2F"):
        assert client.get(reverse(RECALL, args=[nothing])).status_code == 404
