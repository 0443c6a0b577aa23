"""Every server by its command in ``docs/deploy.md``, with PostgreSQL and Redis: events arrive, and the end is said."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from signal import SIGTERM

import pytest

from sse_notify.conf import Settings
from tests.deploy.mysite import DEPLOY, STREAM, Mysite, Stream, seconds, unit
from tests.docs.pages import DOCS, blocks
from tests.support import ROOT
from tests.support.processes import Process, free_port, listens

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PACKAGE = ROOT / "sse_notify" / "static"
#: Streams to each; with several workers behind one port, each gets some.
STREAMS = 6


def commands() -> dict[str, str]:
    """Return the commands of the page, by the name of the server."""
    (block,) = [block for block in blocks(DOCS / "deploy.md") if block.mark == "servers"]
    lines = (
        " ".join(line.removeprefix("$ ").split())
        for line in block.code.replace("\\\n", " ").splitlines()
    )
    return {line.split()[0]: line for line in lines}


def of_the_procfile() -> str:
    """Return what the ``Procfile`` starts, which is the page's uvicorn, for a platform that has a proxy of its own."""
    web = re.search(r"^web: (.*)$", (DEPLOY / "Procfile").read_text(), re.MULTILINE)
    assert web
    return web[1]


@dataclass
class Running:
    """One server, and the streams that are open on it."""

    process: Process
    port: int
    streams: list[Stream] = field(default_factory=list)


def test_every_server_delivers_and_says_goodbye(mysite: Mysite) -> None:
    """All at once, beside each other, on one database: what is sent reaches the streams of all of them."""
    servers: dict[str, Running] = {}
    for name, command in {**commands(), "uvicorn": of_the_procfile()}.items():
        port = free_port()
        if "gunicorn.conf.py" in command:
            configuration = (DEPLOY / "gunicorn.conf.py").read_text()
            assert "127.0.0.1:8000" in configuration
            (mysite.folder / "gunicorn.conf.py").write_text(
                configuration.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
            )
        else:
            assert len(re.findall(r"\b8000\b|\$PORT", command)) == 1, command
        own = re.sub(r"\b8000\b|\$PORT", str(port), command).replace("0.0.0.0", "127.0.0.1")
        servers[name] = Running(mysite.start(own), port)
    with ExitStack() as stack:
        for server in servers.values():
            server.process.until(partial(listens, server.port))
            client = stack.enter_context(mysite.client(f"http://127.0.0.1:{server.port}"))
            server.streams = [
                Stream(stack.enter_context(client.stream("GET", STREAM))) for _ in range(STREAMS)
            ]
            for stream in server.streams:
                stream.next("hello")
            assert client.get(STREAM, params={"token": "in-no-log"}).status_code == 401
        assert servers.keys() == {"uvicorn", "granian", "gunicorn", "hypercorn", "daphne"}

        mysite.notify("Deployed")
        for name, server in servers.items():
            for stream in server.streams:
                assert stream.next("notification").json()["title"] == "Deployed", name

        for server in servers.values():
            server.process.signal(SIGTERM)
        for name, server in servers.items():
            for stream in server.streams:
                bye = stream.next("bye").json()
                assert bye["reason"] == "drain", name
                assert bye["retry_after"] <= Settings().DRAIN_SECONDS * 1000, name
                assert stream.rest() == [], name
            assert server.process.wait() in (0, -15, 143), f"{name}: {server.process.tail()}"
            assert "in-no-log" not in server.process.output(), f"{name} logs the query"


def test_the_limits_of_the_commands_are_longer_than_the_goodbye() -> None:
    found = commands()
    assert (
        seconds(r"--timeout-graceful-shutdown (\d+)", found["uvicorn"]) > Settings().DRAIN_SECONDS
    )
    assert seconds(r"--workers-kill-timeout (\d+)", found["granian"]) > Settings().DRAIN_SECONDS
    assert seconds(r"--backpressure (\d+)", found["granian"]) > Settings().MAX_STREAMS
    elsewhere = " --host 0.0.0.0 --port $PORT", ' --forwarded-allow-ips "*"'
    assert (
        of_the_procfile().replace(elsewhere[0], " --port 8000").replace(elsewhere[1], "")
        == found["uvicorn"]
    )


def test_what_the_timer_starts_prunes(mysite: Mysite) -> None:
    mysite.shell(
        """
        from datetime import timedelta
        from django.utils import timezone
        from sse_notify import broadcast
        from sse_notify.models import Notification
        old = broadcast("Old")
        Notification.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=400))
        """
    )
    pruning = mysite.start(unit("mysite-prune.service")["ExecStart"])
    assert pruning.wait() == 0, pruning.tail()
    assert "Deleted 1 notification" in pruning.output()


def test_a_file_that_is_named_by_its_contents_names_others_in_the_same_way(mysite: Mysite) -> None:
    """What a stylesheet, a script or a source map refers to is there, and browsers may keep it for ever."""
    named: dict[str, str] = json.loads((mysite.static / "staticfiles.json").read_text())["paths"]
    ours = {name: hashed for name, hashed in named.items() if name.startswith("sse_notify/")}
    assert {
        path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "sse_notify").iterdir()
    } == set(ours)
    referred = set()
    for name, hashed in ours.items():
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", hashed), name
        path = mysite.static / hashed
        if path.suffix in (".css", ".js"):
            assert path.with_name(path.name + ".gz").exists(), "WhiteNoise has compressed it"
            for reference in references(path.read_text()):
                # The plain name is for a page that is older than the release, whose own is gone.
                is_plain = re.fullmatch(r"sse-notify-(arrivals|eventsource|fetch)\.js", reference)
                known = ours.keys() if is_plain else ours.values()
                assert f"sse_notify/{reference}" in known, f"{name} refers to {reference}"
                assert (mysite.static / "sse_notify" / reference).exists()
                referred.add(reference)
    assert any(reference.endswith(".map") for reference in referred)


def references(text: str) -> list[str]:
    """Return what a stylesheet or a script has the browser load: no text of a comment, and nothing inline."""
    maps = re.findall(r"^(?://|/\*)# sourceMappingURL=(\S+)", text, re.MULTILINE)
    code = re.sub(r"/\*.*?\*/|^\s*//[^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)
    loaded = re.findall(
        r"""url\(["']?([^)"']+)|@import ["']([^"']+)|\bimport\(?\s*["']([^"']+)|\bfrom ["']([^"']+)["']""",
        code,
    )
    found = [*maps, *("".join(groups) for groups in loaded)]
    return [
        reference.removeprefix("./")
        for reference in found
        if not reference.startswith(("data:", "#"))
    ]
