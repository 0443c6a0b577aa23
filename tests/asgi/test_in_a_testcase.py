"""Users' own tests: a ``TestCase`` whose transaction never commits, and Django's own clients."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import AsyncClient, TestCase, override_settings
from django.urls import include, path

from sse_notify import EventStreamResponse, notify
from sse_notify.models import Notification
from sse_notify.streaming import registry
from sse_notify.streaming.registry import end_streams
from tests.asgi.client import GUARD, events


def names(request: HttpRequest) -> EventStreamResponse:
    rows = User.objects.order_by("pk").values_list("username", flat=True)
    if "async" in request.GET:
        return EventStreamResponse(aiter(rows))
    return EventStreamResponse(iter(rows.iterator()))


urlpatterns = [path("names/", names), path("", include("tests.urls"))]


@override_settings(ROOT_URLCONF=__name__)
class InATestCase(TestCase):
    """Inside a transaction, on SQLite and PostgreSQL alike."""

    user: User

    @classmethod
    def setUpTestData(cls) -> None:
        cls.user = User.objects.create_user("alice")

    def test_what_was_notified_is_there_without_a_commit(self) -> None:
        row = notify(self.user, "Hi")
        assert list(Notification.objects.visible_to(self.user)) == [row]
        assert Notification.objects.counts(self.user) == (1, 1)

    def test_the_events_of_a_view_are_those_of_the_tests_transaction(self) -> None:
        for query in ("sync", "async"):
            self.assertContains(self.client.get(f"/names/?{query}"), "data: alice\n\n", count=1)
            response: Any = self.client.get(f"/names/?{query}")
            assert response.getvalue() == b"data: alice\n\n"

    async def test_and_with_the_asynchronous_client(self) -> None:
        for query in ("sync", "async"):
            response: Any = await self.async_client.get(f"/names/?{query}")
            self.assertContains(response, "data: alice\n\n", count=1)
            response = await self.async_client.get(f"/names/?{query}")
            assert [part async for part in response] == [b"data: alice\n\n"]

    async def test_the_stream_sees_the_rows_of_the_tests_transaction(self) -> None:
        def send(title: str) -> None:
            with self.captureOnCommitCallbacks(execute=True):
                notify(self.user, title)

        await sync_to_async(send)("Missed")
        client = AsyncClient()
        await client.aforce_login(self.user)
        response: Any = await client.get("/notifications/stream/?cursor=0")
        assert response.status_code == 200
        body, chunks = b"", aiter(response.streaming_content)
        async with asyncio.timeout(GUARD):
            while b"Missed" not in body:
                body += await anext(chunks)
            await sync_to_async(send)("Live")
            while b"Live" not in body:
                body += await anext(chunks)
            ending = asyncio.create_task(end_streams(registry.current(), 0))
            async for _ in chunks:
                pass
            await ending
        assert [data["title"] for name, data, _ in events(body) if name == "notification"] == [
            "Missed",
            "Live",
        ]
