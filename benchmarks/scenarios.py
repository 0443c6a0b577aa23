"""The scenarios: what is done to one server, and what is noted."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.client import Swarm
from benchmarks.server import ServerProcess, running

if TYPE_CHECKING:
    from benchmarks.plan import Contestant, Plan
    from benchmarks.transcript import Arrival

#: Seconds without any event after which a single stream will get no more.
ALONE_QUIET = 0.5
LOOKS, LOOK_SECONDS = 5, 0.13  #: Counts of threads and connections; the seconds between them.

#: Times that the base of streams comes and goes before anything is measured.
WARM_UPS = 5

#: Nanoseconds of CPU that publishing one event costs with one stream open, by kind and events in one request.
Publishing = dict[tuple[str, int], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What opening streams and leaving them alone costs."""

    streams: int
    handshakes_per_second: float
    cpu_ms_per_handshake: float
    threads_before: int
    """With the base number of streams."""
    threads: int
    """With all."""
    connections_before: int | None
    """Open database connections with the base number of streams idle; ``None`` where there is no database."""
    connections: int | None
    """With all."""
    kib_per_stream: float
    """Resident memory that each stream above the base adds."""
    idle_cpu_percent: float
    """Of one core, with all streams idle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """What became of events that were published."""

    expected: int
    delivered: int
    lost: int
    duplicated: int
    cpu_us: float
    """The server's CPU time for each delivery, everything included, in microseconds."""
    fanout_us: float
    """The same without what publishing costs when only one stream is open."""
    p50_ms: float
    p99_ms: float
    closed: int
    """Streams that the server ended meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticked:
    """What a ticker at one rate cost."""

    rate: int
    """Updates a second."""
    streams: int
    cores: float
    """The server's CPU seconds for each second of the ticker, everything included."""
    expected: int
    delivered: int
    lost: int
    duplicated: int
    p50_ms: float
    p99_ms: float
    closed: int
    """Streams that the server ended meanwhile."""


class Session:
    """One server process with its streams."""

    def __init__(self, server: ServerProcess, swarm: Swarm, plan: Plan) -> None:
        self.server = server
        self.swarm = swarm
        self.plan = plan

    async def publishing(self, kinds: Sequence[str]) -> Publishing:
        """Open one stream, publish to it, and return what publishing itself costs."""
        await self.swarm.open_until(1, concurrency=1)
        plan = self.plan
        costs: Publishing = {}
        for kind in kinds:
            await self.warm_up(kind)
            # As far apart as those that are measured: a processor that was idle meanwhile has colder caches, and needs longer.
            single = await self._spaced(kind, plan.alone, plan.spacing, ALONE_QUIET)
            costs[kind, 1] = single.cpu / plan.alone
            bursts = await self._take_turns(kind, plan.burst, plan.alone, ALONE_QUIET)
            costs[kind, plan.burst] = sum(burst.cpu for burst in bursts) / plan.burst / plan.alone
        return costs

    async def warm_up(self, kind: str, events: int = 1) -> None:
        """Publish once without a measurement: what is made once is made now, and arrives before the first that is measured."""
        await self._take_turns(kind, events, 1, self.plan.quiet)

    async def open(self, streams: int, base: int, connections: Callable[[], int | None]) -> Opened:
        """Open ``base`` streams, then up to ``streams``, and look at them idle.

        Before, the base comes and goes some times: what is made once, such as the threads of pools, is made then.

        Args:
            streams: how many in all.
            base: how many before the measurement starts.
            connections: counts the open database connections.
        """
        server = self.server
        for _ in range(WARM_UPS):
            await self.swarm.open_until(base, concurrency=self.plan.concurrency)
            self.swarm.cut()
        await self.swarm.open_until(base, concurrency=self.plan.concurrency)
        await self.idle(self.plan.idle_window)
        threads, before = await self._fewest(connections)
        memory, cpu = server.memory(), server.cpu()
        seconds = await self.swarm.open_until(streams, concurrency=self.plan.concurrency)
        handshake_cpu = server.cpu() - cpu
        idle_cpu = await self.idle(self.plan.idle_window)
        more = streams - base
        all_threads, all_connections = await self._fewest(connections)
        return Opened(
            streams=streams,
            handshakes_per_second=more / seconds,
            cpu_ms_per_handshake=handshake_cpu / more / 1e6,
            threads_before=threads,
            threads=all_threads,
            connections_before=before,
            connections=all_connections,
            kib_per_stream=(server.memory() - memory) / more / 1024,
            idle_cpu_percent=idle_cpu,
        )

    async def _fewest(self, connections: Callable[[], int | None]) -> tuple[int, int | None]:
        """Return how many threads and connections there are between two polls of the log: the fewest of some looks."""
        looks = []
        for _ in range(LOOKS):
            looks.append((self.server.threads(), connections()))
            await asyncio.sleep(LOOK_SECONDS)
        counted = [found for _, found in looks if found is not None]
        return min(threads for threads, _ in looks), min(counted, default=None)

    async def idle(self, seconds: float) -> float:
        """Leave the streams alone for so many seconds and return the CPU that they took, in percent of a core."""
        before, began = self.server.cpu(), time.monotonic()
        await asyncio.sleep(seconds)
        return (self.server.cpu() - before) / (time.monotonic() - began) / 1e7

    async def singles(self, kind: str, count: int, spacing: float, costs: Publishing) -> Delivered:
        """Publish single events, one every ``spacing`` seconds; ``costs`` says what publishing costs by itself."""
        return summarise(
            [await self._spaced(kind, count, spacing, self.plan.quiet)], costs[kind, 1]
        )

    async def bursts(self, kind: str, costs: Publishing) -> Delivered:
        """Publish bursts, each when the one before has arrived; ``costs`` says what publishing costs by itself."""
        size = self.plan.burst
        return summarise(
            await self._take_turns(kind, size, self.plan.bursts, self.plan.quiet), costs[kind, size]
        )

    async def ticker(self, rate: int, seconds: int) -> Ticked:
        """Have the server itself publish ``rate`` events a second, for so many seconds."""
        await self._tick(rate, 2)  # what is made once is made now
        measured = await self._tick(rate, rate * seconds)
        found = summarise([measured], 0)
        return Ticked(
            rate=rate,
            streams=len(self.swarm.streams),
            cores=measured.cpu / 1e9 / seconds,
            expected=found.expected,
            delivered=found.delivered,
            lost=found.lost,
            duplicated=found.duplicated,
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            closed=found.closed,
        )

    async def _tick(self, rate: int, count: int) -> Measured:
        return await self._measure(
            count,
            lambda: self.server.caller.post("/tick", {"rate": rate, "count": count}),
            self.plan.quiet,
        )

    async def _spaced(self, kind: str, count: int, spacing: float, quiet: float) -> Measured:
        loop = asyncio.get_running_loop()

        async def publish() -> None:
            start = loop.time()
            for number in range(count):
                # Not a wait for anything: this is the load.
                await asyncio.sleep(start + number * spacing - loop.time())
                await self._publish(kind, number, 1)

        return await self._measure(count, publish, quiet)

    async def _take_turns(self, kind: str, events: int, times: int, quiet: float) -> list[Measured]:
        return [
            await self._measure(events, lambda: self._publish(kind, 0, events), quiet)
            for _ in range(times)
        ]

    async def _publish(self, kind: str, first: int, count: int) -> None:
        await self.server.caller.post(
            "/publish", {"stored": kind == "stored", "first": first, "count": count}
        )

    async def _measure(
        self, events: int, publish: Callable[[], Awaitable[None]], quiet: float
    ) -> Measured:
        gc.collect()
        self.swarm.take()  # what the streams said before is not of this measurement
        self.swarm.expect(events)
        closed = self.swarm.closed_by_server
        cpu = self.server.cpu()
        await publish()
        await self.swarm.all_arrived(quiet=quiet)
        cpu = self.server.cpu() - cpu
        return Measured(events, self.swarm.take(), cpu, self.swarm.closed_by_server - closed)


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement as it was taken."""

    events: int
    """Published to every stream, numbered alike."""
    arrivals: Sequence[Sequence[Arrival]]
    """Of each stream."""
    cpu: int
    """Nanoseconds."""
    closed: int


def summarise(measured: Sequence[Measured], publishing: float) -> Delivered:
    """Add up measurements of the same kind.

    Args:
        measured: the measurements.
        publishing: nanoseconds of CPU that publishing one event costs by itself.
    """
    expected = delivered = duplicated = 0
    latencies: list[int] = []
    for one in measured:
        expected += one.events * len(one.arrivals)
        for arrivals in one.arrivals:
            distinct = len({arrival.number for arrival in arrivals})
            delivered += distinct
            duplicated += len(arrivals) - distinct
            latencies.extend(arrival.latency for arrival in arrivals)
    latencies.sort()
    cpu = sum(one.cpu for one in measured)
    return Delivered(
        expected=expected,
        delivered=delivered,
        lost=expected - delivered,
        duplicated=duplicated,
        cpu_us=cpu / max(1, delivered) / 1e3,
        fanout_us=(cpu - publishing * sum(one.events for one in measured))
        / max(1, delivered)
        / 1e3,
        p50_ms=percentile(latencies, 0.50) / 1e6,
        p99_ms=percentile(latencies, 0.99) / 1e6,
        closed=sum(one.closed for one in measured),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of the ordered values lie; NaN if there are none."""
    if not ordered:
        return float("nan")
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


@asynccontextmanager
async def session(
    contestant: Contestant, plan: Plan, environment: Mapping[str, str], cookies: Sequence[str]
) -> AsyncIterator[Session]:
    """Run one contestant's server, without streams yet."""
    variables = {**contestant.environment, **environment}
    async with running(
        contestant.app,
        server=contestant.server,
        core=plan.server_core,
        environment=variables,
        ready="/publish",
    ) as server:
        swarm = Swarm(server.address, contestant.path, cookies, contestant.greeting)
        try:
            yield Session(server, swarm, plan)
        finally:
            swarm.close()
            server.caller.close()
