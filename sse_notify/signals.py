"""The signals that this package sends. Receive them to count, to log, or to act."""

from __future__ import annotations

from django.dispatch import Signal

#: A stream was opened. Arguments: ``user_id``, ``topics``. Sent on the event loop: a receiver must not block.
stream_opened = Signal()

#: A stream ended. Arguments: ``user_id``, ``topics`` as they were at the end, ``reason`` ("client", "lifetime", "drain", "slow", "logout", "revoked").
stream_closed = Signal()
