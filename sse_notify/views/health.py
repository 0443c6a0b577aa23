"""Liveness and readiness checks for load balancers and orchestrators: cheap, with a timeout."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from sse_notify.bus import publisher, queries
from sse_notify.concurrency import greenlets, threadpool
from sse_notify.concurrency.transactions import never_atomic
from sse_notify.log.sequence import get_position
from sse_notify.streaming.limits import admission

#: Seconds that the database and the channel layer have to answer.
SECONDS = 2.0

# One thread: while a query hangs, later checks wait for it and open no more connections.
_pool = threadpool.Pool("health", lambda: 1)


@never_atomic
@login_not_required
@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """Return 200. Check nothing else: a restart does not repair a database."""
    return _answer({"status": "ok"})


@never_atomic
@login_not_required
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Return 200 if the process is not shutting down and the database answers, else 503.

    If the channel layer is down, return 200 with the status "degraded": hubs poll the database, and
    503 would take every process out of service at once. With ``?require=layer``, return 503.
    """
    if admission.draining:
        return _answer({"status": "draining"}, 503)
    ping = queries.ping(SECONDS) if publisher.remote_layer() is not None else None
    found = {"database": "ok" if _is_database_ok() else "unreachable", "layer": "none"}
    if ping is not None:
        found["layer"] = "ok" if ping.result() else "unreachable"
    required = ["database", request.GET.get("require")]
    lost = [name for name, state in found.items() if state == "unreachable"]
    if any(name in required for name in lost):
        return _answer({"status": "unavailable", **found}, 503)
    return _answer({"status": "degraded" if lost else "ready", **found})


def _is_database_ok() -> bool:
    """Return whether the log's database answers.

    In a test's transaction, or a greenlet, ask in this thread.
    """
    try:
        if threadpool.in_test_transaction() or greenlets.has_greenlets():
            get_position()
        else:
            _pool.submit_once(get_position).result(SECONDS)
    except (Error, TimeoutError):
        return False
    return True


def _answer(found: dict[str, Any], status: int = 200) -> JsonResponse:
    return JsonResponse(found, status=status, headers={"Cache-Control": "no-store"})
