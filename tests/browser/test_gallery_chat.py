"""The gallery's chat with a model behind it: a stand-in that speaks OpenAI's protocol, on a socket of this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.browser.gallery import Galleries
from tests.demo.inside.standin import StandIn, stand_in
from tests.support import GUARD
from tests.support.servers import Kind

ANSWER = ["Streams ", "stay ", "<b>open</b>."]


@contextmanager
def model(*words: str) -> Iterator[tuple[StandIn, asyncio.AbstractEventLoop]]:
    """Run a stand-in beside the browser, whose own loop this thread has; yield it and its loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="model")
    thread.start()
    serving = stand_in(*words)
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(GUARD), loop
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(GUARD)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(GUARD)
        loop.close()


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_a_model_answers_in_the_browser_and_is_hung_up_on_by_stop(
    galleries: Galleries, page: Page, kind: Kind
) -> None:
    with (
        model(*ANSWER) as (there, loop),
        galleries.another(kind, OPENAI_BASE_URL=there.url, OPENAI_MODEL="stand-in") as gallery,
    ):
        gallery.open(page, "/chat/", user="alice")
        expect(page.locator("#source")).to_have_text("Answers come from the model stand-in.")
        card = page.locator(".conversation").first
        answers = card.locator(".said:not(.said--user) .said__text")
        card.get_by_label("Your question").fill("What do streams do?")
        card.get_by_role("button", name="Ask", exact=True).click()
        expect(answers).to_have_text(["Streams stay <b>open</b>."])
        expect(card.locator(".said--busy")).to_have_count(0)
        assert (there.asked["model"], there.asked["stream"]) == ("stand-in", True)
        asked = {"role": "user", "content": "What do streams do?"}
        assert there.asked["messages"] == [asked]

        # The next question goes with what was said; its answer would never end.
        there.words.clear()
        card.get_by_label("Your question").fill("And then?")
        card.get_by_role("button", name="Ask", exact=True).click()
        expect(answers.last).to_contain_text("more")
        said = {"role": "assistant", "content": "".join(ANSWER)}
        assert there.asked["messages"] == [asked, said, {"role": "user", "content": "And then?"}]
        assert not there.hung_up.is_set()
        card.get_by_role("button", name="Stop").click()
        expect(card.locator(".said__note:visible")).to_have_text("Stopped.")
        asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(there.hung_up.wait(), GUARD), loop
        ).result(2 * GUARD)
