"""Sending from the admin's own form, and reading the log there."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from sse_notify import STAFF, broadcast, notify, recall
from sse_notify.inbox import marks
from sse_notify.models import Notification

pytestmark = pytest.mark.django_db

ADD = "admin:sse_notify_notification_add"
LIST = "admin:sse_notify_notification_changelist"
SHOW = "admin:sse_notify_notification_change"


def send(client: Client, **fields: Any) -> Any:
    return client.post(
        reverse(ADD), {"audience": "everyone", "level": "info", "title": "Hello", **fields}
    )


def errors(response: Any) -> dict[str, Any]:
    assert response.status_code == 200
    assert not Notification.objects.exists()
    found: dict[str, Any] = response.context["adminform"].form.errors
    return found


def test_the_form_sends_to_one_user_through_the_verb(client: Client, carol: User) -> None:
    alice = User.objects.create_user("alice")
    response = send(
        client,
        audience="user",
        recipient=alice.pk,
        body="World",
        level="success",
        url="/x/",
        category="c",
        silent="on",
    )
    assert response.status_code == 302
    row = Notification.objects.get()
    assert (row.topic, row.recipient, row.title, row.body) == (
        f"user:{alice.pk}",
        alice,
        "Hello",
        "World",
    )
    assert (row.level, row.url, row.category, row.silent) == ("success", "/x/", "c", True)
    assert (marks.unread_count(alice), marks.unread_count(carol)) == (1, 0)
    assert "Hello" in client.get(response["Location"]).content.decode(), (
        "the message that says so names it"
    )


def test_the_form_broadcasts_one_row_for_an_audience(client: Client) -> None:
    group = Group.objects.create(name="editors")
    send(client)
    send(client, audience="staff")
    send(client, audience="group", group=group.pk)
    assert [row.topic for row in Notification.objects.order_by("pk")] == [
        "everyone",
        "staff",
        f"group:{group.pk}",
    ]
    assert [row.group for row in Notification.objects.order_by("pk")] == [None, None, group]


class Replica:
    """Our tables are read from a database that is never there."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "nowhere" if model._meta.app_label == "sse_notify" else None


def test_the_form_sends_where_a_router_reads_from_a_replica(client: Client, settings: Any) -> None:
    """It read the new row from the replica, which has it after the commit, so each form failed."""
    settings.DATABASE_ROUTERS = [Replica()]
    assert send(client).status_code == 302
    assert Notification.objects.using("default").get().title == "Hello"


@pytest.mark.django_db(transaction=True)
def test_what_is_sent_is_numbered_after_the_admins_transaction(client: Client) -> None:
    send(client)
    assert Notification.objects.get().seq == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"audience": "user"}, "recipient"),
        ({"audience": "group"}, "group"),
        ({"audience": "user", "recipient": 12345}, "recipient"),
        ({"audience": "nobody"}, "audience"),
        ({"title": ""}, "title"),
        ({"title": "x" * 256}, "title"),
        ({"level": "loud"}, "level"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"icon": "data:image/png;base64,AAAA"}, "icon"),
        ({"body": "x" * 70_000}, "body"),
    ],
)
def test_what_a_verb_refuses_is_said_at_the_field_and_nothing_is_sent(
    client: Client, fields: dict[str, Any], field: str
) -> None:
    found = errors(send(client, **fields))
    assert list(found) == [field]
    assert len(found[field]) == 1


def test_a_recipient_beside_an_audience_is_refused_lest_it_reach_more_than_was_meant(
    client: Client, carol: User
) -> None:
    group = Group.objects.create(name="editors")
    assert list(errors(send(client, recipient=carol.pk))) == ["recipient"]
    assert list(errors(send(client, audience="user", recipient=carol.pk, group=group.pk))) == [
        "group"
    ]


def test_expiry_is_taken(client: Client, carol: User) -> None:
    moment = timezone.localtime(timezone.now() + timedelta(days=1))
    send(client, expires_at_0=moment.strftime("%Y-%m-%d"), expires_at_1=moment.strftime("%H:%M:%S"))
    assert Notification.objects.get().expires_at == moment.replace(microsecond=0)
    assert marks.unread_count(carol) == 1


def test_what_was_sent_is_shown_and_cannot_be_edited(client: Client, carol: User) -> None:
    row = notify(carol, "<b>Hello</b>", data={"a": 1}, actor=carol)
    broadcast("to staff", audience=STAFF, exclude=[carol])
    page = client.get(reverse(SHOW, args=[row.pk]))
    text = page.content.decode()
    assert "&lt;b&gt;Hello&lt;/b&gt;" in text
    assert "<b>Hello</b>" not in text
    assert 'name="title"' not in text
    assert client.post(reverse(SHOW, args=[row.pk]), {"title": "changed"}).status_code == 403
    row.refresh_from_db()
    assert row.title == "<b>Hello</b>"


def test_the_list_is_found_by_words_and_by_the_recipients_name(client: Client, carol: User) -> None:
    alice = User.objects.create_user("alice")
    notify(alice, "one")
    notify(carol, "two", category="bills")

    def found(**query: str) -> list[str]:
        response = client.get(reverse(LIST), query)
        assert response.status_code == 200
        return [row.title for row in response.context["cl"].result_list]

    assert found() == ["two", "one"]
    assert found(q="alice") == ["one"]
    assert found(q="bills") == ["two"]
    assert found(level__exact="error") == []
    assert found(created_at__year=str(timezone.now().year)) == ["two", "one"]


def test_the_list_and_the_page_of_a_notification_show_its_figures_as_numbers(
    client: Client, alice: User
) -> None:
    rows = [notify(alice, "n"), broadcast("e")]
    list_page = client.get(reverse(LIST)).content.decode()
    for column, figures in {"reach": {"1", "2"}, "read": {"0"}}.items():
        cells = re.findall(rf'class="field-{column}">([^<]*)<', list_page)
        assert len(cells) == 2
        assert set(cells) <= figures
    for row in rows:
        page = client.get(reverse(SHOW, args=[row.pk]))
        shown = re.findall(r'<div class="readonly">([^<]*)</div>', page.content.decode())
        assert "0" in shown
        assert not {"True", "False"} & set(shown)


def test_the_lists_queries_do_not_grow_with_its_rows(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """With the figures of every row: of users, of groups, of staff and of everyone."""

    def fill(first: int, last: int) -> None:
        for index in range(first, last):
            notify(User.objects.create_user(f"u{index}"), "n")
            broadcast("b", audience=Group.objects.create(name=f"g{index}"))
            broadcast("s", audience=STAFF)
            broadcast("e")

    fill(0, 2)
    client.get(reverse(LIST))
    with django_assert_max_num_queries(30) as few:
        client.get(reverse(LIST))
    fill(2, 25)
    with django_assert_max_num_queries(len(few)):
        page = client.get(reverse(LIST))
    assert len(page.context["cl"].result_list) == 100


def test_only_staff_with_the_permission_may_send() -> None:
    dave = User.objects.create_user("dave", is_staff=True)
    client = Client()
    client.force_login(dave)
    assert client.get(reverse(ADD)).status_code == 403
    assert send(client).status_code == 403
    dave.user_permissions.add(Permission.objects.get(codename="add_notification"))
    # One user at a time: an audience takes the permission to broadcast.
    assert list(errors(send(client))) == ["audience"]
    assert list(errors(send(client, audience="staff"))) == ["audience"]
    assert 'name="group"' not in client.get(reverse(ADD)).content.decode()
    assert send(client, audience="user", recipient=dave.pk).status_code == 302
    dave.user_permissions.add(Permission.objects.get(codename="broadcast_notification"))
    assert send(client).status_code == 302
    assert [row.topic for row in Notification.objects.order_by("pk")] == [
        f"user:{dave.pk}",
        "everyone",
    ]
    assert [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")] == [
        "Sent. Audience: Chosen users: dave. Reach: 1.",
        "Sent. Audience: Everyone. Reach: 1.",
    ]


def test_the_form_names_users_only_to_who_may_view_them(carol: User) -> None:
    """Django's widget shows the name of whatever key was entered."""
    alice = User.objects.create_user("alice-miller")
    dave = User.objects.create_user("dave", is_staff=True)
    dave.user_permissions.add(Permission.objects.get(codename="add_notification"))
    client = Client()
    client.force_login(dave)
    wrong = {"audience": "user", "recipient": alice.pk, "title": ""}
    page = send(client, **wrong)
    assert f'value="{alice.pk}"' in page.content.decode()
    assert "alice-miller" not in page.content.decode()
    dave.user_permissions.add(Permission.objects.get(codename="view_user"))
    assert "alice-miller" in send(client, **wrong).content.decode()


def test_the_list_is_filtered_by_what_became_of_a_row_and_by_recent_categories(
    client: Client, carol: User
) -> None:
    rows = [notify(carol, title, category=title[0]) for title in ("apple", "avocado", "bean")]
    recall(rows[0])

    def found(**query: str) -> list[str]:
        return [row.title for row in client.get(reverse(LIST), query).context["cl"].result_list]

    assert found(category="a") == ["avocado", "apple"]
    assert found(recalled="yes") == ["apple"]
    assert found(recalled="no") == ["bean", "avocado"]
    assert found(recalled="perhaps", category="a") == ["avocado", "apple"]
    assert found(category="a\0") == ["avocado", "apple"], "PostgreSQL takes no NUL"
    text = client.get(reverse(LIST)).content.decode()
    assert "?category=b" in text
    assert "Recalled" in text


def test_the_list_tells_how_many_it_reaches_and_how_many_have_read_it(
    client: Client, carol: User
) -> None:
    alice = User.objects.create_user("alice")
    row = broadcast("Hello")
    marks.mark_read(alice, [row.pk])
    for address in (reverse(LIST), reverse(SHOW, args=[row.pk])):
        text = client.get(address).content.decode()
        numbers = re.findall(
            r'field-(reach|read)">(?:\s*<div>|.*?class="readonly">)?\s*(\d+)', text, re.DOTALL
        )
        assert numbers == [("reach", "2"), ("read", "1")], text
