"""The chat: what it takes, who answers, and that whoever is stopped stops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.urls import reverse
from pytest_django import Settings

from demo_project.chat import documentation, model
from demo_project.chat.excerpts import excerpt
from demo_project.chat.history import MAX_LENGTH, MAX_MESSAGES, Message, read_history
from demo_project.chat.search import search
from tests.demo.inside.standin import stand_in

QUESTION: list[Message] = [{"role": "user", "content": "Say something"}]


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
        history: list[Message] = [
            *QUESTION,
            {"role": "assistant", "content": "What?"},
            {"role": "user", "content": "Hello"},
        ]
        assert [token["text"] async for token in model.answer(history)] == [
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
        words: Any = model.answer(QUESTION)
        assert await anext(words) == {"text": "more "}
        assert not server.hung_up.is_set()
        await words.aclose()
        await asyncio.wait_for(server.hung_up.wait(), 20)


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_the_view_streams_the_model_and_says_that_it_is_done(settings: Settings) -> None:
    client = AsyncClient()
    await client.aforce_login(await User.objects.acreate(username="ann"))
    async with stand_in("One ", "two") as server:
        settings.OPENAI_BASE_URL = server.url
        address = reverse("chat:answer")
        response: Any = await client.post(
            address, json.dumps({"messages": QUESTION}), content_type="application/json"
        )
        assert response["Content-Type"] == "text/event-stream; charset=utf-8"
        assert await _data(response.streaming_content) == [
            '{"text":"One "}',
            '{"text":"two"}',
            "[DONE]",
        ]
        settings.OPENAI_MODEL = "stand-in"
        assert "<code>stand-in</code>" in (await client.get(reverse("chat:page"))).content.decode()
    # Nobody answers any more: the visitor hears that it failed, and nothing of why.
    response = await client.post(
        address, json.dumps({"messages": QUESTION}), content_type="application/json"
    )
    (failed,) = await _data(response.streaming_content)
    assert json.loads(failed)["error"] == "failed"
    assert server.url not in failed


async def _data(content: AsyncIterator[bytes]) -> list[str]:
    text = b"".join([chunk async for chunk in content]).decode()
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


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
async def test_the_documentation_answers_word_by_word_and_names_its_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(documentation, "PAUSE", 0)
    said = [
        item async for item in documentation.answer([{"role": "user", "content": "nginx config"}])
    ]
    assert len(said) > 20
    text = "".join(item["text"] for item in said[:-1])
    assert text.startswith("The documentation says, under “Deploy: 5. nginx”:\n\n")
    assert said[-1].event == "sources"
    assert said[-1].data["links"][0] == {
        "title": "Deploy: 5. nginx",
        "url": "/docs/deploy/#5-nginx",
    }


# --- what it takes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b'{"messages": []}', "messages: a list of 1 to 40"),
        (
            json.dumps({"messages": QUESTION * (MAX_MESSAGES + 1)}).encode(),
            "messages: a list of 1 to 40",
        ),
        (b'{"messages": [{"role": "system", "content": "x"}]}', r"messages\[0\]\.role"),
        (b'{"messages": [{"role": [], "content": "x"}]}', r"messages\[0\]\.role"),
        (b'{"messages": [{"role": "user", "content": 1}]}', r"messages\[0\]\.content"),
        (
            json.dumps(
                {"messages": [{"role": "user", "content": "x" * (MAX_LENGTH + 1)}]}
            ).encode(),
            r"messages\[0\]\.content",
        ),
        (b'{"messages": [{"role": "assistant", "content": "x"}]}', "the last message"),
    ],
)
def test_a_conversation_that_is_none_is_refused_by_name(
    body: bytes, problem: str, page: Client
) -> None:
    with pytest.raises(ValueError, match=problem):
        read_history(body)
    response = page.post(reverse("chat:answer"), body, content_type="application/json")
    assert (response.status_code, response.json()["error"]) == (400, "invalid")


def test_a_history_keeps_nothing_but_what_is_known() -> None:
    body = b'{"messages": [{"role": "user", "content": "x", "name": "y"}], "model": "z"}'
    assert read_history(body) == [{"role": "user", "content": "x"}]


def test_only_who_has_signed_in_is_answered(client: Client) -> None:
    response = client.post(
        reverse("chat:answer"), {"messages": QUESTION}, content_type="application/json"
    )
    assert response.status_code == 302
