import django.core.serializers.json
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sse_notify", "0007_progress_state")]

    operations = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("id", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                (
                    "figures",
                    models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder),
                ),
            ],
            options={"default_permissions": ()},
        ),
    ]
