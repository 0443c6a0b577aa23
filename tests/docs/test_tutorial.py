"""The tutorial, done word by word: with the wheel, in an empty folder, in a browser.

Comments in the page say what a block is: a file, what to append to one, settings to assign, commands to run, the server, or what is typed into the shell.
"""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import pytest
from playwright.sync_api import Page, expect

from tests.docs.pages import DOCS, Block, blocks
from tests.support import GUARD, ROOT
from tests.support.processes import Process, free_port, listens

PASSWORD = "a tutorial's secret"
TUTORIAL = DOCS / "tutorial" / "first-bell.md"
BELL, BADGE, TITLE = "[data-ssen=bell]", "[data-ssen=badge]", "[data-ssen=panel] [data-ssen=title]"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was installed into. What it needs is taken from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignore = shutil.ignore_patterns("node_modules", "__pycache__")
    shutil.copytree(ROOT / "sse_notify", source / "sse_notify", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], source, {})
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            "--target",
            str(target),
            str(wheel),
        ],
        folder,
        {},
    )
    return target


class Reader:
    """Somebody who does what the tutorial says, in a folder of their own."""

    def __init__(self, folder: Path, installed: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.env = {
            "PYTHONPATH": str(installed),
            "DJANGO_SETTINGS_MODULE": "mysite.settings",  # as manage.py says, if the tests' own were not set
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }
        self.server = Process(
            [sys.executable, "manage.py", "runserver", "--noreload", str(self.port)],
            log=folder.parent / "server.log",
            env=self.env,
            cwd=folder,
        )

    def do(self, block: Block) -> None:
        """Do what one block says."""
        kind, _, what = block.mark.partition(": ")
        match kind:
            case "file":
                path = self.folder / what
                path.parent.mkdir(exist_ok=True)
                path.write_text(block.code)
            case "append":
                path = self.folder / what
                path.write_text(path.read_text() + block.code)
            case "assign":
                self.assign(self.folder / what, block.code)
            case "run":
                for line in block.code.splitlines():
                    program, *arguments = shlex.split(line.removeprefix("$ "))
                    start = ["-m", "django"] if program == "django-admin" else []
                    assert start or program == "python", line
                    run([sys.executable, *start, *arguments, *what.split()], self.folder, self.env)
            case "shell":
                run([sys.executable, "manage.py", "shell", "-c", block.code], self.folder, self.env)
            case _:
                raise AssertionError(f"{block}: {block.mark!r} is nothing that a reader does")

    def assign(self, path: Path, code: str) -> None:
        """Put each assignment of ``code`` in the place of the one that the file has, or at its end."""
        for wanted in ast.parse(code).body:
            assert isinstance(wanted, ast.Assign)
            text = path.read_text()
            lines = text.splitlines()
            name = ast.unparse(wanted.targets[0])
            there = [
                n
                for n in ast.parse(text).body
                if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == name
            ]
            start, end = (
                (there[0].lineno - 1, there[0].end_lineno) if there else (len(lines), len(lines))
            )
            lines[start:end] = [ast.get_source_segment(code, wanted) or ""]
            path.write_text("\n".join(lines) + "\n")

    def serve(self) -> None:
        """Start the server, and wait until it serves."""
        self.server.start(ready=lambda: listens(self.port))


@pytest.fixture
def reader(tmp_path: Path, installed: Path) -> Iterator[Reader]:
    folder = tmp_path / "tutorial"
    folder.mkdir()
    one = Reader(folder, installed)
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
    imported = run(
        [sys.executable, "-c", "import sse_notify; print(sse_notify.__file__)"],
        reader.folder,
        reader.env,
    )
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


def run(command: list[str], folder: Path, env: dict[str, str]) -> str:
    """Run a command in a folder to its good end; return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=GUARD * 3,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
