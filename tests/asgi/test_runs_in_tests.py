"""Runs in a project's own tests: in the transaction of a TestCase they are driven to their ends in place; and under WSGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import TestCase, override_settings
from django.urls import path

from sse_notify.contrib.runs import Run, RunEnded
from sse_notify.contrib.runs.models import Part


async def words() -> AsyncIterator[Any]:
    for number in range(70):
        yield {"word": f"{number} "}


def words_in_sync() -> Iterator[Any]:
    yield f"{User.objects.count()} user"
    yield "two"


def reply(request: HttpRequest) -> HttpResponseBase:
    if request.method == "POST":
        return Run.start(words(), user=request.user, key="chat:1").response()
    return Run.response_for(request, "chat:1")


async def areply(request: HttpRequest) -> HttpResponseBase:
    run: Run = await Run.astart(words(), user=await request.auser(), key="chat:1")
    return run.response()


urlpatterns = [path("reply/", reply), path("areply/", areply)]


def write_for_ever(run: Run) -> None:
    while True:
        run.write("more")


@override_settings(ROOT_URLCONF=__name__)
class InATestCase(TestCase):
    """What a project's test sees at once, without a commit."""

    def setUp(self) -> None:
        self.alice = User.objects.create_user("alice")
        self.client.force_login(self.alice)
        self.async_client.force_login(self.alice)

    def test_a_view_starts_reads_and_has_nothing_more(self) -> None:
        response = self.client.post("/reply/")
        body = response.getvalue()
        assert body.count(b"data: ") == 71
        run = Run.objects.get()
        assert run.state == "done"
        assert run.text("word").split() == [str(number) for number in range(70)]
        response = self.client.get("/reply/", headers={"Last-Event-ID": f"{run.pk}-69"})
        body = b"".join(response.streaming_content)  # type: ignore[attr-defined]
        assert body.count(b"data: ") == 2
        assert self.client.get(f"/reply/?after={run.pk}-71").status_code == 204

    async def test_an_async_view_does_the_same(self) -> None:
        response: Any = await self.async_client.post("/areply/")
        parts = [part async for part in response.streaming_content]
        assert b"".join(parts).count(b"data: ") == 71

    def test_a_sync_iterator_sees_the_rows_of_the_test(self) -> None:
        run = Run.start(words_in_sync(), user=self.alice, key="k")
        assert (run.state, run.text()) == ("done", "1 usertwo")
        assert not Run.objects.active_for(self.alice)

    def test_a_worker_writes_and_is_stopped(self) -> None:
        with Run.open(user=self.alice, key="k") as run:
            for number in range(40):
                run.write(f"{number} ")
            assert [each.pk for each in Run.objects.active_for(self.alice)] == [run.pk]
            assert Run.stop(self.alice, "k")
            with pytest.raises(RunEnded):
                write_for_ever(run)
        run.refresh_from_db()
        assert run.state == "stopped"
        assert Part.objects.count() == 2

    async def test_an_async_worker_fails(self) -> None:
        with self.assertRaises(ValueError):  # noqa: PT027  (it is a TestCase)
            async with Run.open(user=self.alice, key="k") as run:
                await run.awrite("one")
                raise ValueError("no")
        await run.arefresh_from_db()
        assert (run.state, await run.atext()) == ("failed", "one")
        assert not await sync_to_async(Run.stop)(self.alice, "k")
