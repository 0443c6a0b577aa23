"""nginx with ``deploy/nginx.conf``, in front of what the systemd unit starts: events at once, silence survived, HTTP/2 for many tabs."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from shutil import which
from signal import SIGTERM

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from sse_notify.conf import Settings
from tests.deploy.mysite import DEPLOY, STREAM, Certificate, Mysite, Stream, seconds, unit
from tests.support import GUARD
from tests.support.nginx import Nginx
from tests.support.processes import Process, free_port, listens
from tests.support.requirements import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# Seconds, for a test that cannot wait for 75: a dozen heartbeats of this site, as a busy machine may delay one.
READ_TIMEOUT = 5
TABS = 9  # a browser opens six connections to a host over HTTP/1.1

# Opens a stream of this page's own, without the client that tabs share.
OPEN = """() => new Promise((resolve, reject) => {
  globalThis.heard = [];
  const source = new EventSource("/notifications/stream/");
  source.addEventListener("hello", () => resolve(performance.getEntriesByType("navigation")[0].nextHopProtocol));
  source.addEventListener("notification", (event) => heard.push(JSON.parse(event.data).title));
  source.onerror = () => reject(new Error("cut"));
})"""


class Fronts:
    """Any number of nginx, configured as a test wants, before two processes of the unit."""

    def __init__(self, mysite: Mysite, certificate: Certificate, folder: Path) -> None:
        """Start the two processes."""
        self.processes = {port: mysite.start_unit(port) for port in (free_port(), free_port())}
        for port, process in self.processes.items():
            process.until(partial(listens, port))
        self._certificate = certificate
        self._folder = folder
        self._started: list[Nginx] = []

    def start(self, edit: Callable[[str], str] = str) -> Nginx:
        """Start one more nginx; ``edit`` makes it another than that of ``deploy/``."""
        folder = self._folder / f"nginx-{len(self._started)}"
        self._started.append(
            Nginx(folder, [*self.processes], certificate=self._certificate.files, edit=edit)
        )
        return self._started[-1].start()

    def close(self) -> None:
        """End every nginx."""
        for nginx in self._started:
            nginx.stop()
            print(nginx.process.tail())


@pytest.fixture
def fronts(mysite: Mysite, certificate: Certificate, tmp_path: Path) -> Iterator[Fronts]:
    made = Fronts(mysite, certificate, tmp_path)
    yield made
    made.close()


def substitute(pattern: str, text: str) -> Callable[[str], str]:
    """Return an edit of the configuration that has to find something to do."""

    def edit(site: str) -> str:
        site, replaced = re.subn(pattern, text, site)
        assert replaced == 1, pattern
        return site

    return edit


def test_systemd_takes_the_units_and_the_times_follow_on_each_other(tmp_path: Path) -> None:
    units = [path for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer")]
    assert len(units) == 3
    for path in units:  # systemd-analyze also looks whether the programs are there
        (tmp_path / path.name).write_text(
            re.sub(r"/srv/mysite/venv/bin/\w+", which("true") or "/bin/true", path.read_text())
        )
    verify = which("systemd-analyze") or missing("systemd-analyze", "apt install systemd")
    done = subprocess.run(
        [verify, "verify", *(tmp_path / path.name for path in units)],
        capture_output=True,
        text=True,
        timeout=GUARD,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")

    service = unit()
    graceful = seconds(r"--timeout-graceful-shutdown (\d+)", service["ExecStart"])
    assert Settings().DRAIN_SECONDS < graceful < float(service["TimeoutStopSec"])
    assert (service["KillSignal"], service["KillMode"]) == ("SIGTERM", "mixed")
    assert (
        seconds(r"graceful_timeout = (\d+)", (DEPLOY / "gunicorn.conf.py").read_text()) == graceful
    )
    assert int(service["LimitNOFILE"]) > Settings().MAX_STREAMS


def test_events_are_not_delayed_silence_is_survived_and_a_restart_goes_unnoticed(
    mysite: Mysite, fronts: Fronts, certificate: Certificate, tmp_path: Path
) -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    assert not re.search(r"^\s*proxy_buffering", text, re.MULTILINE), (
        "what is shown is that the default will do"
    )
    assert seconds(r"proxy_read_timeout (\d+)s", text) > 2 * Settings().HEARTBEAT
    patience = r"proxy_read_timeout \d+s"
    front = fronts.start(substitute(patience, f"proxy_read_timeout {READ_TIMEOUT}s"))
    with mysite.client(front.url, trust=certificate.trust) as client:
        with client.stream("GET", STREAM) as response:
            stream = Stream(response)
            stream.next("hello")
            begun = time.monotonic()
            while time.monotonic() - begun < 1.1 * READ_TIMEOUT:
                stream.next("ping")
            mysite.notify("After the silence")
            told = stream.next("notification")
            assert told.json()["title"] == "After the silence", "on the same connection"
            restart_one_after_the_other(fronts.processes, tmp_path)
            assert "bye" in stream.rest()
        with client.stream("GET", STREAM, headers={"Last-Event-ID": told.id}) as response:
            assert Stream(response).next("hello").json()["cursor"] == int(told.id)

        assert client.get(f"{STREAM}?token=in-no-log").status_code == 401

        # That the heartbeat and the header are what it takes.
        impatient = fronts.start(substitute(patience, "proxy_read_timeout 200ms"))
        deaf = fronts.start(
            substitute(
                "proxy_pass ", "proxy_ignore_headers X-Accel-Buffering;\n        proxy_pass "
            )
        )
        cut = (
            httpx.RemoteProtocolError,
            httpx.HTTPStatusError,
        )  # the latter if even the head took too long
        for other, consequence in ((impatient, cut), (deaf, httpx.ReadTimeout)):
            with pytest.raises(consequence):
                hear_a_ping(client, other.url)

    answer = httpx.get(
        front.redirecting + "/inbox/?a=b", headers={"Host": "example.com"}, trust_env=False
    )
    assert (answer.status_code, answer.headers["Location"]) == (
        301,
        "https://example.com/inbox/?a=b",
    )
    logged = front.log.read_text()
    assert f'"GET {STREAM}" 401' in logged
    assert '"GET /inbox/" 301' in logged
    assert "?" not in logged, "no query: a signed link stands in it"
    # What the page says that curl says.
    ready = httpx.get(
        front.url + "/notifications/health/ready/", verify=certificate.trust, trust_env=False
    )
    assert ready.status_code == 200, ready.text


def restart_one_after_the_other(processes: Mapping[int, Process], folder: Path) -> None:
    """Run ``deploy/restart.sh``, with somebody in systemd's place who restarts what the unit started, and does not wait for it."""
    asked, answered = folder / "asked", folder / "answered"
    os.mkfifo(asked)
    os.mkfifo(answered)
    systemctl = folder / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f"#!/bin/sh\necho $* > {asked}\nread reply < {answered}\n")
    systemctl.chmod(0o755)
    path = f"{systemctl.parent}:{os.environ['PATH']}"
    edited = folder / "restart.sh"
    edited.write_text(substitute("example.com", "127.0.0.1")((DEPLOY / "restart.sh").read_text()))
    edited.chmod(0o755)
    script = Process([edited, *map(str, processes)], log=folder / "restart.log", env={"PATH": path})
    script.start()
    for port, process in processes.items():
        assert asked.read_text() == f"restart mysite@{port}\n"
        assert all(listens(other) for other in processes), "the one before answers again"
        assert process.stop() in (0, -SIGTERM)
        process.start()
        answered.write_text("done\n")
    assert script.wait() == 0, script.tail()
    assert all(listens(port) for port in processes)


def hear_a_ping(client: httpx.Client, url: str) -> None:
    """Open a stream and wait for its first ping; a second in which nothing comes is an error."""
    with client.stream("GET", url + STREAM, timeout=httpx.Timeout(GUARD, read=1)) as response:
        stream = Stream(response)
        stream.next("hello")
        stream.next("ping")


def test_many_tabs_share_one_connection_and_pages_use_hashed_files(
    mysite: Mysite, fronts: Fronts, browser: Browser
) -> None:
    front = fronts.start()
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(GUARD * 1000)
    context.add_cookies(
        [
            {
                "name": "sessionid",
                "value": mysite.session,
                "url": front.url,
                "secure": True,
                "httpOnly": True,
            }
        ]
    )
    tabs = [context.new_page() for _ in range(TABS)]
    for tab in tabs:
        tab.goto(front.url + "/admin/login/", wait_until="commit")
        assert tab.evaluate(OPEN) == "h2"
    the_bell_works_with_hashed_files(mysite, context.new_page(), front.url)
    for tab in tabs:
        tab.wait_for_function("heard.length === 1")
        assert tab.evaluate("heard") == ["To every tab"]
    context.close()


def the_bell_works_with_hashed_files(mysite: Mysite, page: Page, url: str) -> None:
    """One more page, with the bell and all of its files, while every tab has a stream."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    answers: dict[str, httpx.Headers] = {}
    page.on(
        "response",
        lambda answer: answers.update(
            {answer.url.removeprefix(url): httpx.Headers(answer.headers)}
        ),
    )
    page.goto(url + "/")
    expect(page.locator("sse-notify[data-connection=open]")).to_be_attached(timeout=GUARD * 1000)
    mysite.notify("To every tab")
    expect(page.locator("sse-notify [data-ssen=list] [data-ssen=title]").first).to_have_text(
        "To every tab", timeout=GUARD * 1000
    )
    expect(page).to_have_title(
        re.compile(r"^\(\d+\) mysite$")
    )  # by the script that is loaded if it is asked for
    static = {path: headers for path, headers in answers.items() if path.startswith("/static/")}
    names = {re.sub(r"\.[0-9a-f]{12}\.", ".", path.rpartition("/")[2]) for path in static}
    assert names >= {"sse-notify.js", "sse-notify-alerts.js", "sse-notify.css"}
    for path, headers in static.items():
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", path), path
        assert "immutable" in headers["Cache-Control"], path
    assert errors == []
