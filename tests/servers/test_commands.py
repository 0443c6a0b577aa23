"""The commands as operators run them: processes beside a running site, on PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support import GUARD
from tests.support.redis import RedisServer
from tests.support.site import Site
from tests.support.sse import listen

MakeSite = Callable[..., Site]

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def started(site: Site, *args: str) -> AsyncIterator[Process]:
    """Run a command until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "django", *args],
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **site.env},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(site: Site, *args: str, **env: str) -> tuple[int, str]:
    """Run a command to its end; return its status and all that it printed. ``env`` is other than the site's."""
    process = site.start_command(*args, env=env)
    return await asyncio.to_thread(process.wait), process.output()


@pytest.mark.timeout(180)
async def test_the_commands_send_show_and_follow(
    make_site: MakeSite, redis_server: RedisServer
) -> None:
    site = make_site("postgresql", redis=True, env={"EXTRA_MIDDLEWARE": "tests.project.pace.quick"})
    server = site.serve("uvicorn")
    status, link = await run(
        site, "sse_status", "--link", "carol", "--topic", "room.2", "--base-url", server.url
    )
    assert status == 0
    url, command = link.splitlines()
    assert shlex.split(command) == ["curl", "--no-buffer", url]
    async with site.listen(server, "alice") as events, listen(url) as linked:
        for stream in (events, linked):
            await stream.next("hello")
        async with started(
            site, "notify", "For the team", "-", "--group", "team", "--user", "alice", "--json"
        ) as sending:
            out, err = await asyncio.wait_for(sending.communicate(b"Come\nin"), GUARD)
            assert (sending.returncode, err) == (0, b"")
        assert [row["audience"] for row in json.loads(out)["sent"]] == ["group"], "alice is in it"
        assert await run(site, "notify", "Lost", "--everyone", "--user", "zoe") == (
            1,
            "CommandError: --user: no user 'zoe'\n",
        )
        got = (await events.next("notification")).json()
        assert (got["title"], got["body"]) == ("For the team", "Come\nin")

        assert (await run(site, "notify", "All", "--everyone", "--level", "error"))[0] == 0
        assert (await linked.next("notification")).json()["title"] == "All"
        site.send(server, "publish", topic="room.2", data={"price": 5})
        assert (await linked.next("room.2")).json() == {"price": 5}

        found: dict[str, Any] = {"streams": 0}
        while found["streams"] < 2:
            status, said = await run(site, "sse_status", "--json")
            found = json.loads(said)
        assert (status, found["ok"], found["head"], found["pending"]) == (0, True, 2, 0)
        assert found["layer"].endswith("RedisPubSubChannelLayer")
        assert found["users"] == 2
        assert {hub["pid"]: hub["streams"] for hub in found["hubs"]} == {server.pid: 2}

        redis_server.stop()
        status, said = await run(site, "sse_status")
        assert status == 1
        assert "The channel layer does not answer within 1 seconds." in said
        status, said = await run(
            site,
            "sse_status",
            "--json",
            DATABASE_URL="postgres://nobody@127.0.0.1:9/none",
            REDIS_URL="",
        )
        assert status == 1
        problems = json.loads(said)["problems"]  # PostgreSQL would be the layer, too
        assert problems[-1].startswith("The database does not answer: ")
