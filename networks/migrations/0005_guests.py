import django.db.models.deletion
from django.db import migrations, models


def fill(apps, schema_editor):
    """From what the hosts last reported; a host reports again only when something has changed."""
    Host, Guest = apps.get_model("hosts", "Host"), apps.get_model("networks", "Guest")
    for host in Host.objects.filter(facts__isnull=False).iterator():
        Guest.objects.bulk_create(
            Guest(host=host, uuid=domain["uuid"], name=domain["name"]) for domain in host.facts.get("domains", [])
        )


class Migration(migrations.Migration):

    dependencies = [
        ("hosts", "0002_overview_columns"),
        ("networks", "0004_vf_macs"),
    ]

    operations = [
        migrations.CreateModel(
            name="Guest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField()),
                ("name", models.CharField(max_length=1024)),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="guests", to="hosts.host"
                    ),
                ),
            ],
            options={"ordering": ["name"]},
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
