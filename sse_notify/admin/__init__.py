"""Django's admin: list notifications, compose a broadcast, run actions on selected rows.

``notifications``   the model admin: list, filters, permissions, URLs
``compose``         the steps of a broadcast: fill in, confirm, send
``actions``         actions on selected notifications and users
``forms``           the forms: who gets a notification, and what it says
``figures``         how many users each notification reaches, and how many have read it
"""

from __future__ import annotations

from sse_notify.admin.notifications import NotificationAdmin as NotificationAdmin
