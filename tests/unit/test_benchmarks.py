"""The benchmarks' own arithmetic: a number that is printed beside a competitor's has to be right."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bars import judge
from benchmarks.compare import render as render_ratios
from benchmarks.plan import EVENTSTREAM, OURS, STARLETTE
from benchmarks.report import render, render_storms, render_ticker
from benchmarks.results import Entry, Results, median
from benchmarks.scenarios import Delivered, Measured, Opened, Ticked, percentile, summarise
from benchmarks.servers import ticking
from benchmarks.storms import Stormed, weather
from benchmarks.transcript import Arrival, BadResponse, Transcript

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


RESPONSES = {
    "LF, an event that is not measured, two events in a chunk": HEAD
    + chunk(b"event: hello\ndata: {}\n\n")
    + chunk(
        b'event: notification\ndata: {"n": 0, "t": 100}\n\ndata: {"a":1,"data":{"n":1,"t":200}}\nid: 7\n\n'
    )
    + chunk(b'data: {"n": 2, "t": 300}\n\n'),
    "CRLF, an event over two chunks, the cut between CR and LF": HEAD
    + chunk(b'data: {"n": 0, "t": 100}\r\n\r')
    + chunk(b'\ndata: {"n": 1, ')
    + chunk(b'"t": 200}\r\n\r\n: ping\r\n\r\ndata: {"n": 2, "t": 300}\r\n\r\n'),
}


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES.keys())
@given(data=st.data())
def test_a_transcript_reads_the_same_however_the_bytes_were_cut(
    response: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(response)))))
    pieces = [
        response[start:end] for start, end in zip([0, *cuts], [*cuts, len(response)], strict=True)
    ]
    transcript = Transcript()
    arrivals = [arrival for piece in pieces for arrival in transcript.feed(1000, piece)]
    assert arrivals == [Arrival(0, 900), Arrival(1, 800), Arrival(2, 700)]


def test_an_event_arrives_with_its_last_byte() -> None:
    transcript = Transcript()
    whole = HEAD + chunk(b'data: {"n": 0, "t": 100}\n\n')
    assert list(transcript.feed(500, whole[:-3])) == []
    assert list(transcript.feed(900, whole[-3:])) == [Arrival(0, 800)]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_stream_is_refused(head: bytes) -> None:
    with pytest.raises(BadResponse):
        list(Transcript().feed(0, head))


def test_lost_and_duplicated_events_are_counted_for_each_stream() -> None:
    streams = [
        [Arrival(0, 1_000_000), Arrival(1, 2_000_000), Arrival(2, 3_000_000)],
        [
            Arrival(0, 1_000_000),
            Arrival(0, 1_500_000),
            Arrival(2, 9_000_000),
        ],  # 1 is lost, 0 came twice
    ]
    found = summarise([Measured(3, streams, cpu=50_000, closed=0)], publishing=10_000)
    assert (found.expected, found.delivered, found.lost, found.duplicated) == (6, 5, 1, 1)
    assert found.cpu_us == pytest.approx(10)
    assert found.fanout_us == pytest.approx((50 - 3 * 10) / 5)
    assert (found.p50_ms, found.p99_ms) == (2, 9)


def test_nothing_delivered_divides_by_nothing() -> None:
    found = summarise([Measured(3, [[], []], cpu=50_000, closed=2)], publishing=0)
    assert (found.delivered, found.lost, found.closed) == (0, 6, 2)


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([0.5, 0.99]))
def test_a_percentile_is_a_value_that_occurs(values: list[int], share: float) -> None:
    values.sort()
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_a_visit_belongs_to_the_storm_in_which_it_began() -> None:
    calm = [(float(second), 0.004, True) for second in range(100)]
    storm = [(200.5, 0.010, True), (200.9, 0.600, False), (300.2, 0.020, True)]
    found = weather(600, [(200.0, 201.0), (300.0, 302.0)], [*calm, *storm])
    assert (found.pages, found.failed) == (3, 1)
    assert found.handshakes_per_second == pytest.approx(400)
    assert (found.calm_p95_ms, found.p50_ms, found.p95_ms) == pytest.approx((4, 20, 600))


@pytest.mark.parametrize(
    ("p95", "failed", "met"), [(12.0, 0, True), (12.1, 0, False), (5.0, 1, False)]
)
def test_a_storm_may_slow_a_page_and_not_break_it(p95: float, failed: int, met: bool) -> None:
    stormed = Stormed(
        streams=600,
        handshakes_per_second=900.0,
        calm_p95_ms=4.0,
        p50_ms=4.5,
        p95_ms=p95,
        pages=100,
        failed=failed,
    )
    found = Results(machine={}, load=0.0, plan={}, storms={"SQLite": [stormed]})
    (bar,) = judge(found)
    assert bar.met is met
    assert "SQLite" in render_storms(found)


def delivered(*, fanout_us: float = 4.0, lost: int = 0) -> Delivered:
    return Delivered(
        expected=100,
        delivered=100 - lost,
        lost=lost,
        duplicated=0,
        cpu_us=9.0,
        fanout_us=fanout_us,
        p50_ms=5.0,
        p99_ms=8.0,
        closed=0,
    )


def opened(
    *, handshakes: float = 1200.0, threads: int = 10, connections: int | None = 0, kib: float = 14.0
) -> Opened:
    return Opened(
        streams=1000,
        handshakes_per_second=handshakes,
        cpu_ms_per_handshake=1.0,
        threads_before=10,
        threads=threads,
        connections_before=connections and 0,
        connections=connections,
        kib_per_stream=kib,
        idle_cpu_percent=0.4,
    )


def test_a_median_keeps_the_worst_of_what_must_not_happen() -> None:
    assert median([delivered(fanout_us=us) for us in (3.0, 90.0, 4.0)]).fanout_us == 4.0
    assert median([delivered(), delivered(), delivered(lost=2)]).lost == 2
    assert median([delivered(), delivered(), delivered(lost=2)]).delivered == 98
    assert median([opened(), opened(threads=11), opened()]).threads == 11
    assert median([opened(connections=None)]).connections is None


def results(ours: Opened, served: Delivered, peer: Delivered, idle: float = 0.5) -> Results:
    def entry(name: str, kinds: tuple[str, ...], one: Opened, of: Delivered) -> Entry:
        return Entry(
            name=name,
            opened=[one],
            singles={kind: [of] for kind in kinds},
            bursts={kind: [of] for kind in kinds},
        )

    eventstream = opened(handshakes=300, threads=1000, connections=1000)
    return Results(
        machine={"cores": "2"},
        load=0.0,
        plan={"streams": 1000, "spacing": 0.15, "burst": 20, "many": 10_000, "bulk": 10_000},
        streams={
            OURS.name: dataclasses.replace(entry(OURS.name, OURS.kinds, ours, served), idle=[idle]),
            STARLETTE.name: entry(STARLETTE.name, STARLETTE.kinds, opened(connections=None), peer),
            EVENTSTREAM.name: entry(EVENTSTREAM.name, EVENTSTREAM.kinds, eventstream, peer),
        },
        many={OURS.name: Entry(name=OURS.name, opened=[ours], singles={"stored": [served]})},
        postgres={OURS.name: Entry(name=OURS.name, opened=[ours], idle=[idle])},
    )


def test_all_bars_are_met_at_their_edges() -> None:
    edge = results(
        opened(handshakes=1200, kib=16),
        delivered(fanout_us=4),
        delivered(fanout_us=16),
        idle=1.0,
    )
    assert [bar.promise for bar in judge(edge) if not bar.met] == []


@pytest.mark.parametrize(
    ("ours", "served", "missed"),
    [
        (opened(threads=11), delivered(), "threads"),
        (opened(connections=1), delivered(), "connections"),
        (opened(kib=16.1), delivered(), "KB"),
        (opened(handshakes=1199), delivered(), "handshakes"),
        (opened(), delivered(lost=1), "lost"),
        (opened(), delivered(fanout_us=4.1), "django-eventstream's: bursts"),
        (opened(), delivered(fanout_us=8.9), "sse-starlette's: singles"),
        (opened(), dataclasses.replace(delivered(), closed=1), "served"),
    ],
)
def test_a_bar_is_missed_by_the_least_bit(ours: Opened, served: Delivered, missed: str) -> None:
    assert any(
        missed in bar.promise
        for bar in judge(results(ours, served, delivered(fanout_us=16)))
        if not bar.met
    )


def test_idle_streams_are_judged_on_each_database() -> None:
    found = results(opened(), delivered(), delivered(fanout_us=16), idle=1.01)
    missed = [bar.promise for bar in judge(found) if not bar.met]
    assert [promise.rpartition(", ")[2] for promise in missed] == ["SQLite", "PostgreSQL"]
    assert "1.0 |" in render(found).partition("leaving them idle")[2].partition("###")[0]


TOGETHER = {
    "publishers": 8.0,
    "inserts_per_second": 1000.0,
    "notify_per_second": 670.0,
    "p50_ms": 50.0,
    "p99_ms": 250.0,
    "expected": 3600.0,
    "lost": 0.0,
    "duplicated": 0.0,
}


def test_publishers_bars_are_met_at_their_edges_and_shown() -> None:
    found = results(opened(), delivered(), delivered(fanout_us=16))
    found.together = TOGETHER
    assert [bar.met for bar in judge(found) if "8 processes" in bar.promise] == [True, True]
    table = render(found).partition("### 8 processes that publish at once")[2]
    assert " 1,000 | " in table
    assert " 0.67 " in table


@pytest.mark.parametrize(
    ("measured", "missed"),
    [
        ({"notify_per_second": 669.0}, "bare INSERTs"),
        ({"p99_ms": 251.0}, "250 ms"),
        ({"lost": 1.0}, "0 lost"),
        ({"duplicated": 1.0}, "0 duplicated"),
    ],
)
def test_a_publishers_bar_is_missed_by_the_least_bit(
    measured: dict[str, float], missed: str
) -> None:
    found = results(opened(), delivered(), delivered(fanout_us=16))
    found.together = {**TOGETHER, **measured}
    (bar,) = (bar for bar in judge(found) if not bar.met)
    assert missed in bar.promise


APART = {"p50_ms": 10.0, "p95_ms": 20.0, "burst": 2000.0, "lost": 0.0}


@pytest.mark.parametrize(
    ("redis", "alone", "missed"),
    [
        ({}, {"p95_ms": 70.0}, []),
        ({}, {"p95_ms": 70.1}, ["PostgreSQL alone carries"]),
        ({"lost": 1.0}, {"lost": 1.0}, ["all of 2,000", "all of 2,000"]),
    ],
)
def test_one_process_heard_in_another_is_judged_and_shown(
    redis: dict[str, float], alone: dict[str, float], missed: list[str]
) -> None:
    found = results(opened(), delivered(), delivered(fanout_us=16))
    found.apart = {"Redis": {**APART, **redis}, "PostgreSQL alone": {**APART, **alone}}
    bars = [bar.promise for bar in judge(found) if not bar.met]
    assert all(map(str.startswith, bars, missed))
    assert len(bars) == len(missed)
    assert "| PostgreSQL alone |" in render(found)


def ticked(cores: float = 0.5, *, rate: int = 100, lost: int = 0) -> Ticked:
    return Ticked(
        rate=rate,
        streams=500,
        cores=cores,
        expected=1000,
        delivered=1000 - lost,
        lost=lost,
        duplicated=0,
        p50_ms=5.0,
        p99_ms=8.0,
        closed=0,
    )


@pytest.mark.parametrize(
    ("ours", "met"), [(ticked(0.99), True), (ticked(1.0), False), (ticked(0.5, lost=1), False)]
)
def test_the_ticker_is_judged_at_its_highest_rate(ours: Ticked, met: bool) -> None:
    found = Results(machine={}, load=0.0, plan={"watching": 500, "ticker_seconds": 8})
    found.ticker[OURS.name] = Entry(
        name=OURS.name, ticker={20: [ticked(0.1, rate=20)] * 3, 100: [ours] * 3}
    )
    found.ticker[STARLETTE.name] = Entry(
        name=STARLETTE.name, ticker={20: [ticked(0.3, rate=20)], 100: [ticked(3.0)]}
    )
    (bar,) = judge(found)
    assert bar.met is met
    text = render_ticker(found)
    assert "| sse-starlette |               20 |" in text
    assert f" {3.0 / ours.cores:.1f} |" in text
    json.dumps(found.as_json())


@pytest.mark.asyncio
async def test_a_ticker_calls_for_each_number_and_makes_up_for_what_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, slept, numbers = 0.0, [], []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(round(seconds, 3))
        now += seconds

    def publish(number: int) -> None:
        nonlocal now
        numbers.append(number)
        now += 0.25 if number == 1 else 0.0

    loop = SimpleNamespace(time=lambda: now)
    monkeypatch.setattr(
        "benchmarks.servers.ticking.asyncio",
        SimpleNamespace(sleep=sleep, get_running_loop=lambda: loop),
    )
    await ticking.tick(publish, rate=10, count=5)
    assert numbers == [0, 1, 2, 3, 4]
    assert slept == [0, 0.1, 0, 0, 0.05]


def test_only_what_was_run_is_judged() -> None:
    found = results(opened(), delivered(), delivered(fanout_us=16))
    del found.streams[STARLETTE.name]
    assert not any("starlette" in bar.promise for bar in judge(found))
    del found.streams[OURS.name]
    assert list(judge(found)) == []


def test_the_report_shows_every_contestant_and_says_when_the_machine_was_busy() -> None:
    found = results(opened(), delivered(), delivered(fanout_us=16))
    text = render(found)
    assert text.count(f"| {EVENTSTREAM.name} ") == 3  # singles, bursts, opened
    assert "not quiet" not in text
    found.load = 0.5
    assert "0.50 cores were busy" in render(found)
    json.dumps(found.as_json())


COST = {"insert_us": 200.0, "notify_us": 300.0, "peer_us": 300.0}
CROWD = {
    "crowd": 50_000.0,
    "crowd_seconds": 4.0,
    "crowd_sent_seconds": 4.5,
    "crowd_mb": 20.0,
    "other_ms": 1000.0,
}


def test_callers_bars_are_met_at_their_edges_and_shown() -> None:
    found = results(opened(), delivered(), delivered(fanout_us=16))
    found.callers = {"SQLite": COST, "PostgreSQL": {**COST, **CROWD}}
    bars = [bar for bar in judge(found) if "notif" in bar.promise]
    assert [bar.met for bar in bars] == [True] * 6
    assert "8.0 s" in bars[4].measured, "as of 100,000 users"
    text = render(found)
    assert "1.50" in text.partition("| SQLite ")[2].splitlines()[0]
    assert text.count("| PostgreSQL ") == 2
    json.dumps(found.as_json())


@pytest.mark.parametrize(
    ("cost", "missed"),
    [
        ({"notify_us": 301.0}, "a bare INSERT"),
        ({"peer_us": 272.0}, "notify.send()"),
        ({"crowd_seconds": 4.1}, "100,000 users"),
        ({"crowd_mb": 20.1}, "100,000 users"),
        ({"other_ms": 1001.0}, "nobody else"),
    ],
)
def test_a_callers_bar_is_missed_by_the_least_bit(cost: dict[str, float], missed: str) -> None:
    found = results(opened(), delivered(), delivered(fanout_us=16))
    found.callers = {"PostgreSQL": {**COST, **CROWD, **cost}}
    (bar,) = (bar for bar in judge(found) if "notif" in bar.promise and not bar.met)
    assert missed in bar.promise


def test_a_comparison_says_what_is_worse_whether_more_or_less_is_better() -> None:
    table = render_ratios(
        "v1",
        {
            "CPU of a delivery, stored, single": [1.0, 1.3, 1.2],
            "memory of a stream": [1.0, 1.1],
            "notify() a second, one by one": [0.9, 0.8, 0.7],
            "handshakes a second": [1.9],
        },
    )
    assert "beside v1" in table
    rows = {line.split(" | ")[0]: line for line in table.splitlines() if line.startswith("| ")}
    assert (
        "| 1.20 | 1.00 | 1.30 | more than 15 % worse" in rows["| CPU of a delivery, stored, single"]
    )
    assert "worse" in rows["| notify() a second, one by one"]
    assert "worse" not in rows["| memory of a stream"] + rows["| handshakes a second"]
