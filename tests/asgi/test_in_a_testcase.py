"""Users' own tests: a ``TestCase`` whose transaction never commits, and Django's own clients."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, TestCase

from sse_notify import notify
from sse_notify.models import Notification
from sse_notify.streaming import registry
from sse_notify.streaming.registry import end_streams
from tests.asgi.client import GUARD, events


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
