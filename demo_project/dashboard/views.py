"""The dashboard: one sampler, and a stream of its measurements for each watcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil
from django.contrib.auth.decorators import login_required
from django.shortcuts import render
from django.views.decorators.http import require_GET

from demo_project.dashboard import machine
from demo_project.dashboard.sampler import Sampler
from sse_notify import EventStreamResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http import HttpRequest, HttpResponse

sampler = Sampler(machine.begin, interval=1, size=60)


@require_GET
@login_required
def page(request: HttpRequest) -> HttpResponse:
    """Show the dashboard."""
    return render(
        request,
        "demo/dashboard.html",
        {"cores": psutil.cpu_count() or 1, "memory": psutil.virtual_memory().total, "seconds": 60},
    )


@require_GET
@login_required
def stream(request: HttpRequest) -> EventStreamResponse:
    """Stream the measurements."""
    return EventStreamResponse(_samples(), user=request.user)


async def _samples() -> AsyncIterator[dict[str, Any]]:
    async for sample in sampler.watch():
        yield {**sample, "watchers": sampler.watchers}
