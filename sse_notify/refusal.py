"""The answer to a handshake that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import JsonResponse

from sse_notify import counters

if TYPE_CHECKING:
    from sse_notify.exceptions import HandshakeRefused


def refuse(refusal: HandshakeRefused) -> JsonResponse:
    """Return the answer that says ``refusal``: JSON that no cache keeps."""
    counters.add("refused", refusal.code)
    said = {
        "error": refusal.code,
        "message": refusal.message,
        **({"topic": refusal.topic} if refusal.topic else {}),
    }
    response = JsonResponse(said, status=refusal.status)
    response["Cache-Control"] = "no-store"
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response
