"""The tutorial, done word by word: with the wheel, in an empty folder, in a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import pytest
from playwright.sync_api import Page, expect

from tests.docs.pages import DOCS, blocks
from tests.docs.reader import BADGE, BELL, PASSWORD, TITLE, Reader, build, run
from tests.support import GUARD

TUTORIAL = DOCS / "tutorial" / "first-bell.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was installed into. What it needs is taken from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    run([*pip, "--target", str(target), str(build(folder))], folder, {})
    return target


@pytest.fixture
def reader(tmp_path: Path, installed: Path) -> Iterator[Reader]:
    folder = tmp_path / "tutorial"
    folder.mkdir()
    # The settings as manage.py says, if the tests' own were not set.
    env = {"PYTHONPATH": str(installed), "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    one = Reader(folder, env=env)
    yield one
    one.server.stop(timeout=5)
    print(one.server.tail())


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_tutorial_leads_to_the_bell(reader: Reader, page: Page) -> None:
    marked = [block for block in blocks(TUTORIAL) if block.mark]
    before = [block.mark for block in marked].index("serve")
    first, missed = (block for block in marked if block.mark.startswith("shell"))
    for block in marked[:before]:
        reader.do(block)
    imported = reader.run("-c", "import sse_notify; print(sse_notify.__file__)")
    assert reader.env["PYTHONPATH"] in imported, "it is not the wheel that is tried"

    reader.serve()
    page.goto(reader.url)
    page.fill("[name=username]", "ann")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    expect(page.locator(BELL)).to_be_visible()
    expect(page.locator(BADGE)).to_be_hidden()
    expect(page.locator("sse-notify[data-connection=open]")).to_be_attached(timeout=GUARD * 1000)

    reader.do(first)
    expect(page.locator(BADGE)).to_have_text("1", timeout=GUARD * 1000)
    expect(page.locator("[data-ssen-toast]")).to_contain_text("This came from the shell.")
    page.click(BELL)
    expect(page.locator(TITLE)).to_have_text(["Hello"])

    reader.server.stop(SIGINT)
    reader.do(missed)
    reader.serve()
    expect(page.locator(TITLE)).to_have_text(
        ["While you were away", "Hello"], timeout=2 * GUARD * 1000
    )
    expect(page.locator(BADGE)).to_have_text("2")
