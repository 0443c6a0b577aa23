"""MySQL and MariaDB compare these columns by code points. On other databases nothing changes."""

from typing import Any

from django.db import migrations

from sse_notify.models.fields import ExactCharField


class AlterOnMySQL(migrations.AlterField):
    """Django would copy the table on SQLite, to the same table."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "mysql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    dependencies = [("sse_notify", "0010_head")]

    operations = [
        AlterOnMySQL(
            model_name="notification",
            name="topic",
            field=ExactCharField(editable=False, max_length=100, verbose_name="topic"),
        ),
        AlterOnMySQL(
            model_name="notification",
            name="event",
            field=ExactCharField(default="notification", max_length=100, verbose_name="event"),
        ),
        AlterOnMySQL(
            model_name="notification",
            name="category",
            field=ExactCharField(blank=True, max_length=100, verbose_name="category"),
        ),
        AlterOnMySQL(
            model_name="notification",
            name="key",
            field=ExactCharField(blank=True, max_length=200, null=True, verbose_name="collapse key"),
        ),
        AlterOnMySQL(
            model_name="notification",
            name="idempotency_key",
            field=ExactCharField(blank=True, max_length=200, null=True, verbose_name="idempotency key"),
        ),
        AlterOnMySQL(
            model_name="mute",
            name="category",
            field=ExactCharField(max_length=100, verbose_name="category"),
        ),
        AlterOnMySQL(
            model_name="heartbeat",
            name="id",
            field=ExactCharField(max_length=100, primary_key=True, serialize=False),
        ),
    ]
