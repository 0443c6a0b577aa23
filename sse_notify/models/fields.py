"""Text columns that every database compares alike, and references to a project's own objects."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models


class ExactCharField(models.CharField):  # type: ignore[type-arg]
    """Text that is equal only to itself.

    The default collations of MySQL and MariaDB do not tell "a" from "A", "á", "a " and, for some,
    one emoji from another. So these columns get a collation by code points, without padding.
    """

    def db_parameters(self, connection: Any) -> Any:
        """Return the type and the collation of the column."""
        parameters: dict[str, Any] = {**super().db_parameters(connection)}
        if connection.vendor == "mysql":
            is_mariadb = connection.mysql_is_mariadb
            parameters["collation"] = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return parameters


def about(kind: int, pk: str, name: str, using: str | None) -> dict[str, str] | None:
    """Return what clients get of an object; ``None`` if its model is gone.

    Args:
        kind: the id of its content type, which Django caches.
        pk, name: its primary key and its name, as they are stored.
        using: the alias of the database.
    """
    try:
        model = ContentType.objects.db_manager(using).get_for_id(kind)
    except ContentType.DoesNotExist:
        return None
    return {"type": f"{model.app_label}.{model.model}", "id": pk, "name": name}
