"""Views that need no transaction for their request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connections, transaction

View = TypeVar("View", bound=Callable[..., Any])


def never_atomic(view: View) -> View:
    """Exempt ``view`` from ``ATOMIC_REQUESTS`` of every database, so that none has to be there.

    Django's own decorator exempts it from that of one database.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view
