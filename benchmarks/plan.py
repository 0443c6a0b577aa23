"""What is run: the contestants, and how much of each scenario."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """One server with one set-up."""

    name: str
    """As the tables call it."""
    server: str
    """"uvicorn" or "daphne"."""
    app: str
    """The ASGI application."""
    path: str
    """Of the stream."""
    greeting: bytes
    """The bytes that say that a stream is open."""
    settings: str = ""
    """The Django settings module; empty for a server without Django, users and database."""
    kinds: tuple[str, ...] = ("ephemeral",)
    """What it can publish: "stored" events can be replayed, "ephemeral" ones reach whoever listens."""
    environment: dict[str, str] = field(default_factory=dict)
    """Further variables."""


_OURS = {
    "app": "benchmarks.servers.ours.asgi:application",
    "path": "/notifications/stream/?topic=bench",
    "greeting": b"event: hello\n",
    "settings": "benchmarks.servers.ours.settings",
}
_EVENTSTREAM = {
    "server": "uvicorn",
    "app": "benchmarks.servers.eventstream.asgi:application",
    "path": "/events/",
    "greeting": b"event: stream-open\n",
    "settings": "benchmarks.servers.eventstream.settings",
}

OURS = Contestant(name="sse_notify", server="uvicorn", kinds=("stored", "ephemeral"), **_OURS)  # type: ignore[arg-type]
OURS_ON_DAPHNE = Contestant(
    name="sse_notify, daphne",
    server="daphne",
    kinds=("stored", "ephemeral"),
    **_OURS,  # type: ignore[arg-type]
)
EVENTSTREAM = Contestant(name="django-eventstream", **_EVENTSTREAM)  # type: ignore[arg-type]
EVENTSTREAM_STORED = Contestant(
    name="django-eventstream, storage",
    kinds=("stored",),
    environment={"BENCH_STORED": "1"},
    **_EVENTSTREAM,  # type: ignore[arg-type]
)
STARLETTE = Contestant(
    name="sse-starlette",
    server="uvicorn",
    app="benchmarks.servers.starlette_queues:application",
    path="/stream",
    greeting=b"200 OK\r\n",
)
FLOOR = Contestant(
    name="floor: bare ASGI writes",
    server="uvicorn",
    app="benchmarks.servers.floor:application",
    path="/stream",
    greeting=b": open\n\n",
)

CONTESTANTS = (OURS, OURS_ON_DAPHNE, EVENTSTREAM, EVENTSTREAM_STORED, STARLETTE, FLOOR)
#: Who is tried with ``Plan.many`` streams: django-eventstream would need a thread for each.
OF_MANY = (OURS, OURS_ON_DAPHNE, STARLETTE, FLOOR)


#: Whose idle CPU is measured for longer, for the bar.
OF_IDLE = (OURS, EVENTSTREAM)
#: Who runs a ticker.
OF_TICKER = (OURS, OURS_ON_DAPHNE, STARLETTE, FLOOR)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is run."""

    repeats: int = 3
    """Fresh server processes for each contestant; the tables show medians."""
    streams: int = 1000
    """Open streams of the main scenarios."""
    base: int = 100
    """Streams that are open before memory, threads and handshakes are measured: what is made once is made by then."""
    concurrency: int = 32
    """Handshakes at once: daphne's backlog holds 50."""
    singles: int = 20
    """Single events."""
    spacing: float = 0.15
    """Seconds between single events."""
    bursts: int = 5
    """Bursts, each after the one before has arrived."""
    burst: int = 20
    """Events in a burst: that many calls, one after the other."""
    alone: int = 10
    """Requests to publish with one stream open, to learn what publishing costs by itself."""
    idle_window: float = 2.0
    """Seconds over which the CPU of idle streams is measured."""
    idle_seconds: float = 20.0
    """Seconds of the bar about idle CPU, longer than a heartbeat: each stream sends at least one."""
    quiet: float = 2.0
    """Seconds without any event after which what has not arrived is lost."""
    many: int = 10_000
    """Open streams of the scenario with many."""
    many_singles: int = 10
    """Single events to them."""
    many_spacing: float = 2.0
    """Seconds between those."""
    peer_postgres_streams: int = 80
    """Streams of django-eventstream on PostgreSQL: a connection each, and the server admits 100."""
    notify_calls: int = 1000
    """Calls of ``notify()`` that are timed, one after the other."""
    bulk: int = 10_000
    """Users of one bulk ``notify()``."""
    crowd: int = 100_000
    """Users of the call in chunks, on PostgreSQL."""
    together: int = 8
    """Processes that publish at once, on PostgreSQL with Redis."""
    together_calls: int = 150
    """Calls of each of them in one turn."""
    apart: int = 60
    """Calls of one process, in one turn, that the stream of another hears: through Redis, and through PostgreSQL alone."""
    burst_apart: int = 2000
    """Ephemeral events that it then publishes in a row."""
    watching: int = 500
    """Streams of the ticker; 0 leaves it out."""
    rates: tuple[int, ...] = (20, 100)
    """Updates of the ticker a second, one rate after the other."""
    ticker_seconds: int = 8
    """How long it runs at each rate."""
    storm: int = 600
    """Streams that come back at once; 0 leaves it out."""
    storms: int = 5
    """How often."""
    page_spacing: float = 0.02
    """Seconds between two requests for the page."""
    runs: int = 200
    """Runs at once, on PostgreSQL; 0 leaves them out."""
    words: int = 450
    """Events of each."""
    words_rate: float = 30.0
    """Events of each in a second."""
    server_core: int | None = 0
    client_core: int | None = 1


#: About a minute, for a look after a change: one run of each, fewer streams. Its ratios are rough.
QUICK = Plan(
    repeats=1, streams=300, base=50, singles=10, bursts=3, alone=5, idle_window=1.0, idle_seconds=5.0, quiet=1.5, many=2000, many_singles=5,
    many_spacing=0.5, peer_postgres_streams=50, notify_calls=300, bulk=2000, crowd=10_000,
    ticker_seconds=3, together_calls=50, apart=20, storms=3, runs=50, words=150,
)  # fmt: skip
