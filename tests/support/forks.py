"""Python processes that begin warm: forked off one that has imported what they all import.

What begins so is a process of its own in all that tests look at: its id, group, environment, files, signals and end. Spared is most of a
second, at every server and every script, in which an interpreter imports Django, a server and the clients of databases.

``python -m tests.support.forks`` is the one that they are forked off. It has a single thread, no event loop and no settings: it reads
one line of JSON for each process, and writes one when that has begun and one when it has ended.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import itertools
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import GUARD, ROOT
from tests.support.processes import Child, Process

#: What is imported before: nothing that looks at settings or at the environment (``prometheus_client`` does), makes an event loop (Twisted's
#: reactor does) or starts a thread.
_MODULES = (
    "channels_redis.core",
    "channels_redis.pubsub",
    "dj_database_url",
    "psycopg",
    "httpx",
    "django.contrib.auth.hashers",
    "django.contrib.staticfiles.handlers",
    "django.core.handlers.wsgi",
    "django.core.management.commands.migrate",
    "django.core.management.commands.runserver",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.views.i18n",
    "hypercorn.__main__",
    "hypercorn.asyncio.run",
    "uvicorn.main",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
    "autobahn.websocket.protocol",
    "twisted.internet.asyncioreactor",
    "twisted.protocols.tls",
    "twisted.web.http",
)


class Forked(Process):
    """A process that runs Python code, begun warm. Its arguments are a script's path, or ``-m`` and a module's name, and what these take."""

    def __init__(
        self, args: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Prepare the process; :meth:`start` starts it. The arguments are those of :class:`Process`."""
        super().__init__([sys.executable, *args], log=log, env=env)

    def _spawn(self) -> Child:
        # What measures a process from its first line on has to see that line.
        if any(name.startswith("COVERAGE_PROCESS") for name in os.environ):
            return super()._spawn()
        return _nursery().fork(
            {"args": self.args[1:], "env": self._env, "log": str(self.log), "cwd": str(self._cwd)}
        )


class _Twig:
    """A process that was forked off, with the methods of ``subprocess.Popen`` that :class:`Process` calls."""

    def __init__(self) -> None:
        self.pid = 0
        self.began = threading.Event()
        self.ended = threading.Event()
        self.status = 0

    def poll(self) -> int | None:
        return self.status if self.ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return self.status

    def send_signal(self, number: int) -> None:
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class _Nursery:
    """The process that others are forked off, as seen from the tests."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        self._numbers = itertools.count()
        self._asked: dict[int, _Twig] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="forks", daemon=True)
        self._reader.start()
        atexit.register(self._close)

    def fork(self, request: dict[str, Any]) -> _Twig:
        """Have a process begin; return when it has an id and a group of that id."""
        assert self._popen.stdin is not None
        twig = _Twig()
        with self._lock:
            number = next(self._numbers)
            self._asked[number] = twig
            self._popen.stdin.write(json.dumps({"number": number, **request}).encode() + b"\n")
            self._popen.stdin.flush()
        if not twig.began.wait(3 * GUARD):
            raise TimeoutError("no process began")
        return twig

    def _read(self) -> None:
        assert self._popen.stdout is not None
        running: dict[int, _Twig] = {}
        for line in self._popen.stdout:
            said = json.loads(line)
            if "status" in said:
                twig = running.pop(said["pid"])
                twig.status = said["status"]
                twig.ended.set()
            else:
                twig = running[said["pid"]] = self._asked.pop(said["number"])
                twig.pid = said["pid"]
                twig.began.set()

    def _close(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self._popen.wait()


@cache
def _nursery() -> _Nursery:
    return _Nursery()


def _say(**said: int) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")  # in one piece: it is shorter than PIPE_BUF


def _tell_of_the_ended() -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _say(pid=ended[0], status=os.waitstatus_to_exitcode(ended[1]))


def _requests() -> Iterator[bytes]:
    """Yield each line of the standard input until it ends; tell meanwhile of processes that have ended."""
    heard, woken = os.pipe()
    for end in (heard, woken):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    unread = b""
    while True:
        ready, _, _ = select.select([0, heard], [], [])
        if heard in ready:
            os.read(heard, 1000)
            _tell_of_the_ended()
        if 0 in ready:
            if not (data := os.read(0, 65536)):
                return
            *lines, unread = (unread + data).split(b"\n")
            yield from lines


def _become(request: dict[str, Any]) -> None:
    """Be the process that was asked for: a leader of its own group, with its own files, signals and environment."""
    os.setsid()
    _say(number=request["number"], pid=os.getpid())
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing, log = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
    )
    for number, file in enumerate((nothing, log, log)):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[:0] = [
        path
        for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if path and path not in sys.path
    ]


def _run(args: list[str]) -> None:
    if args[0] == "-m":
        sys.argv = args[1:]
        runpy.run_module(args[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = args
        runpy.run_path(args[0], run_name="__main__")


def main() -> None:
    """Fork as asked; a forked process runs what it was asked to, and ends as an interpreter does."""
    for name in _MODULES:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    for line in _requests():
        if os.fork() == 0:
            request = json.loads(line)
            _become(request)
            return _run(request["args"])


if __name__ == "__main__":
    main()
