"""The head of the log exists before the first notification, so that no two processes race to insert it."""

from typing import Any

from django.db import migrations, router


def insert_head(apps: Any, schema_editor: Any) -> None:
    head = apps.get_model("sse_notify", "LogHead")
    alias = schema_editor.connection.alias
    if router.allow_migrate_model(alias, head):
        head.objects.using(alias).bulk_create([head(pk=1)], ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("sse_notify", "0009_inbox_by_seq")]

    operations = [migrations.RunPython(insert_head, migrations.RunPython.noop, elidable=False)]
