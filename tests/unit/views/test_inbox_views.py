"""The inbox over HTTP: who may ask, what is answered, and that nothing changes without a POST."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from sse_notify import broadcast, notify
from sse_notify.access.openings import user_key
from sse_notify.inbox import marks
from sse_notify.log.announcing import announce
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_head
from sse_notify.models import Inbox, LogHead, Notification, Receipt
from tests.support.readers import granted_to, reader_of

pytestmark = pytest.mark.django_db

MARKS = ("read", "unread", "seen", "archive", "unarchive")
PAGES = ("list", "items", "state")


def url(name: str) -> str:
    return reverse(f"sse_notify:{name}")


def post(client: Client, name: str, body: Any, **extra: Any) -> Any:
    return client.post(url(name), data=json.dumps(body), content_type="application/json", **extra)


def get(client: Client, name: str, **query: Any) -> Any:
    return client.get(url(name), query)


def number() -> int:
    announce()
    return get_head()


def everything() -> list[Any]:
    models: list[Any] = [Notification, Inbox, Receipt]
    return [list(model.objects.order_by("pk").values()) for model in models]


class Page(HTMLParser):
    """What a browser without JavaScript can do on a page: its links, and its buttons with the form that each submits."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.links: list[dict[str, str]] = []
        self.buttons: list[dict[str, str]] = []
        self.forms: dict[str, dict[str, str]] = {}
        self.items: list[dict[str, str]] = []
        self._form = ""
        self.text = response.content.decode()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(found)
        elif tag == "li" and "data-ssen-item" in found:
            self.items.append(found)
        elif tag == "form":
            self._form = found.get("id") or f"form-{len(self.forms)}"
            self.forms[self._form] = {"action": found.get("action", "")}
        elif tag == "input" and self._form and found.get("type") == "hidden":
            self.forms[self._form][found["name"]] = found["value"]
        elif tag == "button" and ("form" in found or self._form):
            self.buttons.append({"form": self._form, **found})

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = ""

    def press(self, client: Client, action: str, name: str, value: Any = None) -> Any:
        """Press the first button that sends ``name`` (of this ``value``) to ``action``, as a browser would."""
        for button in self.buttons:
            fields = dict(self.forms[button["form"]])
            target = button.get("formaction") or fields["action"]
            fields.pop("action")
            # A field may also stand in the form itself, as a hidden input.
            fields |= {button["name"]: button["value"]} if "name" in button else {}
            if (
                target == action
                and name in fields
                and (value is None or fields[name] == str(value))
            ):
                return client.post(target, fields, headers={"accept": "text/html,*/*;q=0.8"})
        raise AssertionError(f"no button sends {name}={value} to {action}")


# --- who may ask -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["items", "state"])
def test_an_anonymous_script_gets_401_in_json(name: str) -> None:
    response = get(Client(), name)
    assert response.status_code == 401
    assert response.json()["error"] == "unauthenticated"
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", MARKS)
def test_an_anonymous_mark_gets_401_in_json_and_a_browsers_form_the_login(name: str) -> None:
    assert post(Client(), name, {"ids": [1]}).status_code == 401
    assert Client().post(url(name), {"ids": 1}).status_code == 401
    response = Client().post(
        url(name), {"ids": 1}, headers={"accept": "text/html,application/xhtml+xml"}
    )
    assert response.status_code == 302
    assert response["Location"] == f"/admin/login/?next={url('list')}"


def test_an_anonymous_visitor_of_the_page_is_led_to_the_login_and_back() -> None:
    response = Client().get(url("list"), {"state": "unread"})
    assert response.status_code == 302
    assert response["Location"] == f"/admin/login/?next={url('list')}%3Fstate%3Dunread"


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
)
def test_scripts_get_401_also_where_the_project_requires_a_login_everywhere() -> None:
    assert get(Client(), "state").status_code == get(Client(), "items").status_code == 401


# --- what changes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MARKS)
def test_get_never_changes_anything(client: Client, alice: User, name: str) -> None:
    row = notify(alice, "Hello")
    number()
    before = everything()
    for method in (
        client.get,
        client.head,
        client.put,
        client.delete,
        client.patch,
        client.options,
    ):
        response = method(url(name) + f"?ids={row.pk}&up_to=1")
        assert response.status_code == 405
        assert response["Allow"] == "POST"
    assert everything() == before


@pytest.mark.parametrize("name", PAGES)
def test_what_is_read_changes_nothing_and_takes_no_post(
    client: Client, alice: User, name: str
) -> None:
    notify(alice, "Hello")
    number()
    before = everything()
    assert get(client, name).status_code == 200
    assert client.head(url(name)).status_code == 200
    assert client.post(url(name)).status_code == 405
    assert everything() == before


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize("middleware", [True, False], ids=["with the middleware", "without it"])
def test_a_mark_without_a_csrf_token_is_refused(
    alice: User, name: str, middleware: bool, settings: Any
) -> None:
    if not middleware:
        settings.MIDDLEWARE = [entry for entry in settings.MIDDLEWARE if "Csrf" not in entry]
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    row = notify(alice, "Hello")
    before = everything()
    assert post(client, name, {"ids": [row.pk]}).status_code == 403
    assert client.post(url(name), {"ids": row.pk}).status_code == 403
    assert everything() == before


def test_the_token_of_state_opens_the_marks_in_a_header_and_the_pages_form_has_its_own(
    alice: User,
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    first = notify(alice, "first")
    notify(alice, "second")
    number()
    token = get(client, "state").json()["csrf"]
    response = post(client, "read", {"ids": [first.pk]}, headers={"x-csrftoken": token})
    assert (response.json()["unread"], response.json()["unseen"]) == (1, 1)
    page = Page(get(client, "list"))
    assert page.press(client, url("read"), "up_to", get_head()).status_code == 302
    assert marks.counts(alice) == (0, 0)


def test_marks_answer_json_with_the_new_counts_and_whose_they_are(
    client: Client, alice: User
) -> None:
    """A page that was opened before another user signed in showed that user's counts as its own user's."""
    first, second, third = (notify(alice, title) for title in "abc")
    head = number()
    key = get(client, "state").json()["key"]

    def counts(unread: int, unseen: int) -> dict[str, Any]:
        return {"unread": unread, "unseen": unseen, "key": key}

    assert post(client, "seen", {"up_to": head}).json() == counts(3, 0)
    assert post(client, "read", {"ids": [first.pk, second.pk]}).json() == counts(1, 0)
    assert post(client, "unread", {"ids": [first.pk]}).json() == counts(2, 0)
    response = post(client, "archive", {"ids": [third.pk]})
    assert response.json() == counts(1, 0)
    assert post(client, "unarchive", {"ids": [third.pk]}).json() == counts(2, 0)
    assert response["Cache-Control"] == "private, no-store"
    assert "Cookie" in response["Vary"]
    assert post(client, "read", {"up_to": head}).json() == counts(0, 0)


def test_marks_are_idempotent_and_ids_of_others_ignored(client: Client, alice: User) -> None:
    mine, other = notify(alice, "mine"), notify(User.objects.create_user("bob"), "bob's")
    for _ in range(2):
        answer = post(client, "read", {"ids": [mine.pk, other.pk, mine.pk, 12345678]}).json()
        assert (answer["unread"], answer["unseen"]) == (0, 0)
    assert list(Receipt.objects.values_list("notification_id", flat=True)) == [mine.pk]


def test_no_ids_at_all_in_json_is_a_mark_of_nothing(client: Client) -> None:
    assert post(client, "read", {"ids": []}).status_code == 200


def test_a_mark_by_up_to_leaves_what_arrived_meanwhile_unread(client: Client, alice: User) -> None:
    notify(alice, "on the page")
    number()
    page = Page(get(client, "list"))
    notify(alice, "arrived meanwhile")
    number()
    page.press(client, url("read"), "up_to")
    assert [row.title for row in Notification.objects.visible_to(alice).unread()] == [
        "arrived meanwhile"
    ]


def test_the_client_that_marks_is_named_in_the_update(client: Client, alice: User) -> None:
    row = notify(alice, "Hello")
    post(client, "read", {"ids": [row.pk], "client": "tab-1", "request_id": "not ours"})
    assert Inbox.objects.get().changes[0].items() >= {"ids": [row.pk], "client": "tab-1"}.items()


def test_a_form_is_redirected_back_but_never_to_another_site(client: Client, alice: User) -> None:
    row = notify(alice, "Hello")

    def back(**fields: Any) -> str:
        referer = fields.pop("referer", "")
        response = client.post(
            url("read"),
            {"ids": [row.pk], **fields},
            headers={"referer": referer} if referer else {},
        )
        assert response.status_code == 302
        return str(response["Location"])

    assert back() == url("list")
    assert back(next="/orders/?page=2") == "/orders/?page=2"
    assert back(referer="http://testserver/orders/") == "http://testserver/orders/"
    for hostile in (
        "https://evil.example/",
        "//evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "http:///evil.example",
    ):
        assert back(next=hostile) == url("list")
        assert back(next=hostile, referer=hostile) == url("list")


def test_a_form_that_asks_for_json_gets_it(client: Client, alice: User) -> None:
    row = notify(alice, "Hello")
    response = client.post(url("read"), {"ids": [row.pk]}, headers={"accept": "application/json"})
    assert (response.json()["unread"], response.json()["unseen"]) == (0, 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "ids"),
        ({"ids": None}, "ids"),
        ({"ids": [1], "up_to": 1}, "ids"),
        ({"ids": 5}, "ids"),
        ({"ids": "5"}, "ids"),
        ({"ids": {"0": 1}}, "ids"),
        ({"ids": ["x"]}, "ids"),
        ({"ids": [None]}, "ids"),
        ({"ids": [True]}, "ids"),
        ({"ids": [1.5]}, "ids"),
        ({"ids": [[1]]}, "ids"),
        ({"ids": [-1]}, "ids"),
        ({"ids": [2**63]}, "ids"),
        ({"ids": list(range(1001))}, "ids"),
        ({"up_to": "x"}, "up_to"),
        ({"up_to": ""}, "up_to"),
        ({"up_to": -1}, "up_to"),
        ({"up_to": 2**63}, "up_to"),
        ({"up_to": [1]}, "up_to"),
        ({"up_to": 1, "client": "x" * 101}, "client"),
        ({"up_to": 1, "client": "a\nb"}, "client"),
        ({"up_to": 1, "client": "\0"}, "client"),
        ([1], "body"),
        ("ids", "body"),
        (None, "body"),
    ],
)
def test_bad_json_is_400_and_names_the_field(client: Client, body: Any, field: str) -> None:
    response = post(client, "read", body)
    assert response.status_code == 400
    answer = response.json()
    assert (answer["error"], answer["field"]) == ("invalid", field)
    assert answer["message"]
    assert not Inbox.objects.exists()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"NaN", b"[" * 100_000, b'{"ids": [' + b"9" * 5000 + b"]}"]
)
def test_a_broken_body_is_400(client: Client, body: bytes) -> None:
    response = client.post(url("read"), data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["error"] == "invalid"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "ids"),
        ({"ids": ["1", "x"]}, "ids"),
        ({"ids": ""}, "ids"),
        ({"up_to": ""}, "up_to"),
        ({"up_to": "1e3"}, "up_to"),
    ],
)
def test_a_bad_form_is_400_and_names_the_field(
    client: Client, fields: dict[str, Any], field: str
) -> None:
    response = client.post(url("seen"), fields)
    assert response.status_code == 400
    assert response.json()["field"] == field


@pytest.mark.parametrize("name", ["unread", "unarchive"])
def test_everything_cannot_be_taken_back_at_once(client: Client, name: str) -> None:
    response = post(client, name, {"up_to": 1})
    assert response.status_code == 400
    assert response.json()["field"] == "up_to"


def test_items_say_whose_they_are_as_the_state_does(client: Client, bob: User) -> None:
    key = get(client, "state").json()["key"]
    assert get(client, "items").json()["key"] == key
    client.force_login(bob)
    assert get(client, "items").json()["key"] == get(client, "state").json()["key"] != key


# --- state -------------------------------------------------------------------------------------------------------------------


def test_state_says_where_the_log_and_the_inbox_are(client: Client, alice: User) -> None:
    row = notify(alice, "Hello")
    notify(alice, "Again")
    head = number()
    answer = get(client, "state").json()
    csrf = answer.pop("csrf")
    assert len(answer.pop("key")) == 32
    assert len(csrf) == 64
    assert answer == {"cursor": head, "state_seq": None, "unread": 2, "unseen": 2, "poll": 1.0}
    marks.mark_read(alice, ids=[row.pk])
    after = number()
    answer = get(client, "state").json()
    assert (answer["cursor"], answer["state_seq"], answer["unread"], answer["unseen"]) == (
        after,
        after,
        1,
        1,
    )
    assert after == head + 1


def test_state_is_not_sent_again_until_something_changed(client: Client, alice: User) -> None:
    first = get(client, "state")
    assert first["Cache-Control"] == "private, no-cache"
    assert "Cookie" in first["Vary"]

    def again(etag: str) -> Any:
        return client.get(url("state"), headers={"if-none-match": etag})

    response = again(first["ETag"])
    assert (response.status_code, response.content) == (304, b"")
    assert response["ETag"] == first["ETag"]
    assert response["Cache-Control"] == "private, no-cache"
    assert "Cookie" in response["Vary"]
    # Pending rows count before they move the cursor.
    row = notify(alice, "Hello", expires_at=timezone.now() + timedelta(hours=1))
    second = again(first["ETag"])
    assert (second.status_code, second.json()["unread"]) == (200, 1)
    number()
    third = again(second["ETag"])
    assert third.status_code == 200
    assert again(third["ETag"]).status_code == 304
    # An expiry moves no cursor, and still changes the counts.
    Notification.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    assert again(third["ETag"]).json()["unread"] == 0


def test_the_etag_of_state_is_one_users_and_one_logins(client: Client, alice: User) -> None:
    bob = Client()
    bob.force_login(User.objects.create_user("bob"))
    etags = {get(client, "state")["ETag"], get(bob, "state")["ETag"]}
    assert len(etags) == 2
    old = get(client, "state")
    client.cookies.pop(
        "csrftoken"
    )  # a login in another tab rotates the secret, and the old token opens nothing
    response = client.get(url("state"), headers={"if-none-match": old["ETag"]})
    assert response.status_code == 200
    assert response.json()["csrf"]


# --- items and the page ------------------------------------------------------------------------------------------------------


def test_items_are_what_the_wire_says_and_their_state(client: Client, alice: User) -> None:
    row = notify(
        alice, "Hello", "World", level="success", url="/x/", category="c", data={"a": [1]}, key="k"
    )
    number()
    marks.mark_seen(alice, ids=[row.pk])
    row.refresh_from_db()
    response = get(client, "items")
    assert response.json() == {
        "items": [{**row.payload(), "unread": True, "unseen": False}],
        "next": None,
        "key": user_key(alice.pk),
        "unread": 1,
        "unseen": 0,
    }
    assert response["Cache-Control"] == "private, no-store"
    assert "Cookie" in response["Vary"]


def test_items_say_what_they_are_about_as_a_script_can_link_to_it(
    client: Client, alice: User, bob: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """The type and the key; the name outlives the object, and the object's type even its model."""
    team = Group.objects.create(name="Team")
    notify(alice, "One", actor=bob, target=team)
    notify(alice, "None")
    gone = notify(alice, "Gone", actor=team)
    kind = ContentType.objects.create(app_label="shop", model="order")
    Notification.objects.filter(pk=gone.pk).update(actor_type=kind)
    lost, none, one = get(client, "items").json()["items"]
    assert one["actor"] == {"type": "auth.user", "id": str(bob.pk), "name": "bob"}
    assert one["target"] == {"type": "auth.group", "id": str(team.pk), "name": "Team"}
    assert (one["actor_name"], one["target_name"]) == ("bob", "Team")
    assert (none["actor"], none["actor_name"]) == (None, "")
    assert lost["actor"] == {"type": "shop.order", "id": str(team.pk), "name": "Team"}
    bob.delete()
    kind.delete()
    lost, _none, one = get(client, "items").json()["items"]
    assert one["actor"]["name"] == one["actor_name"] == "bob"
    assert (lost["actor"], lost["actor_name"]) == (None, "Team")
    rows = list(Notification.objects.all())
    with django_assert_num_queries(0):
        for row in rows * 2:
            row.payload()


def test_the_page_has_a_way_back_to_the_site_wherever_it_is_mounted(client: Client) -> None:
    for prefix in ("", "/intra"):
        page = client.get(url("list"), SCRIPT_NAME=prefix).text
        assert re.search(rf'class="ssen-page-back"><a [^>]*href="{prefix}/"', page)


@pytest.mark.parametrize("pages", ["json", "html"])
def test_pages_hold_every_item_once_though_others_arrive_meanwhile(
    client: Client, alice: User, pages: str
) -> None:
    rows = [notify(alice, f"n{index}").pk for index in range(45)]
    number()
    found: list[int] = []
    query: dict[str, Any] = {}
    while True:
        if pages == "json":
            answer = get(client, "items", **query).json()
            found += [item["id"] for item in answer["items"]]
            following = {"before": answer["next"]} if answer["next"] else {}
        else:
            page = Page(get(client, "list", **query))
            found += [int(item["data-ssen-item"]) for item in page.items]
            links = [link["href"] for link in page.links if link.get("rel") == "next"]
            following = parse_qs(urlsplit(links[0]).query) if links else {}
        notify(alice, "arrived meanwhile")
        if not following:
            break
        query = following
    assert found == rows[::-1]


@pytest.mark.parametrize("name", ["items", "list"])
def test_what_expires_is_gone_from_every_page_from_the_counts_and_from_a_replay(
    client: Client, alice: User, name: str
) -> None:
    later = timezone.now() + timedelta(hours=1)
    rows = [
        notify(alice, "soon gone", expires_at=later),
        broadcast("soon gone", expires_at=later),
        notify(alice, "soon gone"),
    ]
    number()
    marks.archive(alice, ids=[rows[1].pk])
    Notification.objects.update(expires_at=timezone.now() - timedelta(microseconds=1))
    rows.append(notify(alice, "stays", expires_at=later))
    number()
    for state, shown in {"": [rows[3].pk], "unread": [rows[3].pk], "archived": []}.items():
        response = get(client, name, state=state)
        if name == "items":
            assert [item["id"] for item in response.json()["items"]] == shown
            assert (response.json()["unread"], response.json()["unseen"]) == (1, 1)
        else:
            page = Page(response)
            assert [int(item["data-ssen-item"]) for item in page.items] == shown
            assert "soon gone" not in page.text
    assert (get(client, "state").json()["unread"], get(client, "state").json()["unseen"]) == (1, 1)
    opening = granted_to(alice).opening
    assert opening is not None
    assert b'"unread":1,' in opening.prelude, "as hello says"
    entries, _complete = read_entries(0, get_head(), reader=reader_of(alice), limit=10)
    assert sum(b"soon gone" in entry.frame for entry in entries) == 0
    assert sum(b"stays" in entry.frame for entry in entries) == 1


def test_pages_stay_whole_while_items_on_them_are_archived_and_come_back(
    client: Client, alice: User
) -> None:
    rows = [notify(alice, f"n{index}").pk for index in range(9)][::-1]
    number()
    first = get(client, "items", limit=3).json()
    last = first["items"][-1]["id"]
    marks.archive(alice, ids=[last, rows[4]])
    second = get(client, "items", limit=3, before=first["next"]).json()
    assert [item["id"] for item in second["items"]] == [rows[3], rows[5], rows[6]], (
        "its mark is gone, its place is not"
    )
    marks.unarchive(alice, ids=[last, rows[4]])
    answer = get(client, "items", limit=7).json()
    assert [item["id"] for item in answer["items"]] == rows[:7]


def test_the_last_full_page_has_no_next(client: Client, alice: User) -> None:
    rows = [notify(alice, f"n{index}").pk for index in range(4)]
    assert get(client, "items", limit=4).json()["next"] is None
    answer = get(client, "items", limit=3).json()
    last = get(client, "items", limit=3, before=answer["next"]).json()
    assert ([item["id"] for item in last["items"]], last["next"]) == (rows[:1], None)


def test_the_page_and_the_json_show_the_same_items_under_every_filter(
    client: Client, alice: User
) -> None:
    rows = [
        notify(alice, f"n{index}", category="bills & more" if index % 2 else "")
        for index in range(6)
    ]
    broadcast("to all", category="bills & more")
    number()
    marks.mark_read(alice, ids=[rows[0].pk, rows[1].pk])
    marks.archive(alice, ids=[rows[4].pk, rows[5].pk])
    expected = {
        "": 5,
        "unread": 3,
        "archived": 2,
    }
    for state, count in expected.items():
        for category in ("", "bills & more", "none"):
            query = {
                name: value
                for name, value in {"state": state, "category": category}.items()
                if value
            }
            listed = [item["id"] for item in get(client, "items", **query).json()["items"]]
            shown = [
                int(item["data-ssen-item"]) for item in Page(get(client, "list", **query)).items
            ]
            assert listed == shown
            if not category:
                assert len(listed) == count
    page = Page(get(client, "list"))
    (link,) = [link for link in page.links if "category=" in link["href"]]
    assert parse_qs(urlsplit(link["href"]).query) == {"category": ["bills & more"]}


def test_filters_stay_on_the_next_page(client: Client, alice: User) -> None:
    for index in range(25):
        notify(alice, f"n{index}", category="a&b")
    page = Page(get(client, "list", state="unread", category="a&b"))
    (link,) = [link for link in page.links if link.get("rel") == "next"]
    query = parse_qs(urlsplit(link["href"]).query)
    assert (query["state"], query["category"]) == (["unread"], ["a&b"])
    assert len(Page(get(client, "list", **query)).items) == 5


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"before": "x"}, "before"),
        ({"before": "-1"}, "before"),
        ({"before": str(2**63)}, "before"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"state": "gone"}, "state"),
        ({"category": "x" * 101}, "category"),
        ({"category": "\0"}, "category"),
    ],
)
def test_a_bad_query_is_400_and_names_the_field(
    client: Client, query: dict[str, str], field: str
) -> None:
    response = get(client, "items", **query)
    assert response.status_code == 400
    assert response.json()["field"] == field
    assert get(client, "list", **query).status_code == 400


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape"])
def test_text_that_no_database_stores_is_400_whatever_charset_it_came_in(
    client: Client, charset: str
) -> None:
    half = {"utf-7": "+2AA-", "unicode_escape": "\\ud800"}[charset]
    for page in ("items", "list"):
        query = urlencode({"category": half})
        kind = f"text/plain; charset={charset}"
        response = client.get(f"{url(page)}?{query}", CONTENT_TYPE=kind)
        assert response.status_code == 400
    name, kind = "Content-Disposition: form-data; name", "multipart/form-data; boundary=x"
    fields = [
        f'--x\r\n{name}="ids"\r\n\r\n1\r\n',
        f'--x\r\n{name}="next"\r\n\r\n/{half}\r\n--x--\r\n',
    ]
    response = client.generic(
        "POST", url("read"), "".join(fields), content_type=f"{kind}; charset={charset}"
    )
    assert response.status_code == 400


def test_an_empty_query_value_is_none(client: Client, alice: User) -> None:
    notify(alice, "Hello")
    assert (
        len(get(client, "items", before="", limit="", category="", state="").json()["items"]) == 1
    )


@pytest.mark.parametrize("name", PAGES)
def test_queries_do_not_grow_with_the_items(
    client: Client, alice: User, name: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    alice.groups.create(name="editors")

    def fill(count: int) -> None:
        for index in range(count):
            notify(
                alice,
                f"n{index}",
                actor=alice,
                target=alice,
                category=f"c{index}",
                actions=[{"label": "Go", "url": "/"}],
            )
            broadcast(
                f"b{index}", actor=alice, exclude=[User.objects.create_user(f"u{count}-{index}")]
            )

    fill(1)
    number()
    get(client, name)
    # MySQL fetches the keys of the newest rows first.
    with django_assert_max_num_queries(12 if connection.vendor == "mysql" else 10) as few:
        get(client, name)
    fill(9)
    number()
    with django_assert_max_num_queries(len(few)):
        get(client, name)


def test_the_page_works_without_javascript(client: Client, alice: User) -> None:
    first, second = notify(alice, "first"), notify(alice, "second")
    number()
    page = Page(get(client, "list", state="unread"))
    assert [int(item["data-ssen-item"]) for item in page.items] == [second.pk, first.pk]
    response = page.press(client, url("read"), "ids", first.pk)
    assert (response.status_code, response["Location"]) == (302, url("list") + "?state=unread")
    assert [
        int(item["data-ssen-item"]) for item in Page(client.get(response["Location"])).items
    ] == [second.pk]
    page = Page(get(client, "list"))
    page.press(client, url("archive"), "ids", second.pk)
    assert [int(item["data-ssen-item"]) for item in Page(get(client, "list")).items] == [first.pk]
    page = Page(get(client, "list", state="archived"))
    assert [int(item["data-ssen-item"]) for item in page.items] == [second.pk]
    response = page.press(client, url("unarchive"), "ids", second.pk)
    assert response["Location"] == url("list") + "?state=archived"
    assert Page(client.get(response["Location"])).items == []
    assert [int(item["data-ssen-item"]) for item in Page(get(client, "list")).items] == [
        second.pk,
        first.pk,
    ]
    assert not any(
        "unarchive" in button.get("formaction", "") for button in Page(get(client, "list")).buttons
    )
    number()
    notify(alice, "third")
    number()
    Page(get(client, "list")).press(client, url("read"), "up_to")
    assert marks.counts(alice) == (0, 0)


@override_settings(USE_THOUSAND_SEPARATOR=True, LANGUAGE_CODE="de")
def test_numbers_that_are_sent_back_are_never_written_for_humans(
    client: Client, alice: User
) -> None:
    row = notify(alice, "Hello")
    Notification.objects.filter(pk=row.pk).update(id=1_234_567, seq=7_654_321)
    LogHead.objects.update_or_create({"seq": 7_654_321}, pk=1)
    page = Page(get(client, "list"))
    assert page.items[0]["data-ssen-item"] == "1234567"
    page.press(client, url("read"), "ids", 1234567)
    assert marks.unread_count(alice) == 0
    marks.mark_unread(alice, ids=[1234567])
    Page(get(client, "list")).press(client, url("read"), "up_to", 7654321)
    assert marks.unread_count(alice) == 0


def test_the_page_is_private_escaped_and_free_of_inline_code(client: Client, alice: User) -> None:
    notify(
        alice, "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", category='"><script>'
    )
    response = get(client, "list", category='"><script>')
    assert response["Cache-Control"] == "private, no-store"
    assert "Cookie" in response["Vary"]
    text = response.content.decode()
    assert "<script>" not in text
    assert "<img src=x" not in text
    assert "<style" not in text
    assert " style=" not in text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "no notifications"),
        ({"state": "unread"}, "No unread notifications"),
        ({"state": "archived"}, "No archived notifications"),
    ],
)
def test_an_empty_page_says_why(client: Client, query: dict[str, str], words: str) -> None:
    assert words in get(client, "list", **query).content.decode()


def test_a_project_can_put_the_page_into_its_own_base(client: Client, settings: Any) -> None:
    own = "<title>{% block title %}{% endblock %}</title><nav>Our site</nav>{% block content %}{% endblock %}"
    engine: dict[str, Any] = {**settings.TEMPLATES[0], "APP_DIRS": False}
    loaders = [
        ("django.template.loaders.locmem.Loader", {"sse_notify/base.html": own}),
        "django.template.loaders.app_directories.Loader",
    ]
    engine["OPTIONS"] = {**engine["OPTIONS"], "loaders": loaders}
    settings.TEMPLATES = [engine]
    text = get(client, "list").content.decode()
    assert "Our site" in text
    assert "no notifications" in text


def test_pending_rows_are_in_items_and_on_the_page(client: Client, alice: User) -> None:
    """In a ``TestCase`` nothing ever commits, and yet users see what they notified."""
    row = notify(alice, "Hello")
    (item,) = get(client, "items").json()["items"]
    assert (item["id"], item["seq"], item["unread"]) == (row.pk, None, True)
    assert [int(item["data-ssen-item"]) for item in Page(get(client, "list")).items] == [row.pk]
    assert get(client, "state").json()["unread"] == 1
