"""A site: a database, perhaps a Redis, and any number of server processes and scripts on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from signal import SIGTERM
from textwrap import dedent
from typing import Any

import httpx

from tests.support import GUARD, ROOT
from tests.support.forks import Forked
from tests.support.processes import Process, ProcessFailed
from tests.support.servers import Kind, Server
from tests.support.sse import Events, listen

STREAM = "/notifications/stream/"

_PROLOGUE = "import django\ndjango.setup()\n"

# What every fresh database holds besides the tables: three users, one of them staff, and a group of two.
SEED = """
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    alice, bob = (User.objects.create_user(name) for name in ("alice", "bob"))
    User.objects.create_user("carol", is_staff=True)
    Group.objects.create(name="team").user_set.add(alice, bob)
"""


class Site:
    """One installation of the test project: its database holds the users alice, bob and carol (staff), and the group "team" of the first two.

    ::

        async def test_it_arrives(site):
            server = site.serve("uvicorn")
            async with site.listen(server, "alice") as events:
                await events.next("hello")
                site.send(server, "notify", to="alice", title="Hello")  # in the server's process
                site.script('notify(User.objects.get(username="alice"), "Hi")', "from sse_notify import notify ...")
                assert [e.json()["title"] for e in await events.take(2)] == ["Hello", "Hi"]
    """

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str,
        redis_url: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a site; its servers and scripts log to ``folder``."""
        self.database_url = database_url
        self.redis_url = redis_url
        self.env = {
            "DATABASE_URL": database_url,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.project.settings",
        }
        if redis_url is not None:
            self.env["REDIS_URL"] = redis_url
        self.env.update(env or {})
        self._folder = folder
        self._numbers = count(1)
        self._servers: list[Server] = []
        self._scripts: list[Process] = []

    def serve(
        self,
        kind: Kind = "uvicorn",
        *,
        app: str | None = None,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Server:
        """Start one more server on this site; return when it accepts connections. It is ended with the site.

        Args:
            kind: what to run it on.
            app: another application than the test project's wrapped one, ``"tests.project.asgi:unwrapped"``.
            port: the port, if it matters.
            env: settings of the test project, see its module.
        """
        log = self._folder / f"{kind}-{next(self._numbers)}.log"
        server = Server(log=log, kind=kind, app=app, port=port, env={**self.env, **(env or {})})
        self._servers.append(server)
        return server.start()

    def script(
        self, code: str, *, timeout: float = GUARD, env: Mapping[str, str] | None = None
    ) -> str:
        """Run Python code in a process of its own, with Django set up for this site; return what it printed.

        Raises:
            ProcessFailed: it did not end with status 0.
        """
        process = self.start_script(code, env=env)
        status = process.wait(timeout)
        if status != 0:
            raise ProcessFailed(f"the script ended with status {status}:\n{process.tail()}")
        return process.output()

    def start_script(self, code: str, *, env: Mapping[str, str] | None = None) -> Process:
        """Start Python code in a process of its own, with Django set up for this site. It is ended with the site."""
        path = self._folder / f"script_{next(self._numbers)}.py"
        path.write_text(_PROLOGUE + dedent(code))
        return self._start([path], env)

    def start_command(self, *args: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a management command in a process of its own, as ``django-admin`` does. It is ended with the site."""
        return self._start(["-m", "django", *args], env)

    def _start(self, args: Sequence[str | Path], env: Mapping[str, str] | None) -> Process:
        log = self._folder / f"script-{next(self._numbers)}.log"
        process = Forked(args, log=log, env={**self.env, **(env or {})})
        self._scripts.append(process)
        process.start()
        return process

    def manage(self, *args: str, timeout: float = GUARD) -> str:
        """Run a management command in a process of its own; return what it printed.

        Raises:
            ProcessFailed: it did not end with status 0.
        """
        return self.script(
            f"from django.core.management import execute_from_command_line as run\nrun({['manage.py', *args]!r})",
            timeout=timeout,
        )

    def cookies(self, server: Server, username: str) -> dict[str, str]:
        """Sign ``username`` in and return the session's cookies, which hold on every server of this site."""
        response = httpx.post(
            server.url + "/login/", data={"username": username}, timeout=GUARD, trust_env=False
        )
        response.raise_for_status()
        return dict(response.cookies)

    def send(self, server: Server, verb: str, **arguments: Any) -> int | None:
        """Call ``notify``, ``broadcast``, ``publish`` or ``report`` inside a server's process; return the row's id.

        Args:
            server: where.
            verb: the verb's name.
            arguments: its arguments; ``to`` is a user's name.
        """
        response = httpx.post(
            f"{server.url}/send/{verb}/", json=arguments, timeout=GUARD, trust_env=False
        )
        response.raise_for_status()
        found: int | None = response.json()["id"]
        return found

    def stats(self, server: Server) -> dict[str, Any]:
        """Return what the server's process holds: ``threads``, ``files``, ``tasks``, ``streams``, ``bytes``, ``counters``, and its ``pid``."""
        found: dict[str, Any] = (
            httpx.get(server.url + "/stats/", timeout=GUARD, trust_env=False)
            .raise_for_status()
            .json()
        )
        return found

    def all_numbered(self, server: Server) -> None:
        """Wait until everything that was sent has its number: a stream that is opened then replays all of it."""
        while self.stats(server)["pending"]:
            pass

    def listen(
        self, server: Server, username: str | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Events]:
        """Open the stream of ``username``, or an anonymous one; ``options`` as for :func:`tests.support.sse.listen`."""
        cookies = self.cookies(server, username) if username else None
        return listen(server.url + STREAM, cookies=cookies, **options)

    def close(self) -> None:
        """End every server and script."""
        for script in self._scripts:
            script.kill()
        for server in self._servers:
            server.process.signal(SIGTERM)
        for server in self._servers:
            server.stop(timeout=5)

    def tail(self) -> str:
        """Return the end of what each server has printed, for the report of a test that failed."""
        return "\n".join(
            f"--- {server.kind} {server.port}\n{server.process.tail()}" for server in self._servers
        )
