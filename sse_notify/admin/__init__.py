"""Django's admin: read the log, compose a broadcast, act on selected notifications and users.

``notifications``   the model admin: list, filters, permissions, addresses
``compose``         the steps of a broadcast: form, confirmation, sent
``actions``         actions on selected notifications and users
``forms``           who gets it, and what it says
``figures``         how many users each notification reaches, and how many have read it
"""

from __future__ import annotations

from sse_notify.admin.notifications import NotificationAdmin as NotificationAdmin
