"""An inbox is listed by ``seq``, which another index has in order: the one by id serves nothing any more."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("sse_notify", "0008_heartbeat")]

    operations = [migrations.RemoveIndex("notification", "sse_notify_topic_id")]
