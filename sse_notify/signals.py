"""The signals that this package sends. Receive them to count, to log or to act."""

from __future__ import annotations

from typing import Any

from django.dispatch import Signal

from sse_notify.telemetry import Incident

#: Sent when a stream has joined its hub, with ``user_id`` and ``topics``. Both signals are sent on
#: the event loop: a receiver must not block, and cannot be ``async def``, as nothing awaits it.
stream_opened = Signal()

#: Sent when a stream has ended, with ``user_id``, ``topics`` as they were at the end, and
#: ``reason``: "client", "lifetime", "drain", "slow", "logout" or "revoked".
stream_closed = Signal()

_receivers = Incident("signal_receivers")


def tell(signal: Signal, **named: Any) -> None:
    """Send ``signal`` from the event loop. An error of a receiver is logged and harms no stream."""
    try:
        signal.send_robust(**named)
    except Exception as error:  # Django refuses to call an asynchronous receiver here
        _receivers.failed(error)
    else:
        _receivers.worked()
