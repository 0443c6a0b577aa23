"""A long absence: the replay costs what was missed, holds a page at a time, and stands in nobody's way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.faults.chunks import fields
from tests.faults.ledger import numbered, query
from tests.faults.report import SOAK, Report
from tests.support.servers import Kind
from tests.support.site import STREAM, Site
from tests.support.sse import RawStream

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]

#: The body of every missed notification, in bytes, and how many bytes of memory their replay may take: half of what all come to.
BODY = 8000
GROWTH = 20_000_000

TEMPLATE = "import sse_notify; sse_notify.broadcast('Template', 'x' * {size})"

FILL = """
    INSERT INTO sse_notify_notification ({columns}, seq, audience, topic, created_at)
    SELECT {columns}, head.seq + n, 'everyone',
        CASE WHEN n %% 100 < %s THEN 'everyone' ELSE 'user:' || (1000000 + n %% 5000) END, now()
    FROM (SELECT seq FROM sse_notify_loghead) head, generate_series(1, %s) n,
        (SELECT * FROM sse_notify_notification ORDER BY id LIMIT 1) template
"""


def fill(site: Site, rows: int, *, share: int) -> None:
    """Have the log hold ``rows`` more like the first, ``share`` in a hundred for everyone, the rest for users who are not there."""
    given = ("id", "seq", "audience", "topic", "created_at")
    named = query(
        site,
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'sse_notify_notification'",
    )
    columns = ", ".join(f'"{name}"' for (name,) in named if name not in given)
    query(site, FILL.format(columns=columns), share, rows)
    query(site, "UPDATE sse_notify_loghead SET seq = seq + %s", rows)
    query(site, "VACUUM ANALYZE sse_notify_notification")


def read(stream: RawStream, number: int, each: Callable[[], None] = lambda: None) -> list[int]:
    """Return the ids of the next ``number`` notifications; ``each`` is called at every hundredth."""
    ids: list[int] = []
    while len(ids) < number:
        block = stream.block()
        assert block, f"the stream ended after {len(ids)} notifications"
        name, id, _ = fields(block.strip(b"\n"))
        if name == b"notification" and id is not None:
            ids.append(id)
            if len(ids) % 100 == 0:
                each()
    return ids


@pytest.mark.asyncio
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_a_long_replay_holds_a_page_at_a_time_and_live_events_go_on(
    make_site: MakeSite, kind: Kind, report: Report
) -> None:
    """The client that missed so much stops reading in the middle, while others go on."""
    missed = 50_000 if SOAK else 5_000
    site = make_site("postgresql", env={"SSE_NOTIFY": json.dumps({"REPLAY_LIMIT": 10 * missed})})
    site.script(TEMPLATE.format(size=BODY))
    fill(site, missed - 1, share=100)
    server = site.serve(kind)
    process = psutil.Process(server.pid)

    def open_stream(cursor: int) -> RawStream:
        cookie = "; ".join(
            f"{name}={value}" for name, value in site.cookies(server, "carol").items()
        )
        stream = RawStream(
            f"{server.url}{STREAM}?cursor={cursor}",
            headers={"Cookie": cookie},
            receive_buffer=65536,
        )
        assert stream.head()[0] == 200
        return stream

    async with site.listen(server, "alice") as events:
        await events.next("hello")
        with await asyncio.to_thread(
            open_stream, missed - 500
        ) as stream:  # what every process holds after its first replay
            await asyncio.to_thread(read, stream, 500)
        before = process.memory_info().rss
        held: list[int] = []

        def measure() -> None:
            held.append(process.memory_info().rss - before)

        with await asyncio.to_thread(open_stream, 0) as stream:
            ids = await asyncio.to_thread(read, stream, 300, measure)
            for number in range(50):
                await asyncio.to_thread(site.send, server, "broadcast", title=str(number))
                assert (await events.next("notification")).json()["title"] == str(number)
                measure()
            ids += await asyncio.to_thread(read, stream, missed - len(ids) + 50, measure)
    assert ids == [seq for seq, _ in numbered(site)] == list(range(1, missed + 51))
    if (
        kind != "daphne"
    ):  # which has no backpressure: it takes what it is given, and holds what the client does not read
        assert max(held) < GROWTH
    report(
        f"{missed:,} missed events replayed, the reader stopping in the middle ({kind})",
        clients=2,
        events=len(ids) + 50,
        note=f"{missed * BODY / 1e6:,.0f} MB of text; the server grew by {max(held) / 1e6:.0f} MB",
    )


PLAN = """
import json
from django.contrib.auth.models import User
from sse_notify.log import reader as log_reader
from sse_notify.log.sequence import get_head
from sse_notify.log.reader import read_entries
from tests.support.readers import reader_of

reader, limit = reader_of(User.objects.get(username="alice")), 200
head = get_head()

def first(after):
    if head - after > log_reader.SHORT_REPLAY * limit:
        return log_reader._by_topic(reader, "default", limit, seq__gt=after, seq__lte=head)
    return log_reader.readable(reader, "default").filter(seq__gt=after, seq__lte=head).order_by("seq")[:limit]

def cost(after):
    rows = first(after)
    (found,) = json.loads(rows.explain(format="json", analyze=True, buffers=True))
    return found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"], found["Execution Time"], rows.explain()

shown = first(head - 1_000).explain(analyze=True, buffers=True, costs=False)
pages, blocks, milliseconds, cursor = 0, 0, 0.0, head - 10_000
while cursor < head:
    hit, took, plan = cost(cursor)
    pages, blocks, milliseconds = pages + 1, blocks + hit, milliseconds + took
    entries, cursor = read_entries(cursor, head, reader=reader, limit=limit)
whole = cost(0)
print(json.dumps({"pages": pages, "blocks": blocks, "milliseconds": milliseconds, "first": whole[0], "plan": whole[2], "shown": shown}))
"""


def test_what_was_missed_costs_the_same_in_a_log_a_hundred_times_as_long(
    make_site: MakeSite, report: Report
) -> None:
    """Counted in the blocks that the database touched: the last 1,000 of one's own, and the first page of a long replay."""
    site = make_site("postgresql")
    site.script(TEMPLATE.format(size=100))

    def measured() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(site.script(PLAN).splitlines()[-1])
        assert "Seq Scan on sse_notify_notification" not in found["plan"], found["plan"]
        assert "Index Scan using sse_notify_topic_seq" in found["plan"], found["plan"]
        assert "Sort  (" not in found["plan"], found["plan"]
        return found

    fill(site, 10_000, share=10)
    short = measured()
    rows = 1_000_000 if SOAK else 200_000
    fill(site, rows - 10_000, share=10)
    long = measured()
    print(long["shown"])  # for docs/explanation/plans.md
    assert short["pages"] == long["pages"]
    # A little more for the index, which is a level higher.
    assert long["blocks"] < 1.5 * short["blocks"], (short, long)
    assert long["first"] < 1.5 * short["first"], (short, long)
    report(
        f"1,000 missed at the end of a log of {rows:,} rows",
        events=1000,
        note=f"{long['blocks']:,} blocks touched, {long['milliseconds']:.1f} ms; in a log of 10,000 rows "
        f"{short['blocks']:,} blocks, {short['milliseconds']:.1f} ms",
    )
