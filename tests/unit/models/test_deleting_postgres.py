"""What it costs a PostgreSQL to delete a user whose notifications are few among those of others."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sse_notify import notify
from sse_notify.models import Notification

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]

OTHERS = 20_000


def test_a_user_is_deleted_without_a_look_at_the_notifications_of_others(
    alice: User, bob: User
) -> None:
    """Django looks for the user's own, and so does PostgreSQL itself, by the same condition, for each user that it deletes."""
    Notification.objects.bulk_create(
        (
            Notification(seq=n, topic=f"user:{alice.pk}", recipient=alice, title="n")
            for n in range(1, OTHERS + 1)
        ),
        batch_size=5000,
    )
    notify(bob, "One")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as captured:
        bob.delete()
    assert Notification.objects.count() == OTHERS
    asked = [
        query["sql"]
        for query in captured.captured_queries
        if '"sse_notify_notification"."recipient_id" IN' in query["sql"]
    ]
    assert asked
    for sql in asked:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor)
        assert "Seq Scan on sse_notify_notification" not in plan, plan
        assert "sse_notify_recipient" in plan, plan
