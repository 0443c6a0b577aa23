"""The demo as a visitor meets it: one command starts it, and each way to send reaches a page that is open."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGINT
from typing import Any

import httpx
import pytest

from tests.demo.inside.standin import stand_in
from tests.support import GUARD, ROOT
from tests.support.processes import Process
from tests.support.sse import Events, listen

pytestmark = pytest.mark.timeout(120)


class Demo:
    """A demo site of its own: its database is a file of the test, its port is free."""

    def __init__(self, folder: Path, **env: str) -> None:
        self._folder = folder
        self.env = {
            "DJANGO_SETTINGS_MODULE": "demo_project.settings",
            "DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
        }
        self.env |= dict.fromkeys(
            ("REDIS_URL", "SECRET_KEY", "DEMO_PASSWORD", "OPENAI_BASE_URL", "OPENAI_API_KEY"), ""
        )
        self.env |= {"DEBUG": "1", "PORT": "0", **env}
        self.server = self._process("demo")

    def _process(self, *args: str) -> Process:
        log = self._folder / f"{args[0]}-{len(list(self._folder.iterdir()))}.log"
        return Process([sys.executable, "manage.py", *args], log=log, env=self.env, cwd=ROOT)

    @property
    def url(self) -> str:
        """The address that the server says it has."""
        found = re.findall(r"http://127\.0\.0\.1:\d+", self.server.output())
        return found[-1] if found else ""

    def start(self) -> None:
        """Start the server, and return when it answers."""
        self.server.start(ready=self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.url) and httpx.get(self.url, timeout=GUARD, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def manage(self, *args: str) -> str:
        """Run a command in a process of its own, as from a second terminal."""
        process = self._process(*args)
        process.start()
        assert process.wait() == 0, process.output()
        return process.output()

    @asynccontextmanager
    async def visit(self, username: str) -> AsyncIterator[Visitor]:
        """Be somebody: sign in by the button with their name."""
        async with httpx.AsyncClient(
            base_url=self.url, timeout=GUARD, trust_env=False, follow_redirects=True
        ) as client:
            visitor = Visitor(client)
            response = await visitor.submit("/accounts/sign-in/", holding=f'value="{username}"')
            assert response.url.path == "/"
            yield visitor


class Visitor:
    """A browser without scripts: it reads pages and submits the forms in them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def submit(
        self, path: str, *, holding: str = 'method="post"', **fields: str
    ) -> httpx.Response:
        """Submit the first form of the page's content that holds this text, its hidden fields included."""
        page = await self.read(path)
        content = page.text[page.text.index("<main") if "<main" in page.text else 0 :]
        form = next(
            form for form in re.findall(r"<form.*?</form>", content, re.DOTALL) if holding in form
        )
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
        action = re.search(r'<form[^>]*action="([^"]+)"', form)
        response = await self._client.post(action[1] if action else path, data={**hidden, **fields})
        response.raise_for_status()
        return response

    @property
    def cookies(self) -> dict[str, str]:
        """The session's cookies."""
        return dict(self._client.cookies)

    async def read(self, path: str) -> httpx.Response:
        """Open a page."""
        return (await self._client.get(path)).raise_for_status()

    async def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send JSON, or nothing, as a page's script does."""
        headers = {"X-CSRFToken": self.cookies["csrftoken"]}
        answer = await self._client.request(method, path, json=body, headers=headers)
        return answer.raise_for_status()

    @asynccontextmanager
    async def hear(self, path: str) -> AsyncIterator[AsyncIterator[str]]:
        """Read a stream; give the fields of its events as they come."""
        async with self._client.stream("GET", path) as response:
            response.raise_for_status()
            yield (
                line async for line in response.aiter_lines() if line and not line.startswith(":")
            )

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Events]:
        """Open this visitor's event stream, as the page's script does."""
        address = self._client.base_url.join("/notifications/stream/")
        async with listen(str(address), cookies=self.cookies) as events:
            await events.next("hello")
            yield events


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """A demo that runs."""
    site = Demo(tmp_path)
    site.start()
    yield site
    site.server.stop()
    print(site.server.output())


async def _title(events: Events) -> str:
    title: str = (await events.next("notification")).json()["title"]
    return title


@pytest.mark.asyncio
async def test_every_way_to_send_reaches_an_open_page(demo: Demo) -> None:
    """Form, audience, signal, async view, admin, command and shell; a second process needs no Redis."""
    async with (
        demo.visit("alice") as alice,
        demo.visit("bob") as bob,
        demo.visit("carol") as carol,
        alice.stream() as events,
    ):
        user = re.search(r'value="(user:\d+)">Alice', (await bob.read("/compose/")).text)
        assert user
        compose = {"body": "", "level": "info", "category": "", "url": ""}
        await bob.submit("/compose/", to=user[1], title="From the form", **compose)
        assert await _title(events) == "From the form"
        await bob.submit("/compose/", to="everyone", title="For everyone", **compose)
        assert await _title(events) == "For everyone"
        board = await alice.read("/board/")
        post = re.search(r'<a href="(/board/\d+/)">Checkout', board.text)
        assert post
        await bob.submit(post[1], body="Well done!")
        assert await _title(events) == "Bob commented on “Checkout is live in three more countries”"
        await bob.submit("/people/", holding="Wave at Alice")
        assert await _title(events) == "Bob waves at you"
        values = {"title": "Party", "body": "At six.", "level": "success", "audience": "everyone"}
        await carol.submit(
            "/admin/announcements/announcement/add/", holding="announcement_form", **values
        )
        assert await _title(events) == "Party"
        assert "Sent." in demo.manage("demo_notify", "--user", "alice", "From the terminal")
        assert await _title(events) == "From the terminal"
        shell = 'from sse_notify import notify; notify(User.objects.get(username="alice"), "From the shell")'
        demo.manage("shell", "-c", shell)
        assert await _title(events) == "From the shell"


@pytest.mark.asyncio
async def test_a_worker_comes_and_goes_with_it_and_leaves_nothing_behind(demo: Demo) -> None:
    async with demo.visit("alice") as alice, alice.stream() as events:
        await alice.submit(
            "/tasks/", holding="data-start", kind="survey", package="sse_notify", number="1"
        )
        while (item := (await events.next("notification")).json())["progress"][
            "state"
        ] == "running":
            pass
        assert item["progress"]["state"] == "done"
        assert (await alice.read(item["url"])).text.startswith("file,bytes,lines,")
        # What is not over when the demo ends goes on when it is started again.
        await alice.submit(
            "/tasks/", holding="data-start", kind="survey", package="python", number="1"
        )
        begun = await events.next("notification")
        demo.server.signal(SIGINT)
        assert await asyncio.to_thread(demo.server.wait) == 0
        cookies = alice.cookies
    demo.start()
    async with listen(
        f"{demo.url}/notifications/stream/", cookies=cookies, cursor=begun.id
    ) as events:
        again = (await events.next("notification")).json()
    assert again["key"] == begun.json()["key"]
    assert again["progress"]["state"] in ("running", "done")


def test_a_worker_ends_with_the_process_that_it_follows_also_without_a_database(
    tmp_path: Path,
) -> None:
    env = {
        "DJANGO_SETTINGS_MODULE": "demo_project.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'none.sqlite3'}",
        "DEBUG": "1",
    }
    worker = Process(
        [sys.executable, "manage.py", "demo_worker", "--follow", "1"],
        log=tmp_path / "worker.log",
        env=env,
        cwd=ROOT,
    )
    worker.start()
    assert worker.wait() == 0
    assert "The worker is ready." in worker.output()
    assert worker.output().count("no such table") <= 3  # once for each thread


@pytest.mark.asyncio
async def test_ctrl_c_ends_it_in_order_and_what_was_sent_meanwhile_is_there_after_a_restart(
    demo: Demo,
) -> None:
    async with demo.visit("alice") as alice, alice.stream() as events:
        cookies = alice.cookies
        demo.manage("demo_notify", "--user", "alice", "Before")
        cursor = (await events.next("notification")).id
        demo.server.signal(SIGINT)
        farewell = await events.next("bye")
        assert farewell.json()["reason"] == "drain"
        assert await asyncio.to_thread(demo.server.wait) == 0
    assert "Traceback" not in demo.server.output()
    demo.manage("demo_notify", "--user", "alice", "Meanwhile")
    demo.start()
    async with listen(
        f"{demo.url}/notifications/stream/", cookies=cookies, cursor=cursor
    ) as events:
        assert await _title(events) == "Meanwhile"


@pytest.mark.asyncio
async def test_a_model_answers_in_the_chat_and_is_hung_up_on_when_the_visitor_says_stop(
    tmp_path: Path,
) -> None:
    async with stand_in() as model:
        site = Demo(tmp_path, OPENAI_BASE_URL=model.url, OPENAI_MODEL="stand-in")
        try:
            await asyncio.to_thread(site.start)
            async with site.visit("alice") as alice:
                assert "<code>stand-in</code>" in (await alice.read("/chat/")).text
                added = await alice.send("POST", "/chat/conversations/")
                address = f"/chat/{added.json()['conversations'][0]['pk']}/answer/"
                await alice.send("POST", address, {"content": "Go on"})
                for _ in range(2):  # the second time after the first reader has left
                    async with alice.hear(address) as lines:
                        assert 'data: {"text":"more "}' in [await anext(lines), await anext(lines)]
                assert model.asked["messages"] == [{"role": "user", "content": "Go on"}]
                assert not model.hung_up.is_set()
                await alice.send("DELETE", address)
            await asyncio.wait_for(model.hung_up.wait(), GUARD)
        finally:
            site.server.stop()
            print(site.server.output())


def test_a_port_that_is_taken_is_said_before_anything_else(demo: Demo, tmp_path: Path) -> None:
    port = demo.url.rpartition(":")[2]
    second = Process(
        [sys.executable, "manage.py", "demo", "--port", port],
        log=tmp_path / "second.log",
        env=demo.env,
    )
    second.start()
    assert second.wait() == 1
    assert second.output().startswith(f"CommandError: Port {port} cannot be used")


@pytest.mark.parametrize("name", ["SECRET_KEY", "DEMO_PASSWORD"])
def test_a_site_that_is_not_for_development_needs_its_own_secrets(
    name: str, tmp_path: Path
) -> None:
    env = {
        "DJANGO_SETTINGS_MODULE": "demo_project.settings",
        "SECRET_KEY": "x" * 50,
        "DEMO_PASSWORD": "x" * 20,
        "DEBUG": "0",
    }
    process = Process(
        [sys.executable, "manage.py", "check"], log=tmp_path / "check.log", env={**env, name: ""}
    )
    process.start()
    assert process.wait() == 1
    assert f"Set {name} in the environment" in process.output()


@pytest.mark.timeout(300)
@pytest.mark.timeout(200)
def test_the_demo_passes_its_own_tests(tmp_path: Path) -> None:
    """A test process has one settings module: those that need the demo's run in a process of their own."""
    env = {
        "DJANGO_SETTINGS_MODULE": "demo_project.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'demo.sqlite3'}",
        "DEBUG": "1",
    }
    args = [
        "-m",
        "pytest",
        "--ds=demo_project.settings",
        "-p",
        "no:cacheprovider",
        "-q",
        "tests/demo/inside",
    ]
    process = Process([sys.executable, *args], log=tmp_path / "inside.log", env=env)
    process.start()
    assert process.wait(timeout=280) == 0, process.output()
    assert re.search(r"\b[1-9]\d+ passed\b", process.output())
