"""The signals that this package sends. Receive them to count, to log, or to act."""

from __future__ import annotations

from typing import Any

from django.dispatch import Signal

from sse_notify.incidents import Incident

#: A stream was opened. Arguments: ``user_id``, ``topics``. Sent on the event loop: a receiver must not block, and cannot be
#: ``async def``, as nobody waits for it.
stream_opened = Signal()

#: A stream ended. Arguments: ``user_id``, ``topics`` as they were at the end, ``reason`` ("client", "lifetime", "drain", "slow", "logout", "revoked").
stream_closed = Signal()

_receivers = Incident("signal_receivers")


def tell(signal: Signal, **named: Any) -> None:
    """Send ``signal``, from the event loop. Whatever is wrong with a receiver is logged, and harms no stream."""
    try:
        signal.send_robust(**named)
    except Exception as error:  # Django cannot wait for one that is asynchronous here, and says so
        _receivers.failed(error)
    else:
        _receivers.worked()
