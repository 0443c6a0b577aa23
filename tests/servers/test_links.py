"""The client of the documentation, as it stands there, with a signed link and no session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.docs.pages import DOCS, blocks
from tests.support import GUARD
from tests.support.site import Site

LINK = """
from django.contrib.auth.models import User
from sse_notify import signed_stream_url
print(signed_stream_url(User.objects.get(username="alice")))
"""


class Enough(Exception):
    """Ends a client that would go on for ever."""


@pytest.mark.asyncio
async def test_the_documented_client_misses_nothing_over_a_restart(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = [
        block.code
        for block in blocks(DOCS / "how-to" / "clients-without-a-session.md")
        if block.mark == "the client in Python"
    ]
    names: dict[str, Any] = {}
    exec(compile(code, "clients-without-a-session.md", "exec"), names)
    monkeypatch.setattr(
        names["random"], "uniform", lambda low, high: 0.1
    )  # the pause, so that the test does not wait
    server = site.serve()
    loop = asyncio.get_running_loop()
    got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    opened = 0

    def ask_for_link() -> str:
        nonlocal opened
        opened += 1
        return server.url + site.script(LINK).strip()

    def take(notification: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(got.put_nowait, notification)
        if notification["title"] == "Enough":
            raise Enough

    async def heard() -> str:
        title: str = (await got.get())["title"]
        return title

    async def send(title: str) -> None:
        await asyncio.to_thread(site.send, server, "notify", to="alice", title=title)

    client = asyncio.create_task(asyncio.to_thread(names["watch"], ask_for_link, take))
    async with asyncio.timeout(3 * GUARD):
        while site.stats(server)["streams"] < 1:
            await asyncio.sleep(0.05)  # the server says so to nobody
        await send("One")
        assert await heard() == "One"
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(
            site.script,
            "from django.contrib.auth.models import User\nfrom sse_notify import notify\n"
            "notify(User.objects.get(username='alice'), 'While it was away')",
        )
        await asyncio.to_thread(server.start)
        assert await heard() == "While it was away"
        await send("Enough")
        assert await heard() == "Enough"
        with pytest.raises(Enough):
            await client
    assert opened >= 2
