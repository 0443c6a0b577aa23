"""Django's admin: the log, a page that composes a broadcast, and what is done with selected notifications and users.

``notifications``   the list and its filters, the page of one; who may what; the addresses
``compose``         the steps of a broadcast: form, confirmation, sent
``actions``         what is done with selected notifications and users
``audience``        whom it is for; ``forms``: what it says
``figures``         how many each reaches and how many have read it
"""

from __future__ import annotations

from sse_notify.admin.notifications import NotificationAdmin

__all__ = ["NotificationAdmin"]
