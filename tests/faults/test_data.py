"""Values that nobody expects, by the thousand, through a real server and PostgreSQL: each arrives, or is refused at the call."""

from __future__ import annotations

import json
import os
from random import SystemRandom
from typing import Any

import httpx
import pytest

from sse_notify.conf import Settings
from tests.conftest import MakeSite
from tests.faults.report import SOAK, Report
from tests.support import GUARD

VALUES = 5_000 if SOAK else 300
BATCH = 100
#: The seed of the first batch. The long form tries other values each time; a failure prints the seed, to give it again.
SEED = int(os.environ.get("ODD_SEED") or (SystemRandom().randrange(2**32) if SOAK else 0))

SEND = """
import json
from random import Random
from django.contrib.auth.models import User
from sse_notify import notify
from tests.support.odd import odd

dice, alice = Random({seed}), User.objects.get(username="alice")
for number in range({number}):
    try:
        row = notify(alice, "Odd", data=odd(dice))
    except (TypeError, ValueError) as error:
        assert str(error).startswith("data must "), error
    else:
        print(row.pk, json.dumps(row.data))
"""


def read(text: str) -> Any:
    """Return what scripts read, for whom each number is a float."""
    return json.loads(text, parse_int=float)


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(1_200 if SOAK else 120)
async def test_each_odd_value_arrives_as_it_was_sent_and_every_page_shows_it(
    make_site: MakeSite, report: Report
) -> None:
    site = make_site("postgresql")
    server = site.serve("uvicorn")
    largest, arrived = Settings().EVENT_MAX_BYTES, 0
    print(f"The same values again: ODD_SEED={SEED}")
    client = httpx.AsyncClient(
        base_url=server.url,
        cookies=site.cookies(server, "alice"),
        timeout=GUARD,
        trust_env=False,
    )
    async with client, site.listen(server, "alice") as events:
        await events.next("hello")
        for seed in range(SEED, SEED + VALUES // BATCH):
            printed = site.script(SEND.format(seed=seed, number=BATCH)).splitlines()
            sent = {float(pk): data for pk, data in (line.split(" ", 1) for line in printed)}
            told: dict[int, Any] = {}
            for event in await events.take(len(sent), "notification"):
                assert len(event.data.encode()) < largest
                found = read(event.data)
                told[found["id"]] = found["data"]
            assert told == {pk: read(data) for pk, data in sent.items()}
            for path in ("/", "/notifications/"):
                assert (await client.get(path)).status_code == 200
            answer = await client.get("/notifications/items/?limit=100")
            items = {item["id"]: item["data"] for item in read(answer.text)["items"]}
            assert {pk: items[pk] for pk in sent} == told
            arrived += len(sent)
    report(
        f"{VALUES:,} odd values as data",
        clients=1,
        events=arrived,
        note=f"{VALUES - arrived:,} refused at the call; `ODD_SEED={SEED}`",
    )
