"""Somebody who does what a page says, word by word, in a folder of their own.

Comments in a page say what a block is: a file, what to append to one, what to put into one before a text, settings to assign, commands
to run, or what is typed into the shell.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.docs.pages import Block, blocks
from tests.support import GUARD, ROOT
from tests.support.processes import Process, free_port, listens

PASSWORD = "a tutorial's secret"
BELL, BADGE, TITLE = "[data-ssen=bell]", "[data-ssen=badge]", "[data-ssen=panel] [data-ssen=title]"
RUNSERVER = ("manage.py", "runserver", "--noreload")

#: What a reader does with a block, as ``do()`` has it.
_KIND = re.compile(r"(file|append|assign|before .+): |(run|install|shell)\b")


class Reader:
    """A reader, with a Python and a folder for the project."""

    def __init__(
        self,
        folder: Path,
        *,
        python: Path | None = None,
        wheel: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        """Prepare a reader.

        Args:
            folder: where the project is.
            python: the one that runs everything; this process's if there is none.
            wheel: what `pip install sse-notify` takes.
            env: more of the environment.
        """
        self.folder = folder
        self.python = str(python or sys.executable)
        self.wheel = wheel
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.env = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, **(env or {})}
        self.server = self.process(*RUNSERVER, str(self.port))

    def follow(self, page: Path, choice: str = "") -> None:
        """Do all that a page says; with a choice only what it says for that, such as ``<!-- wagtail file: ... -->``."""
        start = f"{choice} " if choice else ""
        marked = [block for block in blocks(page) if _KIND.match(block.mark.removeprefix(start))]
        chosen = [block for block in marked if block.mark.startswith(start)]
        assert chosen, f"{page} says nothing to do"
        for block in chosen:
            self.do(replace(block, mark=block.mark.removeprefix(start)))

    def do(self, block: Block) -> None:
        """Do what one block says."""
        kind, _, what = block.mark.partition(": ")
        path = self.folder / what
        if kind.startswith("before "):
            self.insert(path, kind.removeprefix("before "), block.code)
            return
        match kind:
            case "file":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.code)
            case "append":
                path.write_text(path.read_text() + block.code)
            case "assign":
                self.assign(path, block.code)
            case "run" | "install":
                for line in block.code.splitlines():
                    self.type(f"{line.removeprefix('$ ')} {what}")
            case "shell":
                self.manage("shell", "-c", block.code)
            case _:
                raise AssertionError(f"{block}: {block.mark!r} is nothing that a reader does")

    def type(self, line: str) -> str:
        """Run a line of a terminal; return what it printed."""
        program, *arguments = shlex.split(line)
        start = {"python": [], "django-admin": ["-m", "django"], "pip": ["-m", "pip"]}.get(program)
        assert start is not None, line
        if program == "pip":
            arguments += ["--quiet", "--disable-pip-version-check"]
            arguments = [self._ours(argument) for argument in arguments]
        return self.run(*start, *arguments)

    def _ours(self, requirement: str) -> str:
        if not requirement.startswith("sse-notify"):
            return requirement
        assert self.wheel is not None
        return f"{requirement} @ {self.wheel.as_uri()}"

    def run(self, *arguments: str, timeout: float = GUARD * 3) -> str:
        """Run Python in the folder to its good end; return what it printed."""
        return run([self.python, *arguments], self.folder, self.env, timeout)

    def manage(self, *arguments: str) -> str:
        """Run a command of the project."""
        return self.run("manage.py", *arguments)

    def append(self, name: str, code: str) -> None:
        """Put ``code`` at the end of a file."""
        with (self.folder / name).open("a") as file:
            file.write(code)

    def insert(self, path: Path, text: str, code: str) -> None:
        """Put ``code`` before the one place that has ``text``."""
        before, found, after = path.read_text().partition(text)
        assert found, f"{path} has no {text!r}"
        assert text not in after, f"{path} has {text!r} twice"
        path.write_text(f"{before}{code}{found}{after}")

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

    def process(self, *arguments: str) -> Process:
        """Return a process of Python in the folder, not yet started."""
        log = self.folder.parent / "server.log"
        return Process([self.python, *arguments], log=log, env=self.env, cwd=self.folder)

    def serve(self) -> None:
        """Start the server, and wait until it serves."""
        self.server.start(ready=lambda: listens(self.port))


def build(folder: Path) -> Path:
    """Build the checkout's wheel in a folder; return its path."""
    source = folder / "source"
    ignore = shutil.ignore_patterns("node_modules", "__pycache__")
    shutil.copytree(ROOT / "sse_notify", source / "sse_notify", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], source, {})
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(command: list[str], folder: Path, env: dict[str, str], timeout: float = GUARD * 3) -> str:
    """Run a command in a folder to its good end; return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
