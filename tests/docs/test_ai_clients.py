"""The recipes for AI clients, each with the real package, on the project that the guide to AI replies leads to."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import httpx
import pytest
from ag_ui import core
from httpx_sse import connect_sse
from playwright.sync_api import Page, expect
from pydantic import TypeAdapter

from tests.browser.test_bundles import bundle
from tests.docs.pages import DOCS, blocks, read
from tests.docs.reader import Reader
from tests.docs.test_resume import GUIDE, said
from tests.docs.test_tutorial import installed
from tests.support import GUARD, ROOT
from tests.support.node import need_modules
from tests.support.requirements import missing

__all__ = ["installed"]  # a fixture

RECIPES = DOCS / "how-to" / "ai-clients.md"
CLIENTS = {block.mark: block.code for block in blocks(RECIPES) if block.mark.startswith("client: ")}

#: The guide's, four times as fast; and it may fail.
MODEL = """
import asyncio


async def answer(question):
    for count, word in enumerate(f"You asked: {question} Here is a long answer. ".split() * 8):
        await asyncio.sleep(0.05)
        if count > 3 and "Fail" in question:
            raise RuntimeError("an inner secret")
        yield {"word": f"{word} "}
"""

#: What prints the session of somebody who has signed in, a token against forgery, and a key for the API.
SIGN_IN = """
import json
from importlib import import_module
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from mysite.completions import make_key
user = get_user_model().objects.get(username="ann")
client = Client()
client.force_login(user)
print(json.dumps({"session": client.cookies["sessionid"].value, "key": make_key(user)}))
"""

PAGE = """
from django.http import HttpResponse
from django.template import engines


def app(request, name):
    text = '{% csrf_token %}<div id="app"></div><script type="module" src="/static/{{ name }}/main.js"></script>'
    return HttpResponse(engines["django"].from_string(text).render({"name": name}, request))


urlpatterns += [path("app/<int:pk>/<str:name>/", lambda request, pk, name: app(request, name))]
"""


class Project:
    """The project of the guide with all recipes, served, and somebody who has signed in."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.url = reader.url
        marked = [block for block in blocks(GUIDE) if block.mark]
        for block in marked[: [block.mark for block in marked].index("serve")]:
            reader.do(block)
        (reader.folder / "mysite" / "model.py").write_text(MODEL)
        reader.follow(RECIPES)
        reader.append("mysite/urls.py", PAGE)
        for name in ("react", "vue"):
            for block in blocks(DOCS / "how-to" / f"{name}.md"):
                if block.mark.startswith("frontend: "):
                    path = reader.folder / "frontend" / block.mark.removeprefix("frontend: ")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(block.code)
        self._install()
        for entry in (reader.folder / "frontend").glob("*/main.*"):
            out = reader.folder / "static" / entry.parent.name
            assert "sse-notify" not in bundle("vite", entry, out), "others may be warned of"
        self.who: dict[str, str] = json.loads(
            reader.manage("shell", "-v0", "-c", SIGN_IN).splitlines()[-1]
        )
        reader.serve()

    def _install(self) -> None:
        """Put the packages where the frontends find them, and ours as npm has it."""
        packages = self.reader.folder / "frontend" / "node_modules"
        packages.mkdir()
        for name in ("ai", "@ai-sdk", "react", "react-dom", "vue"):
            (packages / name).symlink_to(need_modules() / name)
        ours = packages / "sse-notify"
        ours.mkdir()
        shutil.copy(ROOT / "npm" / "package.json", ours)
        shutil.copytree(ROOT / "sse_notify" / "static" / "sse_notify", ours / "dist")

    def client(self) -> httpx.Client:
        """Return a client with the session and a token against forgery."""
        token = "t" * 32
        return httpx.Client(
            base_url=self.url,
            cookies={"sessionid": self.who["session"], "csrftoken": token},
            headers={"X-CSRFToken": token},
            timeout=GUARD,
        )

    def open(self, page: Page, path: str) -> Page:
        """Open a page as the one who has signed in."""
        page.context.add_cookies(
            [{"name": "sessionid", "value": self.who["session"], "url": self.url}]
        )
        page.goto(self.url + path)
        return page

    def python(self, code: str) -> str:
        """Run a client's code; return what it printed."""
        self.reader.env["API_KEY"] = self.who["key"]
        return self.reader.run("-c", self.here(code))

    def here(self, text: str) -> str:
        """Return a text with the address of this server."""
        return text.replace("http://127.0.0.1:8000/", self.url)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("clients") / "project"
    folder.mkdir()
    env = {"PYTHONPATH": str(installed), "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    reader = Reader(folder, env=env)
    try:
        yield Project(reader)
    finally:
        reader.server.stop(timeout=5)
        print(reader.server.tail())


pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def words(page: Page, place: str, question: str, more_than: int = 0) -> int:
    """Wait for more words than that in a place; return how many there are, each once and in order."""
    found = page.locator(place)
    expect(found).to_have_text(
        re.compile(rf"^\s*(\S+\s+){{{more_than + 1}}}"), timeout=GUARD * 1000
    )
    text = found.text_content() or ""
    assert said(question).startswith(text)
    return len(text.split())


def test_the_recipes_are_in_the_list() -> None:
    assert "](ai-clients.md)" in read("how-to/index.md")
    assert "](ai-clients.md)" in read("how-to/resume-an-ai-reply.md")


def test_the_ai_sdk_goes_on_after_a_reload(project: Project, page: Page) -> None:
    project.open(page, "ui/")
    page.fill("[name=question]", "Why?")
    page.get_by_role("button").click()
    count = words(page, "p.assistant", "Why?", 5)
    page.reload()
    words(page, "p.assistant", "Why?", count)
    expect(page.locator("p.assistant")).to_have_count(1)
    expect(page.locator("output")).to_have_text("ready", timeout=GUARD * 1000)
    assert page.text_content("p.assistant") == said("Why?")


def test_the_ai_sdk_says_that_an_answer_failed(project: Project, page: Page) -> None:
    project.open(page, "ui/")
    page.fill("[name=question]", "Fail?")
    page.get_by_role("button").click()
    expect(page.locator("output")).to_have_text("The answer broke off.", timeout=GUARD * 1000)


def test_the_python_client_of_openai_reads_an_answer_and_its_failure(project: Project) -> None:
    code = CLIENTS["client: openai"]
    assert project.python(code) == said("Why?")
    failing = indent(code.replace("Why?", "Fail?"), "    ")
    caught = f"import openai\ntry:\n{failing}\nexcept openai.APIError as error:\n    print('|', error.message)"
    heard, _, message = project.python(caught).rpartition("| ")
    assert message == "The answer broke off.\n"
    assert said("Fail?").startswith(heard.strip())
    denied = httpx.post(f"{project.url}v1/chat/completions", headers={"Authorization": "Bearer x"})
    assert denied.status_code == 401


def agent_events(source: Any) -> list[Any]:
    """Return the events of AG-UI in a stream, as its package has them."""
    known: TypeAdapter[Any] = TypeAdapter(core.Event)
    return [known.validate_json(event.data) for event in source.iter_sse()]


def test_ag_ui_reads_an_answer_from_its_beginning_whenever_it_comes(project: Project) -> None:
    asked = core.RunAgentInput(
        thread_id="1",
        run_id="7",
        state={},
        messages=[core.UserMessage(id="1", content="Why?")],
        tools=[],
        context=[],
        forwarded_props={},
    )
    body = asked.model_dump_json(by_alias=True)
    with project.client() as client:
        with connect_sse(client, "POST", "/agent/1/", content=body) as source:
            live = agent_events(source)
        with connect_sse(client, "GET", "/agent/1/") as source:
            later = agent_events(source)
    assert live == later
    assert [event.type.value for event in (*live[:2], *live[-2:])] == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert "".join(event.delta for event in live[2:-2]) == said("Why?")


def test_an_event_source_and_curl_read_the_guides_answer(project: Project, page: Page) -> None:
    project.open(page, "admin/")
    with (
        project.client() as client,
        client.stream("POST", "/chat/1/reply/", data={"question": "Why?"}),
    ):
        page.evaluate("document.body.innerHTML = '<p id=answer></p>'")
        page.evaluate(
            "(code) => { window.source = eval(`${code}; source`); }", CLIENTS["client: eventsource"]
        )
        words(page, "#answer", "Why?", 3)
    page.wait_for_function("source.readyState === EventSource.CLOSED", timeout=GUARD * 1000)
    assert page.text_content("#answer") == said("Why?")

    if not shutil.which("curl"):
        missing("curl", "apt-get install curl")
    lines = project.here(CLIENTS["client: curl"]).replace("$ curl", "curl --silent").splitlines()
    whole, rest = (
        subprocess.run(
            ["bash", "-c", line],
            env={"SESSIONID": project.who["session"], "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=GUARD,
        ).stdout
        for line in lines
    )
    assert "event: done" in whole
    assert rest == "\n\n".join(whole.split("\n\n")[12:])


def test_who_has_read_a_run_gets_the_next_one_whole_and_none_twice(project: Project) -> None:
    """As the reference says of ``lastEventId``."""
    path = "/chat/2/reply/"
    with project.client() as client:
        with connect_sse(client, "POST", path, data={"question": "Why?"}) as source:
            last = list(source.iter_sse())[-1].id
        known = {"Last-Event-ID": last}
        assert client.get(path, headers=known).status_code == 204
        with (
            client.stream("POST", path, data={"question": "How?"}),
            connect_sse(client, "GET", path, headers=known) as source,
        ):
            heard = [event.data for event in source.iter_sse() if event.event == "message"]
    assert "".join(json.loads(data)["word"] for data in heard) == said("How?")


@pytest.mark.parametrize("name", ["react", "vue"])
def test_a_component_shows_a_run_after_a_reload(project: Project, page: Page, name: str) -> None:
    pk = {"react": 8, "vue": 9}[name]
    project.open(page, f"app/{pk}/{name}/")
    page.fill("[name=question]", "Why?")
    page.get_by_role("button", name="Ask").click()
    count = words(page, "#said", "Why?", 5)
    page.reload()
    words(page, "#said", "Why?", count)
    expect(page.locator("output")).to_have_text("done", timeout=GUARD * 1000)
    assert page.text_content("#said") == said("Why?")
    module = next(
        block.code
        for block in blocks(DOCS / "how-to" / f"{name}.md")
        if block.mark == f"frontend: {name}/use-run.js"
    )
    assert sum(bool(line.strip()) for line in module.splitlines()) <= 25
