"""Django's admin: the log, a page that composes a broadcast, and what is done with selected notifications and users.

``notifications``   the list and the page of one; who may what; the addresses
``compose``         the steps of a broadcast: form, confirmation, sent
``rows``, ``users`` the actions on notifications and on users
``forms``           what it says; ``audience``, ``addressees``: whom it is for
``figures``         how many each reaches and how many have read it; ``filters``: by what the list is filtered
"""

from __future__ import annotations

from sse_notify.admin.notifications import NotificationAdmin

__all__ = ["NotificationAdmin"]
