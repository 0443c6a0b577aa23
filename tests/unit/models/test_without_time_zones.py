"""Projects with ``USE_TZ = False``, whose moments say nothing of their zone: what browsers get does, as theirs is another one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.template import engines
from django.test import Client

from sse_notify import notify
from sse_notify.bus import signing
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import get_head, number_pending
from sse_notify.models import Heartbeat, Notification
from sse_notify.monitoring import processes

pytestmark = pytest.mark.django_db

#: Long ago, and far from a change of the clocks: five hours behind UTC in New York.
CREATED, EXPIRES = datetime(2026, 1, 5, 12, 0), datetime(2099, 1, 5, 18, 30)
TOLD = {
    "created_at": datetime(2026, 1, 5, 17, 0, tzinfo=UTC),
    "expires_at": datetime(2099, 1, 5, 23, 30, tzinfo=UTC),
}


@pytest.fixture(autouse=True)
def _in_new_york(settings: Any) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"


@pytest.fixture
def row(alice: User) -> Notification:
    row = notify(alice, "One", expires_at=EXPIRES)
    Notification.objects.update(created_at=CREATED)
    return row


def moments(item: dict[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(item[name]) for name in TOLD}


def test_the_stream_and_the_list_say_when_it_was(
    row: Notification, client: Client, alice: User
) -> None:
    list(number_pending())
    ((entry,), _) = read_entries(
        0, get_head(), reader=Reader(topics=(f"user:{alice.pk}",), user_id=alice.pk), limit=10
    )
    fields = dict(line.split(": ", 1) for line in entry.frame.decode().strip().split("\n"))
    assert moments(json.loads(fields["data"])) == TOLD
    (item,) = client.get("/notifications/items/").json()["items"]
    assert moments(item) == TOLD


@pytest.mark.parametrize("where", ["page", "panel"])
def test_an_item_of_the_page_and_of_the_panel_says_when_it_was(
    row: Notification, client: Client, alice: User, where: str
) -> None:
    if where == "page":
        html = client.get("/notifications/").content.decode()
    else:
        html = (
            engines["django"]
            .from_string("{% load sse_notify %}{% sse_notify_widget %}")
            .render({"user": alice})
        )
    assert [
        datetime.fromisoformat(moment) for moment in re.findall(r'datetime="([^"]+)"', html)
    ] == [TOLD["created_at"]]
    assert [
        datetime.fromisoformat(moment) for moment in re.findall(r'data-expires="([^"]+)"', html)
    ] == [TOLD["expires_at"]]


def test_hello_says_what_time_it_is(client: Client) -> None:
    body = b"".join(client.get("/notifications/stream/")).decode()
    found = re.search(r'"server_time":"([^"]+)"', body)
    assert found
    assert abs(datetime.now(UTC) - datetime.fromisoformat(found[1])) < timedelta(minutes=5)


def test_a_moment_that_knows_its_zone_is_as_good(alice: User) -> None:
    row = notify(alice, "One", expires_at=TOLD["expires_at"])
    row.refresh_from_db()
    assert row.expires_at == EXPIRES


def test_reports_of_now_are_read_and_old_ones_are_not() -> None:
    processes.write(None)
    Heartbeat.objects.filter(pk=signing.origin()).update(id="alive")
    (alive,) = processes.read(head=0)
    assert abs(alive.at - datetime.now(UTC)) < timedelta(minutes=1)
    old = timedelta(seconds=processes.MISSED * processes.INTERVAL + 1)
    Heartbeat.objects.update(at=Now() - old)
    assert processes.read(head=0) == []
    processes.write(None)
    assert [row.pk for row in Heartbeat.objects.all()] == [signing.origin()]


def test_the_admin_lists_it_below_its_year(row: Notification) -> None:
    browser = Client()
    browser.force_login(User.objects.create_superuser("carol"))
    page = browser.get("/admin/sse_notify/notification/")
    assert [found.pk for found in page.context["cl"].result_list] == [row.pk]
    assert "created_at__" in page.content.decode()
