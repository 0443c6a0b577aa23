from collections.abc import Iterator
from typing import Any

from django.db import migrations, models

BATCH = 500
ENDS = ("done", "failed", "cancelled")
# What Progress wrote of work that had ended. While it ran, there was "run" as well.
ENDED = {"state", "done", "total", "stage", "message", "percent", "eta"}
RUN = {"id", "heard_at", "stalls_after", "cancellable"}


def is_ours(progress: Any) -> bool:
    """Return whether Progress wrote this, and not a project with a "progress" of its own."""
    if not isinstance(progress, dict):
        return False
    run = progress.get("run")
    if run is None:
        return set(progress) == ENDED and progress["state"] in ENDS
    return set(progress) == ENDED | {"run"} and isinstance(run, dict) and set(run) == RUN


def rows_of(apps: Any, schema_editor: Any) -> Any:
    model = apps.get_model("sse_notify", "Notification")
    return model.objects.using(schema_editor.connection.alias)


def batches(rows: Any) -> Iterator[list[Any]]:
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield batch
        last = batch[-1].pk


def move_into_column(apps: Any, schema_editor: Any) -> None:
    notifications = rows_of(apps, schema_editor)
    # Progress always gave its row a key, and a dict for its data.
    for batch in batches(notifications.filter(key__isnull=False, data__has_key="progress")):
        dicts = [row for row in batch if isinstance(row.data, dict)]
        ours = [row for row in dicts if is_ours(row.data["progress"])]
        for row in ours:
            row.progress_state = row.data.pop("progress")
        notifications.bulk_update(ours, ["data", "progress_state"], batch_size=100)


def move_into_data(apps: Any, schema_editor: Any) -> None:
    notifications = rows_of(apps, schema_editor)
    for batch in batches(notifications.filter(progress_state__isnull=False)):
        for row in batch:
            row.data = {**(row.data or {}), "progress": row.progress_state}
        notifications.bulk_update(batch, ["data"], batch_size=100)


class Migration(migrations.Migration):

    dependencies = [
        ('sse_notify', '0006_recipient_index'),
    ]

    operations = [
        migrations.AddField(
            model_name='notification',
            name='progress_state',
            field=models.JSONField(editable=False, null=True),
        ),
        migrations.RunPython(move_into_column, move_into_data, elidable=True),
    ]
