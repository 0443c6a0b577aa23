"""Where the documentation tells users to import from, and when they do."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, assert_type

import pytest

import sse_notify

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sse_notify.models import Notification
    from sse_notify.topics import Audience

    # Type checkers see the true signatures. mypy reads this function, and nothing runs it.
    async def _types(user: User) -> None:
        assert_type(sse_notify.notify(user, "Hello"), Notification)
        assert_type(sse_notify.notify([user], "Hello", level="info"), list[Notification])
        assert_type(await sse_notify.anotify(user, "Hello"), Notification)
        audience: Audience = sse_notify.STAFF
        assert_type(sse_notify.broadcast("Hello", audience=audience), Notification)
        assert_type(sse_notify.unread_count(user), int)
        assert_type(await sse_notify.aunread_count(user), int)
        sse_notify.notify(user)  # type: ignore[call-overload]
        sse_notify.Event(colour="red")  # type: ignore[call-arg]
        with sse_notify.Progress(user, "Export") as progress:
            assert_type(progress, sse_notify.Progress)


PUBLIC_NAMES: list[str] = vars(sse_notify)["__all__"]

ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from sse_notify.asgi.app import EventStreams
from django.core.asgi import get_asgi_application
application = EventStreams(get_asgi_application())
"""
TOPICS = "from sse_notify import topic\ntopic('order.<int:pk>')(lambda user, pk: True)"
APP = "import sse_notify\nassert sse_notify.__version__\nassert 'notify' in dir(sse_notify)"
EARLY_CALL = """
from sse_notify import unread_count
try:
    unread_count(None)
except Exception as error:
    print(type(error).__name__)
"""
EACH_NAME = """
import sys
import sse_notify
for name in sse_notify.__all__:
    for module in [module for module in sys.modules if module.startswith("sse_notify")]:
        del sys.modules[module]  # what one name loads does not help the next
    exec(f"from sse_notify import {name}")
    print(name)
"""
EVERY_NAME_BEFORE_AND_AFTER_SETUP = """
import asyncio, inspect, os
from sse_notify import *
import sse_notify
early = {name: globals()[name] for name in sse_notify.__all__}

class MyEvent(Event):
    pass

@topic("early.<int:pk>")
def may_listen(user, pk: int) -> "bool":
    return True

def view() -> EventStreamResponse | None: ...

try:
    raise ProgressFailed("The file is empty.")
except ProgressFailed:
    pass
assert issubclass(Cancelled, Exception) and EVERYONE == "everyone" and STAFF == "staff"
assert Event("x").encode() == b"data: x\\n\\n"

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
WRONG = range(20)
for name, value in early.items():
    true = getattr(sse_notify, name)
    assert getattr(value, "__name__", name) == name, name
    assert inspect.iscoroutinefunction(value) == inspect.iscoroutinefunction(true), name
    if not callable(value) or name in ("Cancelled", "ProgressFailed"):
        assert value is true, name
        continue
    try:
        result = value(*WRONG) if not name.startswith("amute") else value()
        if inspect.isawaitable(result):
            asyncio.run(result)
    except TypeError as error:
        print(name, error)
    else:
        raise AssertionError(f"{name} takes anything")

response = sse_notify.EventStreamResponse(["text"])
assert isinstance(response, EventStreamResponse) and not isinstance(1, EventStreamResponse)
class MyResponse(EventStreamResponse):
    pass
assert issubclass(MyResponse, sse_notify.EventStreamResponse)
assert isinstance(EventStreamResponse(["text"]), sse_notify.EventStreamResponse)
"""


def run(code: str) -> str:
    """Run ``code`` in a new process without settings, and return what it prints."""
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("code", [ASGI, TOPICS, APP], ids=["asgi.py", "topics.py", "anywhere"])
def test_it_is_imported_before_djangos_apps_are_ready(code: str) -> None:
    run(code)


def test_every_public_name_is_imported_by_itself_before_djangos_apps_are_ready() -> None:
    """It raised AppRegistryNotReady, as in a module that is loaded before ``django.setup()``."""
    assert run(EACH_NAME).split() == PUBLIC_NAMES


def test_what_was_imported_before_djangos_apps_are_ready_works_when_they_are() -> None:
    run(EVERY_NAME_BEFORE_AND_AFTER_SETUP)


def test_a_call_before_djangos_apps_are_ready_says_so() -> None:
    printed = run(EARLY_CALL).strip()
    assert printed in ("AppRegistryNotReady", "ImproperlyConfigured")


def test_every_public_name_is_there_and_no_other() -> None:
    from sse_notify.access import links
    from sse_notify.notifications import send

    assert sse_notify.notify is send.notify, "with the apps ready a name is the thing itself"
    assert sse_notify.signed_stream_url is links.signed_stream_url
    assert {*PUBLIC_NAMES} < {*dir(sse_notify)}
    for name in PUBLIC_NAMES:
        assert getattr(sse_notify, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sse_notify.nothing  # type: ignore[attr-defined]  # noqa: B018
