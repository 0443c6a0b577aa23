"""The site that ``docs/deploy.md`` speaks of: a project as Django makes it, this package added, and the files of ``deploy/``."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import ssl
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlsplit

import httpx
from django.core.management import call_command
from httpx_sse import EventSource, ServerSentEvent

from tests.docs.pages import DOCS, blocks
from tests.support import GUARD, ROOT
from tests.support.processes import Process, ProcessFailed

DEPLOY = ROOT / "deploy"
STREAM = "/notifications/stream/"

# What a reader of "Add it to a site" has done before. The settings are those that tests wait for.
SETTINGS = """
INSTALLED_APPS += ["sse_notify"]
ASGI_APPLICATION = "mysite.asgi.application"
SSE_NOTIFY = {"HEARTBEAT": 0.4, "MAX_STREAMS_PER_USER": 100}
if "MAILERS" in globals():  # Django 6.1
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}}
"""
ASGI = """
from django.core.asgi import get_asgi_application
from sse_notify.asgi.app import EventStreams
application = EventStreams(get_asgi_application())
"""
URLS = '''
from django.contrib import admin
from django.http import HttpResponse
from django.template import engines
from django.urls import include, path

PAGE = """{% load sse_notify %}<!doctype html><html lang="en"><head><title>mysite</title><link rel="icon" href="data:,">{% sse_notify_assets %}</head>
<body>{% sse_notify_widget desktop=True sound="on" title_badge=True %}</body></html>"""

def page(request):
    return HttpResponse(engines["django"].from_string(PAGE).render({}, request))

urlpatterns = [path("", page), path("admin/", admin.site.urls), path("notifications/", include("sse_notify.urls"))]
'''
# Somebody who is signed in: a session's key.
SIGN_IN = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
alice = User.objects.get(username="alice")
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY], session[HASH_SESSION_KEY] = str(alice.pk), alice.get_session_auth_hash()
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session.save()
print(session.session_key)
"""


class Mysite:
    """The site, its database migrated and its static files collected.

    Args:
        folder: where to put it.
        database_url: a PostgreSQL database with the user alice.
        redis_url: a Redis.
    """

    def __init__(self, folder: Path, *, database_url: str, redis_url: str) -> None:
        """Make the site."""
        self.folder = folder
        self.static = folder / "static_root"
        self._processes: list[Process] = []
        call_command("startproject", "mysite", str(folder))
        with (folder / "mysite" / "settings.py").open("a") as settings:
            settings.write(SETTINGS)
        (folder / "mysite" / "asgi.py").write_text(ASGI)
        (folder / "mysite" / "urls.py").write_text(URLS)
        shutil.copy(DEPLOY / "production.py", folder / "mysite")
        self.env = {**environment_file(), **_own(database_url, redis_url), "PYTHONPATH": str(ROOT)}
        self.session = self.shell(_commands() + SIGN_IN).splitlines()[-1]

    def start(self, command: str) -> Process:
        """Start one command of the documentation, without a wait. It ends with the test."""
        program, *arguments = shlex.split(command)
        binary = Path(sys.executable).parent / Path(program).name
        log = self.folder / f"{binary.name}-{len(self._processes)}.log"
        process = Process([binary, *arguments], log=log, env=self.env, cwd=self.folder)
        self._processes.append(process)
        process.start()
        return process

    def start_unit(self, port: int) -> Process:
        """Start what the systemd unit starts for one port, without a wait."""
        return self.start(unit()["ExecStart"].replace("%i", str(port)))

    def manage(self, *arguments: str) -> str:
        """Run a management command; return what it printed."""
        process = Process(
            [sys.executable, "manage.py", *arguments],
            log=self.folder / "manage.log",
            env=self.env,
            cwd=self.folder,
        )
        before = len(process.output())
        process.start()
        if process.wait() != 0:
            raise ProcessFailed(f"{arguments}: {process.tail()}")
        return process.output()[before:].strip()

    def shell(self, code: str) -> str:
        """Run Python code in Django's shell; return what it printed."""
        return self.manage("shell", "--verbosity", "0", "--command", dedent(code))

    def notify(self, title: str) -> None:
        """Notify alice, in a process of its own."""
        who = "from django.contrib.auth.models import User\nfrom sse_notify import notify\n"
        self.shell(f"{who}notify(User.objects.get(username='alice'), {title!r})")

    def client(self, url: str, *, trust: ssl.SSLContext | bool = True) -> httpx.Client:
        """Return a client that is signed in; without nginx in between it says what nginx would say."""
        headers = {"Accept": "text/event-stream", "X-Forwarded-Proto": "https"}
        cookies = {"sessionid": self.session}
        return httpx.Client(
            base_url=url,
            cookies=cookies,
            headers=headers,
            timeout=GUARD,
            trust_env=False,
            verify=trust,
        )

    def close(self) -> None:
        """End every process."""
        for process in self._processes:
            process.stop(timeout=5)

    def tail(self) -> str:
        """Return the end of what the processes printed."""
        return "\n".join(f"--- {process}\n{process.tail(30)}" for process in self._processes)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate, and how to believe in it."""

    files: tuple[Path, Path]
    """The certificate and its key."""
    trust: ssl.SSLContext
    """What a client takes that accepts it."""


class Stream:
    """The events of an open response, one after the other."""

    def __init__(self, response: httpx.Response) -> None:
        """Read ``response``, whose head has arrived."""
        response.raise_for_status()
        self.response = response
        self._events: Iterator[ServerSentEvent] = EventSource(response).iter_sse()

    def next(self, name: str) -> ServerSentEvent:
        """Return the next event of this name."""
        return next(event for event in self._events if event.event == name)

    def rest(self) -> list[str]:
        """Return the names of what still comes until the stream ends."""
        return [event.event for event in self._events]


def unit(name: str = "mysite@.service") -> Mapping[str, str]:
    """Return the section ``[Service]`` of a systemd unit."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # its keys have capitals
    parser.read(DEPLOY / name)
    return parser["Service"]


def environment_file() -> dict[str, str]:
    """Return what ``mysite.env`` sets."""
    lines = [
        line
        for line in (DEPLOY / "mysite.env").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    return dict(line.split("=", 1) for line in lines)


def seconds(pattern: str, text: str) -> float:
    """Return the number that ``pattern`` finds in a command or a configuration."""
    found = re.search(pattern, text)
    assert found, pattern
    return float(found[1])


def _commands() -> str:
    """Return Python code that runs the commands of the page, all in one process."""
    (block,) = [block for block in blocks(DOCS / "deploy.md") if block.mark == "manage"]
    commands = [
        shlex.split(line)[3:]
        for line in block.code.splitlines()
        if line.startswith("$ python manage.py ")
    ]
    assert len(commands) == len(block.code.splitlines())
    return "from django.core.management import call_command\n" + "".join(
        f"call_command({name!r}, *{options!r}, verbosity=0)\n" for name, *options in commands
    )


def _own(database_url: str, redis_url: str) -> dict[str, str]:
    """Return what this site has in place of what ``mysite.env`` says."""
    database = urlsplit(database_url)
    return {
        "SECRET_KEY": "only-for-tests-" + "z" * 40,
        "ALLOWED_HOSTS": "127.0.0.1",
        "DB_NAME": database.path[1:],
        "DB_USER": database.username or "",
        "DB_PASSWORD": database.password or "",
        "DB_HOST": database.hostname or "",
        "DB_PORT": str(database.port),
        "REDIS_URL": redis_url,
    }
