"""What the tables of a user's own things share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings  # noqa: TID251  (AUTH_USER_MODEL is Django's setting, not one of ours)
from django.db import models

from sse_notify.topics import Audience as Audience


class OfUser(models.Model):
    """What one user has of its kind. The constraints that begin with the user are the index."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, db_index=False, related_name="+"
    )

    if TYPE_CHECKING:
        user_id: Any

    class Meta:
        abstract = True
