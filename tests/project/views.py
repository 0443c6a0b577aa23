"""What tests ask of a running server: sign somebody in, make it notify, tell what it holds."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from time import time
from typing import Any

from django.contrib.auth import get_user_model, login
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.template import engines
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import sse_notify
from sse_notify import counters
from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.log.sequence import count_pending
from sse_notify.models import Notification
from sse_notify.sse.format import encode_json
from sse_notify.streaming import registry
from sse_notify.streaming.limits import admission
from sse_notify.topics import user_topic
from tests.docs.pages import DOCS, blocks

#: The pages of the documentation whose samples tests open.
FRAMEWORKS = ("htmx.md", "react.md", "vue.md")


def page(request: HttpRequest) -> HttpResponse:
    """Show a page with the bell; with ``?loud`` one that also does what is off by default.

    ``?transport=eventsource`` has the browser's EventSource open the stream.
    """
    transport = request.GET.get("transport", "fetch")
    options = {"loud": "loud" in request.GET, "transport": transport}
    return render(request, "tests/page.html", options)


def documented(request: HttpRequest, name: str) -> HttpResponse:
    """Show a page of the documentation: its ``page`` block of that name and its ``script`` block, beside the framework of ``with``."""
    found = {
        block.mark: block.code for guide in FRAMEWORKS for block in blocks(DOCS / "how-to" / guide)
    }
    inside = engines["django"].from_string(found[f"page: {name}"]).render({}, request)
    framework = request.GET.get("with", "") or request.session.get("framework", "")
    request.session["framework"] = framework
    values = {"inside": inside, "script": found.get(f"script: {name}", ""), "framework": framework}
    return render(request, "tests/documented.html", values)


@csrf_exempt
@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in as ``username``, no questions asked; with ``new``, as a user who is made for it."""
    if "new" in request.POST:
        get_user_model().objects.create_user(request.POST["username"])
    login(request, get_object_or_404(get_user_model(), username=request.POST["username"]))
    return HttpResponse(status=204)


@csrf_exempt
@require_POST
def send(request: HttpRequest, verb: str) -> JsonResponse:
    """Call a verb in this process with the arguments of the JSON body; ``to`` is a user's name.

    With ``progress``, the row is that of long work in this state. The verb ``report`` sends an event of long work.
    """
    arguments = json.loads(request.body)
    progress = arguments.pop("progress", None)
    if "to" in arguments:
        arguments["to"] = get_user_model().objects.get(username=arguments["to"])
    verbs: dict[str, Callable[..., Any]] = {
        "notify": sse_notify.notify,
        "broadcast": sse_notify.broadcast,
        "publish": sse_notify.publish,
        "report": report,
    }
    with transaction.atomic() if progress else nullcontext():
        row = verbs[verb](**arguments)
        if progress:
            run = {"id": "1", "heard_at": time(), "stalls_after": 3600, "cancellable": True}
            Notification.objects.filter(pk=row.pk).update(progress_state={**progress, "run": run})
    return JsonResponse({"id": row.pk if row is not None else None})


def report(to: Any, data: Any) -> None:
    """Send ``to`` an event as ``Progress`` sends it."""
    publisher.ring(Ephemeral(user_topic(to.pk), encode_json(data, event="progress")))


def stats(request: HttpRequest) -> JsonResponse:
    """Tell what this process holds: threads, open files, tasks, streams (also those of ``user``), resident bytes, and its counters.

    With a pool of database connections also the pool's own figures, of which one connection is this request's.
    """
    user = get_user_model().objects.filter(username=request.GET.get("user")).first()
    return JsonResponse(
        {
            "pid": os.getpid(),
            "pending": count_pending(),
            "threads": threading.active_count(),
            "files": len(list(Path("/proc/self/fd").iterdir())),
            "tasks": len(
                tasks := [task for loop in list(registry._hubs) for task in asyncio.all_tasks(loop)]
            ),
            "coroutines": Counter(getattr(task.get_coro(), "__qualname__", "?") for task in tasks),
            "streams": admission.total,
            "of_user": admission._users[user.pk] if user else None,
            "bytes": int(Path("/proc/self/statm").read_text().split()[1])
            * os.sysconf("SC_PAGE_SIZE"),
            "counters": counters.snapshot(),
            "pool": pool.get_stats() if (pool := getattr(connection, "pool", None)) else None,
        }
    )
