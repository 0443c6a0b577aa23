"""The guide to AI replies that resume, done word by word: with the wheel, in an empty folder, in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest
from playwright.sync_api import Page, expect

from tests.docs.pages import DOCS, blocks
from tests.docs.reader import PASSWORD, Reader
from tests.docs.test_tutorial import installed
from tests.support import GUARD

__all__ = ["installed"]  # a fixture

GUIDE = DOCS / "how-to" / "resume-an-ai-reply.md"
ANSWER, STATE = "#answer", "#state"

#: Runs count as stalled after a second instead of two minutes.
HURRY = "from sse_notify.contrib.runs import Run; Run.objects.update(stalls_after=1)"


@pytest.fixture
def reader(tmp_path: Path, installed: Path) -> Iterator[Reader]:
    folder = tmp_path / "guide"
    folder.mkdir()
    env = {"PYTHONPATH": str(installed), "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    one = Reader(folder, env=env)
    yield one
    one.server.stop(timeout=5)
    print(one.server.tail())


def said(question: str) -> str:
    """Return the whole answer to a question, as the guide's model gives it."""
    words = f"You asked: {question} Here is a long answer. ".split() * 8
    return "".join(f"{word} " for word in words)


def begun(page: Page, question: str, more_than: int = 0) -> int:
    """Wait for more words than ``more_than`` of an answer; return how many there are, each once and in order."""
    expect(page.locator(ANSWER)).to_have_text(
        re.compile(rf"^\s*(\S+\s+){{{more_than + 1}}}"), timeout=GUARD * 1000
    )
    text = page.locator(ANSWER).text_content() or ""
    assert said(question).startswith(text)
    return len(text.split())


def ask(page: Page, question: str) -> None:
    page.fill("[name=question]", question)
    page.get_by_role("button", name="Ask").click()


def test_the_guide_is_short() -> None:
    """Nothing else is needed for a chat that resumes."""
    code = {"python": 0, "javascript": 0}
    for block in blocks(GUIDE):
        if not block.mark.startswith(("file: ", "append: ")):
            continue
        for language, text in (
            ("python", block.code if block.language == "python" else ""),
            (
                "javascript",
                "".join(re.findall(r"<script[^>]*>(.*?)</script>", block.code, re.DOTALL)),
            ),
        ):
            code[language] += sum(bool(line.strip()) for line in text.splitlines())
    assert 0 < code["python"] <= 40
    assert 0 < code["javascript"] <= 20


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_guide_leads_to_a_chat_that_resumes(reader: Reader, page: Page) -> None:
    marked = [block for block in blocks(GUIDE) if block.mark]
    for block in marked[: [block.mark for block in marked].index("serve")]:
        reader.do(block)
    imported = reader.run("-c", "import sse_notify; print(sse_notify.__file__)")
    assert reader.env["PYTHONPATH"] in imported, "it is not the wheel that is tried"
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    reader.serve()
    page.goto(f"{reader.url}chat/1/")
    page.fill("[name=username]", "ann")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    expect(page.get_by_role("button", name="Ask")).to_be_visible()

    # Reload in the middle.
    ask(page, "Why?")
    count = begun(page, "Why?", 3)
    page.reload()
    count = begun(page, "Why?", count)

    # A second tab; stop from there.
    second = page.context.new_page()
    second.on("pageerror", lambda error: errors.append(str(error)))
    second.goto(f"{reader.url}chat/1/")
    begun(second, "Why?", count)
    second.get_by_role("button", name="Stop").click()
    for tab in (page, second):
        expect(tab.locator(STATE)).to_have_text("stopped", timeout=GUARD * 1000)
    assert page.text_content(ANSWER) == second.text_content(ANSWER) != said("Why?")

    # Ask again, twice: the second click shows the same run. And to the end.
    ask(page, "How?")
    begun(page, "How?", 2)
    ask(page, "How?")
    begun(page, "How?", 4)
    second.reload()
    for tab in (page, second):
        expect(tab.locator(STATE)).to_have_text("done", timeout=GUARD * 1000)
        assert tab.text_content(ANSWER) == said("How?")
    page.reload()
    expect(page.locator(STATE)).to_have_text("done", timeout=GUARD * 1000)
    assert page.text_content(ANSWER) == said("How?")

    # Kill the server in the middle: nothing is lost that was shown, and the page says that it is over.
    ask(page, "When?")
    count = begun(page, "When?", 3)
    reader.server.stop(SIGKILL)
    before = page.text_content(ANSWER)
    reader.manage("shell", "-c", HURRY)
    reader.serve()
    expect(page.locator(STATE)).to_have_text("stalled", timeout=GUARD * 2000)
    after = page.text_content(ANSWER)
    assert before
    assert after
    assert after.startswith(before)
    assert said("When?").startswith(after)
    assert after != said("When?")
    second.reload()
    expect(second.locator(STATE)).to_have_text("stalled", timeout=GUARD * 1000)
    assert second.text_content(ANSWER) == after
    assert errors == []
