"""An inbox keeps its newest change alone, in place of a list. What was more becomes a ``reset`` for the pages that missed it."""

from typing import Any

from django.db import migrations, models


def keep_the_newest(apps: Any, schema_editor: Any) -> None:
    inboxes = apps.get_model("sse_notify", "Inbox").objects.using(schema_editor.connection.alias)
    batch = []
    for inbox in inboxes.exclude(changes=[]).iterator(chunk_size=500):
        *earlier, newest = inbox.changes
        number = newest.pop("seq", inbox.state_seq)
        numbers = [change.get("seq", inbox.state_seq) for change in earlier]
        inbox.previous_seq = max([seq for seq in numbers if seq not in (None, number)], default=0)
        is_whole = number not in numbers and newest["set"] != "lost"
        inbox.change = newest if is_whole else {}
        batch.append(inbox)
        if len(batch) == 500:
            inboxes.bulk_update(batch, ["change", "previous_seq"])
            batch.clear()
    inboxes.bulk_update(batch, ["change", "previous_seq"])


class Migration(migrations.Migration):
    dependencies = [("sse_notify", "0006_recipient_index")]

    operations = [
        migrations.AddField("inbox", "change", models.JSONField(null=True)),
        migrations.AddField("inbox", "previous_seq", models.BigIntegerField(default=0)),
        migrations.RunPython(keep_the_newest, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField("inbox", "changes"),
    ]
