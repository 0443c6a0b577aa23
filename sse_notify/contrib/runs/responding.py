"""The responses of runs: who may read, and from where."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from sse_notify.contrib.runs import storing
from sse_notify.contrib.runs.reading import RunStream
from sse_notify.exceptions import HandshakeRefused
from sse_notify.streaming import registry
from sse_notify.streaming.limits import refuse
from sse_notify.views.responses import HEADERS, StreamResponse, subscriber

logger = logging.getLogger("sse_notify")

#: The header with the number of the last event that was stored when the response was made. What
#: comes up to it is replayed, and the rest live.
STORED = "Run-Stored"

CanRead = Callable[[Any, Any], bool]
_AFTER = re.compile(r"(?:(\d{1,18})-)?(\d{1,9})", re.ASCII)


def respond(
    run: Any,
    user: Any,
    *,
    after: int = 0,
    can_read: CanRead | None = None,
    stored: int | None = None,
    cookies: str | None = None,
) -> HttpResponseBase:
    """Return the stream of ``run`` for ``user``, after a number."""
    is_own = user.pk == run.user_id
    if not is_own and can_read is None:
        return _nothing()
    may_read = None if is_own or can_read is None else partial(_may_read, can_read, user, run.pk)
    try:
        stream = RunStream(
            run.pk,
            after=after,
            may_read=may_read,
            feed=registry.feed(),
            subscriber=subscriber(user, cookies),
        )
    except HandshakeRefused as refusal:
        return refuse(refusal)
    headers = HEADERS if stored is None else {**HEADERS, STORED: str(stored)}
    return StreamResponse(stream, headers=headers)


def respond_for(
    request: HttpRequest, key: str, *, owner: Any, can_read: CanRead | None
) -> HttpResponseBase:
    """Return the response of :meth:`Run.response_for`."""
    given = request.headers.get("Last-Event-ID") or request.GET.get("after") or ""
    match = _AFTER.fullmatch(given)
    if given and match is None:
        said = {"error": "malformed", "message": "after must be the id of an event of the run."}
        return JsonResponse(said, status=400, headers={"Cache-Control": "no-store"})
    user: Any = request.user
    owner = user if owner is None else owner
    run, after, stored = _find(owner, key, match)
    if run is None or not (user.pk == owner.pk or (can_read is not None and can_read(user, run))):
        return _nothing()
    cookies = request.headers.get("Cookie", "")
    return respond(run, user, after=after, can_read=can_read, stored=stored, cookies=cookies)


def _find(owner: Any, key: str, match: re.Match[str] | None) -> tuple[Any, int, int]:
    """Return the run to read, the number after which, and the last number that is stored."""
    if owner.pk is None:
        return None, 0, 0
    runs = storing.runs(user_id=owner.pk, key=key)
    newest = runs.order_by("-pk").first()
    pk, number = match.groups() if match is not None else (None, "0")
    named = runs.filter(pk=pk).first() if pk else newest
    for run, after in ((named, int(number)), (None if named == newest else newest, 0)):
        if run is not None:
            stored = storing.last_number(run.pk)
            if run.is_running or after < stored:
                return run, min(after, stored), stored
    return None, 0, 0


def _nothing() -> HttpResponse:
    return HttpResponse(status=204, headers={"Cache-Control": "no-store"})


def _may_read(can_read: CanRead, user: Any, pk: int) -> bool:
    run = storing.runs(pk=pk).first()
    try:
        return run is not None and bool(can_read(user, run))
    except Error:  # it is asked again once the database is back
        raise
    except Exception:  # the project's code may raise anything; other readers go on
        logger.exception("can_read failed. The reader's stream ends.")
        return False
