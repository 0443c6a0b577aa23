"""Rows that ``notify()`` did not write: by a migration, ``loaddata``, another version or SQL. Whatever they hold, each reader works."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import Client, override_settings
from django.urls import reverse

from sse_notify import notify
from sse_notify.inbox import marks
from sse_notify.log import sequence
from sse_notify.log.announcing import announce
from sse_notify.log.sequence import get_head
from sse_notify.models import Inbox, Notification
from sse_notify.models import notification as model
from sse_notify.sse.format import parse

pytestmark = pytest.mark.django_db

BELL = Template("{% load sse_notify %}{% sse_notify_widget external=True %}")
GOOD = {"label": "Open", "url": "/open/", "method": "POST"}


@pytest.fixture
def staff() -> Client:
    """A browser in which a superuser is signed in."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("carol"))
    return browser


def write(row: Notification, **columns: Any) -> None:
    """Write columns as SQL does, past all that Python checks: text, or the text of JSON."""
    with connection.cursor() as cursor:
        for name, value in columns.items():
            quoted = connection.ops.quote_name(name)
            text = f"UPDATE sse_notify_notification SET {quoted} = %s WHERE id = %s"
            cursor.execute(text, [value, row.pk])


def strict(text: str) -> Any:
    """Parse JSON as browsers do, who know no NaN and no Infinity."""

    def refuse(name: str) -> None:
        raise ValueError(f"no JSON: {name}")

    return json.loads(text, parse_constant=refuse)


def shown(alice: User, client: Client, staff: Client) -> dict[str, Any]:
    """Look at each place that shows alice's two notifications, and return what clients get of the odd one.

    Raises:
        AssertionError: a place fails, or two places say something else.
    """
    answer = client.get(reverse("sse_notify:items"))
    items = strict(answer.content.decode())["items"]
    stream: Any = client.get(reverse("sse_notify:stream"), {"cursor": 0})
    blocks = b"".join(stream.streaming_content)
    for line in blocks.decode().split("\n"):
        if line.startswith("data:"):
            strict(line.removeprefix("data:"))
    events = [event for event in parse(blocks) if event.event == "notification"]
    assert [item["title"] for item in items] == ["Other", "Odd"]
    told = [{name: item[name] for name in events[0].data} for item in reversed(items)]
    assert told == [event.data for event in events]
    page = client.get(reverse("sse_notify:list")).content.decode()
    bell = BELL.render(Context({"user": alice, "request": answer.wsgi_request}))
    for html in (page, bell):
        assert html.encode().count(b"data-ssen-item=") >= 2
        assert "javascript" not in html.lower()
    odd = items[1]["id"]
    log = "admin:sse_notify_notification_"
    assert staff.get(reverse(f"{log}changelist")).status_code == 200
    assert staff.get(reverse(f"{log}change", args=[odd])).status_code == 200
    for action in ("broadcast_selected", "recall_selected"):
        query = {"action": action, "_selected_action": [odd]}
        assert staff.post(reverse(f"{log}changelist"), query).status_code in (200, 302)
    client.post(reverse("sse_notify:read"), {"ids": [odd]})
    found: dict[str, Any] = items[1]
    return found


@pytest.fixture
def odd(alice: User) -> Notification:
    """A notification that a test makes odd; another one follows it."""
    row = notify(alice, "Odd", key="odd", actions=[GOOD])
    notify(alice, "Other", actions=[GOOD])
    announce()
    return row


# --- values that notify() refuses ---

NO_LISTS: list[Any] = [None, "open", 7, 0.5, True, {}, GOOD]
ACTIONS: list[tuple[Any, list[Any]]] = [
    *((whole, []) for whole in NO_LISTS),
    *(([part], []) for part in (None, "open", 7, [GOOD], {}, {"label": "x"}, {"url": "/x/"})),
    *(([{**GOOD, "label": label}], []) for label in (None, 7, "", " ", ["x"], {"x": 1}, True)),
    *(
        ([{**GOOD, "url": url}], [])
        for url in (
            *(None, 7, ["/x/"], {"x": 1}, True, "javascript:alert(1)", " JavaScript:alert(1)"),
            *("java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "\x01javascript:x"),
        )
    ),
    ([None, GOOD, "x", {"label": 7, "url": "/"}], [GOOD]),
    ([{**GOOD, "method": 7}], [{**GOOD, "method": 7}]),
    ([{**GOOD, "method": None, "more": [1]}], [{**GOOD, "method": None, "more": [1]}]),
]


@pytest.mark.parametrize(("stored", "told"), ACTIONS, ids=lambda value: ascii(value)[:40])
def test_of_actions_only_buttons_are_read(
    alice: User, client: Client, staff: Client, odd: Notification, stored: Any, told: Any
) -> None:
    write(odd, actions=json.dumps(stored))
    assert shown(alice, client, staff)["actions"] == told
    for row in (Notification.objects.get(pk=odd.pk), Notification.objects.only("actions").last()):
        assert row is not None
        assert row.actions == told


@pytest.mark.parametrize(
    ("column", "stored", "told"),
    [
        *(
            (column, address, "")
            for column in ("url", "icon")
            for address in ("javascript:alert(1)", "data:text/html,x", "java\tscript:x", "x:y")
        ),
        *((column, "//[::1", "//[::1") for column in ("url", "icon")),
        *(("level", level, "info") for level in ("", "fatal", "<b>", '"', "INFO")),
        *(("category", name, name) for name in ("a\nb", "<b>", "\u2028", "__proto__", " ")),
        ("event", "hello", None),
        ("event", "bye", None),
        ("event", "remove", None),
        *(("actor_name", name, None) for name in ("", "<b>", "a\nb")),
        *(("target_pk", key, None) for key in ("", "x" * 255, "NaN")),
        *(("key", key, key) for key in ("", "a\nb", '"')),
    ],
)
def test_what_cannot_be_in_a_column_is_read_as_its_default(
    alice: User, client: Client, staff: Client, odd: Notification, column: str, stored: str, told: Any
) -> None:  # fmt: skip
    write(odd, **{column: stored})
    found = shown(alice, client, staff)
    assert told is None or found[column] == told


def test_a_row_of_some_columns_is_read_with_these_alone(
    odd: Notification, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        row = Notification.objects.only("title").get(pk=odd.pk)
        assert (row.title, row.get_deferred_fields() >= {"url", "actions", "level"}) == (
            "Odd",
            True,
        )
    odd.url = "javascript:x"
    odd.refresh_from_db(fields=["title"])
    assert odd.url == "javascript:x"


@pytest.mark.parametrize("address", [None, 7, 0.5, True, ["/x/"], {"x": 1}, b"/x/", object()])
def test_an_address_that_is_no_text_leads_nowhere(address: Any) -> None:
    item = {"title": "Hi", "url": address, "icon": address, "actions": [{**GOOD, "url": address}]}
    html = render_to_string("sse_notify/_item.html", {"item": item, "external": True})
    assert "<a " not in html
    assert "<img" not in html


# --- JSON that Python or a stream cannot represent ---

DIGITS = "1" + "0" * 5000
UNREADABLE = [DIGITS, f"-{DIGITS}", f'{{"a": [{DIGITS}]}}']
if connection.vendor != "mysql":  # it stores no more than 31 levels
    UNREADABLE += ["[" * 900 + "]" * 900, '{"a":' * 500 + "1" + "}" * 500]
if connection.vendor == "sqlite":  # PostgreSQL refuses half a character, and has a number for these
    UNREADABLE += ["1e999", "[-1e999]", '["\\ud800"]', '{"\\udc00":1}']
    UNREADABLE += [
        "1" + "0" * 250 + "e99",
        "[1E0309]",
        '{"a":-9999999999e+300}',
        "1" + "0" * 298 + ".0E12",
    ]


@pytest.mark.parametrize("column", ["data", "actions", "progress_state"])
@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:12])
def test_json_that_cannot_be_read_is_read_as_its_text(
    alice: User, client: Client, staff: Client, odd: Notification, text: str, column: str
) -> None:
    write(odd, **{column: text})
    found = shown(alice, client, staff)
    assert (found["actions"], found["progress"]) == ([] if column == "actions" else [GOOD], None)
    assert column != "data" or found["data"].replace(" ", "") == text.replace(" ", "")
    assert not Notification.objects.filter(progress_state__run__id="x").exists()


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:12])
def test_a_row_that_cannot_be_read_is_numbered_and_stops_nobody(
    alice: User, client: Client, staff: Client, text: str
) -> None:
    row = Notification(topic=f"user:{alice.pk}", recipient=alice, title="Odd", key="odd")
    row.save()
    write(row, data=text, actions=text, progress_state=text)
    notify(alice, "Other")
    announce()
    assert shown(alice, client, staff)["seq"] == 1
    notify(alice, "Odd again", key="odd")
    announce()
    assert get_head() >= 3


@pytest.mark.parametrize("text", [*UNREADABLE, "null", "7", '"x"', "{}", "[7]", f"[{DIGITS}]"])
def test_a_change_of_an_inbox_that_cannot_be_read_is_told_as_a_reset(
    alice: User, client: Client, text: str
) -> None:
    row = notify(alice, "Hi")
    marks.mark_read(alice, ids=[row.pk])
    announce()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sse_notify_inbox SET changes = %s", [text])
    stream: Any = client.get(reverse("sse_notify:stream"), {"cursor": 1})
    events = parse(b"".join(stream.streaming_content))
    assert [event.event for event in events] == ["hello", "reset"]
    marks.mark_unread(alice, ids=[row.pk])
    announce()
    assert Inbox.objects.get().changes[0]["set"] == "unread"


@pytest.mark.parametrize(
    "odd",
    [{"ids": [{"a": 1}]}, {"ids": [[1]]}, {"ids": [None, "x", 1.5]}, {"up_to": True}],
    ids=str,
)
@pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "pending"])
def test_a_change_of_what_has_no_such_name_is_told_as_a_reset_and_stops_no_mark(
    alice: User, client: Client, numbered: bool, odd: dict[str, Any]
) -> None:
    row = notify(alice, "Hi")
    marks.mark_read(alice, ids=[row.pk])
    announce()
    columns: Any = {} if numbered else {"state_seq": None}
    said = [{"set": "unread", "client": "", "after": 0, **odd}]
    Inbox.objects.update(changes=said, **columns)
    if not numbered:
        marks.mark_unread(alice, ids=[row.pk])
        announce()
    stream: Any = client.get(reverse("sse_notify:stream"), {"cursor": 1})
    events = parse(b"".join(stream.streaming_content))
    assert [event.event for event in events] == ["hello", "reset"]


# --- columns that the database's driver cannot read ---

TIMES = {
    "postgresql": ["infinity", "0044-03-15 BC", "12026-01-01"],
    "mysql": ["0000-00-00 00:00:00"],
}.get(connection.vendor, ["2026-13-45 00:00:00"])


@pytest.mark.parametrize("moment", TIMES)
@pytest.mark.parametrize("column", ["created_at", "expires_at"])
@pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "pending"])
def test_a_row_with_a_time_that_python_has_not_is_left_out_alone(
    alice: User, client: Client, column: str, moment: str, numbered: bool, caplog: Any
) -> None:
    model._log.cache_clear()
    first, row = notify(alice, "First"), notify(alice, "Odd")
    if numbered:
        announce()
    write(row, **{column: moment})
    for number in range(30):
        notify(alice, f"Other {number}")
    announce()
    stream: Any = client.get(reverse("sse_notify:stream"), {"cursor": 0})
    events = parse(b"".join(stream.streaming_content))
    ids = [event.data["id"] for event in events if event.event == "notification"]
    assert (len(ids), ids[0], row.pk in ids) == (31, first.pk, False)
    assert client.get(reverse("sse_notify:list")).status_code == 200
    items = client.get(reverse("sse_notify:items"), {"limit": 100}).json()["items"]
    assert {item["id"] for item in items} == set(ids)
    is_past = "BC" in moment or moment.startswith("0000")
    is_asked_for = not (numbered and column == "expires_at" and is_past)
    assert caplog.text.count(f"Notification {row.pk} cannot be read") == is_asked_for
    row.refresh_from_db(fields=["seq"])
    assert row.seq == 2 if numbered else row.seq


@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Tokyo"])
@pytest.mark.parametrize("moment", ["0001-01-01 00:00:00", "9999-12-31 23:59:59"])
def test_a_time_that_has_no_year_in_another_time_zone_breaks_no_page(
    alice: User, client: Client, staff: Client, moment: str, zone: str
) -> None:
    """The list failed for its user, where the site's time zone moved it out of what Python has."""
    good, row = notify(alice, "Good"), notify(alice, "Odd")
    announce()
    write(row, created_at=moment)
    with override_settings(TIME_ZONE=zone):
        for name in ("list", "items", "state"):
            response = client.get(reverse(f"sse_notify:{name}"))
            assert response.status_code == 200, name
        items = client.get(reverse("sse_notify:items")).json()["items"]
        assert [item["id"] for item in items] == [good.pk]
        for name in ("change", "recall", "history", "delete"):
            address = reverse(f"admin:sse_notify_notification_{name}", args=[row.pk])
            assert staff.get(address).status_code in (200, 302, 404), name
        if connection.vendor != "mysql":  # the tests' server knows no such zone
            address = reverse("admin:sse_notify_notification_changelist")
            assert staff.get(address).status_code == 200


def test_any_number_of_rows_that_cannot_be_read_stop_no_numbering(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "SEQUENCE_BATCH", 3)
    for row in [notify(alice, "Odd") for _ in range(7)]:
        write(row, created_at=TIMES[0])
    notify(alice, "Good")
    announce()
    seqs = Notification.objects.order_by("pk").values_list("seq", flat=True)
    assert (list(seqs), get_head()) == (list(range(1, 9)), 8)


# --- SQLite stores anything in any column ---

sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases have types")
ODD = {"no UTF-8": "CAST(x'ff41' AS TEXT)", "bytes": "x'ff41'", "float": "1e999", "text": "'x'"}
TEXTS = ["title", "body", "url", "icon", "category", "key", "event", "level", "actor_name"]
NUMBERS = ["count", "silent", "created_at", "expires_at", "recalled_at"]


@sqlite
@pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "pending"])
@pytest.mark.parametrize("sql", ODD.values(), ids=ODD)
def test_a_value_of_another_type_stops_neither_the_log_nor_a_page(
    alice: User, client: Client, staff: Client, sql: str, numbered: bool
) -> None:
    """Each column in turn holds it, in a row of its own."""
    rows = [notify(alice, name, category="news") for name in (*TEXTS, *NUMBERS)]
    if numbered:
        announce()
    with connection.cursor() as cursor:
        for row in rows:
            text = f"UPDATE sse_notify_notification SET {row.title} = {sql} WHERE id = %s"
            cursor.execute(text, [row.pk])
    notify(alice, "Other", category="other")
    announce()
    assert get_head() == len(rows) + 1
    stream: Any = client.get(reverse("sse_notify:stream"), {"cursor": 0})
    events = [event.data for event in parse(b"".join(stream.streaming_content))]
    items = client.get(reverse("sse_notify:items"), {"limit": 100}).json()["items"]
    assert events[-1]["title"] == items[0]["title"] == "Other"
    assert client.get(reverse("sse_notify:list")).status_code == 200
    assert client.get(reverse("sse_notify:preferences")).status_code == 200
    log = reverse("admin:sse_notify_notification_changelist")
    assert staff.get(log).status_code == 200
    assert staff.get(reverse("admin:sse_notify_notification_broadcast")).status_code == 200


@sqlite
def test_bytes_are_read_as_their_text(alice: User, client: Client, odd: Notification) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sse_notify_notification SET body = x'4141ff', url = x'2f61'")
    item = client.get(reverse("sse_notify:items")).json()["items"][0]
    assert (item["body"], item["url"]) == ("AA\ufffd", "/a")


@sqlite
@pytest.mark.parametrize("stored", [b'"\xff"', b'"\xed\xa0\x80"', b"[1e999]", b'{"a":[-1e999]}'])
@pytest.mark.parametrize("column", ["data", "actions", "progress_state"])
def test_bytes_that_are_no_json_of_ours_are_read_as_their_text(
    alice: User, client: Client, staff: Client, odd: Notification, stored: bytes, column: str
) -> None:
    try:
        write(odd, **{column: stored})
    except IntegrityError:
        pytest.skip("this SQLite takes no such bytes")
    found = shown(alice, client, staff)
    assert (found["actions"], found["progress"]) == ([] if column == "actions" else [GOOD], None)
    assert column != "data" or found["data"] == stored.decode(errors="replace")


@sqlite
@pytest.mark.parametrize("sql", ODD.values(), ids=ODD)
def test_a_number_of_another_type_is_numbered_again(alice: User, sql: str) -> None:
    for title in ("Odd", "Other"):
        row = notify(alice, title)
        marks.mark_read(alice, ids=[row.pk])
    announce()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE sse_notify_notification SET seq = {sql} WHERE title = 'Odd'")
        cursor.execute(f"UPDATE sse_notify_inbox SET state_seq = {sql}")
    notify(alice, "Next")
    announce()
    found = dict(Notification.objects.values_list("title", "seq"))
    inbox = Inbox.objects.get()
    head = get_head()
    assert sorted([found["Odd"] or 0, found["Next"] or 0, inbox.state_seq or 0]) == [
        head - 2,
        head - 1,
        head,
    ]
    assert found["Other"] == 2


@pytest.mark.parametrize("moment", TIMES)
@pytest.mark.parametrize("column", ["created_at", "expires_at", "recalled_at"])
def test_the_admin_lists_all_other_rows(
    staff: Client, odd: Notification, column: str, moment: str
) -> None:
    if (column, connection.vendor) == ("created_at", "sqlite"):
        moment = "no time"  # Django's own list of dates fails for text that looks like a time
    write(odd, **{column: moment})
    page = staff.get(reverse("admin:sse_notify_notification_changelist"))
    assert [row.title for row in page.context["cl"].result_list] == ["Other"]
