"""The gallery's chat with a model behind it: a stand-in that speaks OpenAI's protocol, on a socket of this machine.

Each answer is at the test's hand: the stand-in says a word when it is told to, so the middle of an answer lasts as long as a test needs it.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import pytest
from playwright.sync_api import Locator, Page, expect

from demo_project.chat.model import GO_ON
from tests.browser.gallery import Galleries, Gallery
from tests.browser.test_axe import look
from tests.demo.inside.standin import StandIn, stand_in
from tests.support import GUARD
from tests.support.forks import Forked
from tests.support.servers import Kind

ANSWER = ["Streams ", "stay ", "<b>open</b>."]
QUESTION = {"role": "user", "content": "What do streams do?"}
ENDS = {SIGTERM: "interrupted", SIGKILL: "stalled"}


class Chat:
    """The demo on a server of its own, and the model that answers in it."""

    def __init__(self, gallery: Gallery, model: StandIn, loop: asyncio.AbstractEventLoop) -> None:
        """Take both as they run, the model on ``loop``."""
        self.gallery, self.model = gallery, model
        self._loop = loop

    def open(self, page: Page) -> Locator:
        """Open the page as Alice; return her conversation."""
        self.gallery.open(page, "/chat/", user="alice")
        return page.locator(".conversation").first

    def say(self, word: str) -> None:
        """Have the model say a word more."""
        self._loop.call_soon_threadsafe(self.model.say, word)

    def wait_until_hung_up(self) -> None:
        """Return when nobody listens to the model any more."""
        wait = asyncio.wait_for(self.model.hung_up.wait(), GUARD)
        asyncio.run_coroutine_threadsafe(wait, self._loop).result(2 * GUARD)

    def talk_until_hung_up(self) -> None:
        """Have the model say words until nobody listens any more."""

        async def talk() -> None:
            async with asyncio.timeout(GUARD):
                while not self.model.hung_up.is_set():
                    self.model.say("too many ")
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self.model.hung_up.wait(), 0.1)

        asyncio.run_coroutine_threadsafe(talk(), self._loop).result(2 * GUARD)


@contextmanager
def chat(galleries: Galleries, kind: Kind, *words: str, **env: str) -> Iterator[Chat]:
    """Run both beside the browser, whose own loop this thread has."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="model")
    thread.start()
    serving = stand_in(*words)
    try:
        there = asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(GUARD)
        env = {"OPENAI_BASE_URL": there.url, "OPENAI_MODEL": "stand-in", **env}
        try:
            with galleries.another(kind, **env) as gallery:
                yield Chat(gallery, there, loop)
        finally:
            end = serving.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(end, loop).result(GUARD)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(GUARD)
        loop.close()


@contextmanager
def worker(gallery: Gallery, folder: Path) -> Iterator[Forked]:
    """Run the demo's worker."""
    process = Forked(["manage.py", "demo_worker"], log=folder / "worker.log", env=gallery.env)
    process.start(ready=lambda: "ready" in process.output())
    try:
        yield process
    finally:
        process.stop(timeout=GUARD)


def ask(card: Locator, question: str = QUESTION["content"]) -> None:
    """Ask in a conversation."""
    card.get_by_label("Your question").fill(question)
    card.get_by_role("button", name="Ask", exact=True).click()


def answers(card: Locator) -> Locator:
    """Return the texts of the answers."""
    return card.locator(".said:not(.said--user) .said__text")


def tone(card: Locator, name: str) -> Locator:
    """Return the pieces of answers that came in this way."""
    return card.locator(f".said__text [data-tone={name}]")


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_a_model_answers_in_the_browser_and_is_hung_up_on_by_stop(
    galleries: Galleries, page: Page, kind: Kind
) -> None:
    with chat(galleries, kind, *ANSWER) as there:
        card = there.open(page)
        expect(page.locator("#source")).to_contain_text("Answers come from the model stand-in.")
        ask(card)
        expect(answers(card)).to_have_text(["Streams stay <b>open</b>."])
        expect(card.locator(".said--busy")).to_have_count(0)
        expect(card.locator("[data-go-on]:visible")).to_have_count(0)
        asked = there.model.asked
        assert (asked["model"], asked["stream"]) == ("stand-in", True)
        assert asked["messages"] == [QUESTION]

        # The next question goes with what was said; its answer would never end.
        there.model.words.clear()
        ask(card, "And then?")
        expect(answers(card).last).to_contain_text("more")
        said = {"role": "assistant", "content": "".join(ANSWER)}
        then = {"role": "user", "content": "And then?"}
        assert there.model.asked["messages"] == [QUESTION, said, then]
        assert not there.model.hung_up.is_set()
        card.get_by_role("button", name="Stop").click()
        expect(card.locator(".said__note[data-of]:visible")).to_have_text("Stopped.")
        there.wait_until_hung_up()


def test_an_answer_goes_on_over_a_reload_and_in_a_second_tab_which_stops_it(
    galleries: Galleries, page: Page
) -> None:
    with chat(galleries, "uvicorn") as there:
        card = there.open(page)
        early = there.open(page.context.new_page())  # it is open before anything is asked
        ask(card)
        for each in (card, early):
            expect(answers(each)).to_have_text(["more"])

        page.reload()
        expect(answers(card)).to_have_text(["more"])
        expect(tone(card, "replayed")).to_have_text(["more"])
        expect(tone(card, "live")).to_have_count(0)
        there.say("and ")
        there.say("live.")
        expect(answers(card)).to_have_text(["more and live."])
        expect(tone(card, "replayed")).to_have_text(["more "])
        expect(tone(card, "live")).to_have_text(["and live."])
        expect(card.locator(".said__came:visible b")).to_have_text(["1", "2"])

        late = there.open(page.context.new_page())
        expect(tone(late, "replayed")).to_have_text(["more and live."])
        expect(answers(early)).to_have_text(["more and live."])
        assert not there.model.hung_up.is_set()
        late.get_by_role("button", name="Stop").click()
        there.wait_until_hung_up()
        for each in (card, early, late):
            expect(each.locator(".said__note[data-of]:visible")).to_have_text("Stopped.")
            expect(each.get_by_role("button", name="Ask", exact=True)).to_be_visible()
        look(page, "main")

        # What has ended comes with the page, and goes on where anybody says so.
        page.reload()
        expect(answers(card)).to_have_text(["more and live."])
        expect(tone(card, "replayed")).to_have_count(0)
        there.model.words[:] = ["To the ", "end."]
        early.get_by_role("button", name="Go on").click()
        for each in (card, early, late):
            expect(answers(each)).to_have_text(["more and live.To the end."])
            expect(each.locator("[data-go-on]:visible")).to_have_count(0)


@pytest.mark.parametrize(
    ("kind", "number"), [("uvicorn", SIGTERM), ("uvicorn", SIGKILL), ("daphne", SIGTERM)]
)
def test_a_server_that_dies_in_the_middle_leaves_an_answer_that_goes_on(
    galleries: Galleries, page: Page, kind: Kind, number: Signals
) -> None:
    with chat(galleries, kind, CHAT_STALLS_AFTER="4") as there:
        card = there.open(page)
        ask(card)
        expect(answers(card)).to_have_text(["more"])
        page.evaluate("window.stays = true")
        there.gallery.server.stop(number)
        there.gallery.server.start()
        expect(card.locator(".said")).to_have_count(2)
        expect(card.locator(f".said[data-state={ENDS[number]}]")).to_be_visible()
        expect(card.locator(".said__note[data-of]:visible")).to_have_text(
            re.compile(f"^{ENDS[number].title()}: ")
        )
        expect(answers(card)).to_have_text(["more"])
        goes_on(there, card)
        assert page.evaluate("window.stays")
        page.reload()
        expect(answers(card)).to_have_text(["more to the end."])


@pytest.mark.parametrize("number", [SIGTERM, SIGKILL])
def test_a_worker_writes_an_answer_and_may_die_of_it(
    galleries: Galleries, page: Page, tmp_path: Path, number: Signals
) -> None:
    with chat(galleries, "uvicorn", CHAT_STALLS_AFTER="4") as there:
        card = there.open(page)
        card.get_by_label("Answer in the worker process").check()
        ask(card)
        expect(card.locator(".said__note[data-of]:visible")).to_contain_text("Waiting for a worker")
        with worker(there.gallery, tmp_path) as process:
            expect(answers(card)).to_have_text(["more"])
            page.reload()
            expect(tone(card, "replayed")).to_have_text(["more"])
            process.stop(number)
        expect(card.locator(f".said[data-state={ENDS[number]}]")).to_be_visible()
        expect(answers(card)).to_have_text(["more"])
        card.get_by_label("Answer in the worker process").check()
        with worker(there.gallery, tmp_path):
            goes_on(there, card)


def test_a_worker_is_stopped_from_the_page_before_it_begins_and_after(
    galleries: Galleries, page: Page, tmp_path: Path
) -> None:
    with chat(galleries, "uvicorn") as there:
        card = there.open(page)
        card.get_by_label("Answer in the worker process").check()
        ask(card)
        card.get_by_role("button", name="Stop").click()
        expect(card.locator(".said__note[data-of]:visible")).to_have_text("Stopped.")
        with worker(there.gallery, tmp_path):
            card.get_by_label("Answer in the worker process").check()
            card.get_by_role("button", name="Go on").click()
            expect(answers(card)).to_have_text(["more"])
            card.get_by_role("button", name="Stop").click()
            expect(card.locator(".said__note[data-of]:visible")).to_have_text("Stopped.")
            there.talk_until_hung_up()  # a worker finds out as it writes
        page.reload()
        expect(answers(card)).to_have_text(["more"])


def goes_on(there: Chat, card: Locator) -> None:
    """Have the answer go on; the model gets what is there so far."""
    there.model.words[:] = ["to the ", "end."]
    card.get_by_role("button", name="Go on").click()
    expect(answers(card)).to_have_text(["more to the end."])
    expect(card.locator(".said--busy")).to_have_count(0)
    said = {"role": "assistant", "content": "more "}
    assert there.model.asked["messages"] == [QUESTION, said, {"role": "user", "content": GO_ON}]
