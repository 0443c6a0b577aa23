"""The signals that this package sends. Receive them to count, to log or to act.

Those about notifications are sent after the commit, in the thread that made it. What a receiver
raises is logged: everything is saved and delivered already.
"""

from django.dispatch import Signal

#: Sent when a stream has joined its hub, with ``user_id`` and ``topics``. Both signals are sent on
#: the event loop: a receiver must not block, and cannot be ``async def``, as nothing awaits it.
stream_opened = Signal()

#: Sent when a stream has ended, with ``user_id``, ``topics`` as they were at the end, and
#: ``reason``: "client", "lifetime", "drain", "slow", "logout", "revoked", "replaced", or the reason
#: that the project gave to ``disconnect()``.
stream_closed = Signal()

#: Sent with ``notifications``: new rows and repeats under a ``key``, up to 1,000 in one call.
notified = Signal()

#: Sent when a user's marks have changed, with ``user_id``, ``mark`` ("read", "unread", "seen",
#: "archived" or "unarchived") and ``ids``, those that changed, or ``up_to``; the other is ``None``.
marked = Signal()

#: Sent with ``ids``: the notifications that were recalled, up to 1,000 in one call.
recalled = Signal()
