"""The signals that this package sends. Receive them to count, to log or to act."""

from django.dispatch import Signal

#: Sent when a stream has joined its hub, with ``user_id`` and ``topics``. Both signals are sent on
#: the event loop: a receiver must not block, and cannot be ``async def``, as nothing awaits it.
stream_opened = Signal()

#: Sent when a stream has ended, with ``user_id``, ``topics`` as they were at the end, and
#: ``reason``: "client", "lifetime", "drain", "slow", "logout" or "revoked".
stream_closed = Signal()
