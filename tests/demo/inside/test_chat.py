"""The chat: what it takes, who answers, and that whoever is stopped stops."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils.translation import override
from pytest_django import Settings

from demo_project.chat import answering, documentation, model, worker
from demo_project.chat.excerpts import excerpt
from demo_project.chat.history import MAX_LENGTH, MAX_TURNS, Turn, read_question, turns
from demo_project.chat.models import WAITING, Conversation, Message
from demo_project.chat.search import search
from demo_project.chat.views import MOST
from sse_notify.contrib.runs import Run, State
from tests.demo.inside.standin import stand_in

QUESTION: list[Turn] = [{"role": "user", "content": "Say something"}]


# --- the model ------------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_models_answer_comes_token_by_token_with_the_history_asked(
    settings: Settings,
) -> None:
    async with stand_in("Hello", ", ", "wörld", "!") as server:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL = (
            server.url,
            "secret",
            "stand-in",
        )
        history: list[Turn] = [
            *QUESTION,
            {"role": "assistant", "content": "What?"},
            {"role": "user", "content": "Hello"},
        ]
        assert [token["text"] async for token in model.answer(history, said="")] == [
            "Hello",
            ", ",
            "wörld",
            "!",
        ]
    assert (server.asked["messages"], server.asked["model"], server.asked["stream"]) == (
        history,
        "stand-in",
        True,
    )
    assert server.headers["authorization"] == "Bearer secret"


@pytest.mark.asyncio
async def test_a_model_is_hung_up_on_when_the_visitor_stops_it(settings: Settings) -> None:
    async with stand_in() as server:
        settings.OPENAI_BASE_URL = server.url
        words: Any = model.answer(QUESTION, said="")
        assert await anext(words) == {"text": "more "}
        assert not server.hung_up.is_set()
        await words.aclose()
        await asyncio.wait_for(server.hung_up.wait(), 20)


@pytest.mark.asyncio
async def test_a_model_that_is_to_go_on_gets_what_it_has_said(settings: Settings) -> None:
    async with stand_in("the end.") as server:
        settings.OPENAI_BASE_URL = server.url
        assert [token["text"] async for token in model.answer(QUESTION, said="To ")] == ["the end."]
    assert server.asked["messages"] == [
        *QUESTION,
        {"role": "assistant", "content": "To "},
        {"role": "user", "content": model.GO_ON},
    ]


# --- conversations --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def conversation(alice: User) -> Conversation:
    """A conversation of Alice in which nothing was said."""
    return Conversation.objects.create(owner=alice)


def ask(page: Client, conversation: Conversation, *, worker: bool = False) -> Any:
    """Ask about nginx."""
    body = {"content": " nginx config ", "worker": worker}
    address = reverse("chat:answer", args=[conversation.pk])
    return page.post(address, body, content_type="application/json")


def messages(page: Client) -> list[dict[str, Any]]:
    """Return the messages of the first conversation, as the page gets them."""
    found: list[dict[str, Any]] = page.get(reverse("chat:conversations")).json()["conversations"]
    return list(found[0]["messages"])


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documentation, "PAUSE", 0)


def test_an_answer_is_kept_with_its_links_when_its_run_is_gone(
    page: Client, conversation: Conversation
) -> None:
    assert ask(page, conversation).status_code == 204
    stream = page.get(reverse("chat:answer", args=[conversation.pk]))
    assert stream["Content-Type"] == "text/event-stream; charset=utf-8"
    question, answer = messages(page)
    assert (question["content"], question["is_answer"]) == ("nginx config", False)
    assert answer["content"].startswith("The documentation says, under “Deploy: 5. nginx”:\n\n")
    assert (answer["state"], answer["run"]) == ("done", None)
    assert answer["links"][0]["url"] == "/docs/deploy/#5-nginx"
    Run.objects.all().delete()
    assert messages(page)[1] == answer


@pytest.mark.parametrize("state", answering.UNFINISHED)
def test_an_answer_that_has_ended_early_goes_on_where_it_was(
    page: Client, conversation: Conversation, state: State
) -> None:
    ask(page, conversation)
    whole = messages(page)[1]["content"]
    half = whole[: whole.index("\n\n")]
    row = conversation.messages.get(is_answer=True)
    row.content, row.state, row.language = half, state, "en"
    row.save()
    with override("de"):  # it stays in the language that it was begun in
        response = page.post(reverse("chat:go_on", args=[conversation.pk]))
    assert response.status_code == 204
    assert [message["content"] for message in messages(page)] == ["nginx config", whole]
    # It is complete now.
    assert page.post(reverse("chat:go_on", args=[conversation.pk])).status_code == 409


def test_an_answer_whose_run_is_gone_before_anybody_read_it_counts_as_stalled(
    page: Client, conversation: Conversation
) -> None:
    ask(page, conversation)
    Run.objects.all().delete()
    assert (messages(page)[1]["content"], messages(page)[1]["state"]) == ("", "stalled")


def test_a_second_question_waits_for_the_answer_to_the_first(
    page: Client, conversation: Conversation
) -> None:
    assert ask(page, conversation, worker=True).status_code == 204
    assert ask(page, conversation).status_code == 409
    assert page.post(reverse("chat:go_on", args=[conversation.pk])).status_code == 409
    assert [message["state"] for message in messages(page)] == ["", "waiting"]
    assert page.delete(reverse("chat:answer", args=[conversation.pk])).status_code == 204
    assert [message["state"] for message in messages(page)] == ["", "stopped"]
    assert ask(page, conversation).status_code == 204


def test_conversations_are_their_owners_and_few(page: Client, people: dict[str, User]) -> None:
    address = reverse("chat:conversations")
    assert page.get(address).json() == {"conversations": []}
    for _ in range(MOST + 1):
        assert page.post(address).status_code == 200
    found = page.get(address).json()["conversations"]
    assert len(found) == MOST
    other = Client()
    other.force_login(people["bob"])
    pk = found[0]["pk"]
    assert other.get(address).json() == {"conversations": []}
    assert other.get(reverse("chat:answer", args=[pk])).status_code == 404
    assert other.post(reverse("chat:go_on", args=[pk])).status_code == 404
    assert other.delete(reverse("chat:conversation", args=[pk])).status_code == 404
    assert page.delete(reverse("chat:conversation", args=[pk])).status_code == 204
    assert len(page.get(address).json()["conversations"]) == MOST - 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_the_view_streams_the_model_and_says_how_it_ended(settings: Settings) -> None:
    client = AsyncClient()
    ann = await User.objects.acreate(username="ann")
    await client.aforce_login(ann)
    conversation = await Conversation.objects.acreate(owner=ann)
    address = reverse("chat:answer", args=[conversation.pk])
    body = json.dumps({"content": "Say something"})
    async with stand_in("One ", "two") as server:
        settings.OPENAI_BASE_URL = server.url
        await client.post(address, body, content_type="application/json")
        response: Any = await client.get(address)
        assert await _data(response.streaming_content) == [
            '{"text":"One "}',
            '{"text":"two"}',
            '{"state":"done"}',
        ]
        settings.OPENAI_MODEL = "stand-in"
        assert "<code>stand-in</code>" in (await client.get(reverse("chat:page"))).content.decode()
    # Nobody answers any more: the visitor hears that it failed, and nothing of why.
    await client.post(address, body, content_type="application/json")
    response = await client.get(address)
    (failed,) = await _data(response.streaming_content)
    assert json.loads(failed)["error"] == "failed"
    assert server.url not in failed


async def _data(content: AsyncIterator[bytes]) -> list[str]:
    text = b"".join([chunk async for chunk in content]).decode()
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_a_worker_that_is_told_to_end_leaves_its_answer_interrupted(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    conversation = await Conversation.objects.acreate(owner=await User.objects.acreate())
    stop = threading.Event()
    async with stand_in() as server:
        settings.OPENAI_BASE_URL = server.url
        await sync_to_async(answering.ask)(conversation, "Go on", in_worker=True)
        working = asyncio.create_task(asyncio.to_thread(worker.work, stop))
        async with asyncio.timeout(60):
            while not await Run.objects.filter(parts__isnull=False).aexists():
                await asyncio.sleep(0.05)
            stop.set()
            await working
            await server.hung_up.wait()
    _, answer = await sync_to_async(conversation.read)()
    assert (answer.state, answer.content) == ("interrupted", "more ")
    assert not [record for record in caplog.records if record.levelname != "INFO"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_of_two_workers_one_writes_an_answer() -> None:
    ann = await User.objects.acreate(username="ann")
    conversation = await Conversation.objects.acreate(owner=ann)
    await sync_to_async(answering.ask)(conversation, "nginx config", in_worker=True)
    answer = await conversation.messages.select_related("conversation__owner").aget(state=WAITING)
    await asyncio.gather(worker.write(answer), worker.write(answer))
    _, read = await sync_to_async(conversation.read)()
    assert (read.state, read.content.count("The documentation says")) == ("done", 1)


# --- the documentation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("How do I notify a whole group?", "Notify from views, jobs, scripts and signals: To many"),
        ("How can I stream the words of an AI?", "Stream events from a view"),
        ("what does max_streams_per_user mean", "Troubleshooting: 429"),
        ("nginx config", "Deploy: 5. nginx"),
        ("How do I test my own code?", "Test your own code"),
    ],
)
def test_a_question_finds_the_section_that_answers_it(question: str, heading: str) -> None:
    assert any(found.heading.startswith(heading) for found in search(question, limit=2))


@pytest.mark.parametrize(
    "question", ["", "?!", "how is it", '"', "xyzzy OR NEAR(", "什么是通知", "a" * 9000]
)
def test_what_means_nothing_finds_nothing(question: str) -> None:
    assert search(question) == []


def test_a_question_that_says_nothing_is_about_the_one_before() -> None:
    assert search("and why is that?", before="nginx config")[0].heading == "Deploy: 5. nginx"


def test_an_excerpt_is_plain_text_with_the_code_as_it_is() -> None:
    markdown = "See [the *page*](x.md) and `code`, **now**.\n\n```python\nif a:\n    b = `1`\n```\n\n| a | `b` |\n| --- | --- |\n| c | d |"
    assert excerpt(markdown, "code") == (
        "See the *page* and code, now.\n\n```python\nif a:\n    b = `1`\n```\n\n• a: b\n\n• c: d"
    )


def test_a_long_section_is_cut_to_what_was_asked_for() -> None:
    filler = "\n\n".join(
        f"Paragraph {number} about nothing much. " + "x" * 80 for number in range(30)
    )
    text = excerpt(f"The first.\n\n{filler}\n\nThe needle is here.", "needle")
    assert text == "The first.\n\nThe needle is here."


@pytest.mark.asyncio
async def test_the_documentation_answers_word_by_word_and_names_its_pages() -> None:
    asked: list[Turn] = [{"role": "user", "content": "nginx config"}]
    said = [item async for item in documentation.answer(asked, said="", language="en")]
    assert len(said) > 20
    text = "".join(item["text"] for item in said[:-1])
    assert text.startswith("The documentation says, under “Deploy: 5. nginx”:\n\n")
    assert said[-1].event == "sources"
    assert said[-1].data["links"][0] == {
        "title": "Deploy: 5. nginx",
        "url": "/docs/deploy/#5-nginx",
    }
    begun = "".join(item["text"] for item in said[:7])
    rest = [item async for item in documentation.answer(asked, said=begun, language="en")]
    assert [item.data if item is rest[-1] else item for item in rest] == [
        *said[7:-1],
        said[-1].data,
    ]


# --- what it takes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b"{}", "body"),
        (b'{"content": 1}', "content"),
        (b'{"content": " "}', "content"),
        (json.dumps({"content": "x" * (MAX_LENGTH + 1)}).encode(), "content"),
        (b'{"content": "x", "worker": 1}', "worker"),
    ],
)
def test_a_question_that_is_none_is_refused_by_name(
    body: bytes, problem: str, page: Client, conversation: Conversation
) -> None:
    with pytest.raises(ValueError, match=problem):
        read_question(body)
    address = reverse("chat:answer", args=[conversation.pk])
    response = page.post(address, body, content_type="application/json")
    assert (response.status_code, response.json()["error"]) == (400, "invalid")
    assert messages(page) == []


def test_a_history_is_cut_to_its_end_and_begins_with_a_question() -> None:
    said = [
        Message(is_answer=bool(number % 2), content=f"{number}" if number != 1 else "")
        for number in range(MAX_TURNS + 3)
    ]
    told = turns(said)
    assert told[0] == {"role": "user", "content": "4"}
    assert told[-1] == {"role": "user", "content": str(MAX_TURNS + 2)}
    assert len(told) == MAX_TURNS - 1


def test_only_who_has_signed_in_is_answered(client: Client) -> None:
    for name, pks in (("page", []), ("conversations", []), ("answer", [1]), ("conversation", [1])):
        assert client.delete(reverse(f"chat:{name}", args=pks)).status_code in (302, 405)
    assert client.get(reverse("chat:answer", args=[1])).status_code == 302
    assert client.post(reverse("chat:go_on", args=[1])).status_code == 302
