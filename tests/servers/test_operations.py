"""What an operator's tools read from real servers: metrics of every process from any of them, and readiness that ends first."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from signal import SIGTERM

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support import GUARD
from tests.support.servers import Server
from tests.support.site import STREAM, Site
from tests.support.sse import RawStream

#: More than a socket takes.
MISSED = """
from django.contrib.auth.models import User
from sse_notify import notify
bob = User.objects.get(username="bob")
for number in range(100):
    notify(bob, "Missed", "x" * 60_000)
"""

READY = "/notifications/health/ready/"


def scrape(server: Server) -> dict[tuple[str, str, str], float]:
    """Return the samples that this process tells, by name, the pid of the process they are about, and the other label."""
    text = (
        httpx.get(server.url + "/metrics/", timeout=GUARD, trust_env=False).raise_for_status().text
    )
    samples: dict[tuple[str, str, str], float] = {}
    for sample in (
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ):
        labels = dict(sample.labels)
        pid = labels.pop("process", "").rpartition(":")[2]
        samples[sample.name, pid, "".join(labels.values())] = sample.value
    return samples


def scrape_until(
    server: Server, expected: dict[tuple[str, str, str], float]
) -> dict[tuple[str, str, str], float]:
    """Scrape until these samples are there: what is told of other processes is a little old."""
    while True:
        found = scrape(server)
        if expected.items() <= found.items():
            return found


def test_any_process_tells_the_numbers_of_all_and_is_not_ready_once_it_is_to_end(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    # Prometheus' own way for several processes, files, may be set for the project's sake: nothing changes.
    env = {
        "SSE_NOTIFY": json.dumps({"DRAIN_SECONDS": 120}),
        "EXTRA_MIDDLEWARE": "tests.project.patience.patient,tests.project.pace.quick",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    site = make_site(redis=True, env=env)
    one, two = site.serve(), site.serve()
    pids = [str(one.pid), str(two.pid)]
    with ExitStack() as stack:
        opened = stack.enter_context
        alice = cookie(site, one, "alice")
        first, second = (
            opened(RawStream(server.url + STREAM, headers=alice)) for server in (one, two)
        )
        visitor = opened(RawStream(one.url + STREAM + "?topic=wall"))
        for stream in (first, second, visitor):
            assert stream.head()[0] == 200
            stream.block()
        while [site.stats(server)["counters"]["opened"] for server in (one, two)] != [2, 1]:
            pass
        site.send(two, "notify", to="alice", title="Hello")
        for stream in (first, second):
            while b"Hello" not in stream.block():
                pass
        assert (
            httpx.get(
                one.url + "/notifications/stream/", timeout=GUARD, trust_env=False
            ).status_code
            == 401
        )
        for server in (one, two):
            refused = "sse_notify_handshakes_refused_total", pids[0], "unauthenticated"
            delivered = {("sse_notify_events_delivered_total", pid, ""): 1.0 for pid in pids}
            found = scrape_until(server, {refused: 1, **delivered})
            assert [found["sse_notify_streams", pid, ""] for pid in pids] == [2, 1]
            assert [found["sse_notify_anonymous_streams", pid, ""] for pid in pids] == [1, 0]
            assert [found["sse_notify_cursor", pid, ""] for pid in pids] == [1, 1]
            assert [found["sse_notify_streams_opened_total", pid, ""] for pid in pids] == [2, 1]
            assert (
                found["sse_notify_users_connected", "", ""],
                found["sse_notify_log_head", "", ""],
            ) == (1, 1)
        assert not list(tmp_path.glob("*.db"))

        # One client takes nothing of what it missed, so that the process has somebody to wait for when it is asked to end.
        site.script(MISSED)
        stuck = opened(
            RawStream(
                f"{one.url}{STREAM}?cursor=0", headers=cookie(site, one, "bob"), receive_buffer=4096
            )
        )
        assert stuck.head()[0] == 200
        replayed = [0]
        while not replayed[-1] or len(set(replayed[-20:])) > 1:  # until its socket takes no more
            replayed.append(site.stats(one)["counters"]["replayed"])
        assert replayed[-1] < 100
        assert ready(one) == (200, "ready")
        one.process.signal(SIGTERM)
        while (answer := ready(one)) == (200, "ready"):
            pass
        assert answer == (503, "draining")
        assert ready(two) == (200, "ready")
    # It has left, and so the process ends.
    assert one.process.wait(GUARD) is not None


def cookie(site: Site, server: Server, username: str) -> dict[str, str]:
    return {
        "Cookie": "; ".join(
            f"{name}={value}" for name, value in site.cookies(server, username).items()
        )
    }


def ready(server: Server) -> tuple[int, str]:
    response = httpx.get(server.url + READY, timeout=GUARD, trust_env=False)
    return response.status_code, response.json()["status"]


def test_a_database_that_is_away_beside_that_of_the_log_stops_neither_health_checks_nor_streams(
    site: Site,
) -> None:
    """With ``ATOMIC_REQUESTS`` there, Django began each request with a transaction in it."""
    output = site.script("""
        from django.db import connections
        from django.test import Client
        beside = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": 1}
        found = {"default": connections.settings["default"], "beside": beside}
        beside["ATOMIC_REQUESTS"] = True
        connections.settings = connections.configure_settings(found)
        client = Client(SERVER_NAME="127.0.0.1")
        from django.contrib.auth.models import User
        client.force_login(User.objects.get(username="alice"))
        for path in ("notifications/health/live", "notifications/health/ready", "metrics",
                     "notifications/stream"):
            print(client.get(f"/{path}/").status_code)
    """)
    assert output.split()[-4:] == ["200"] * 4
