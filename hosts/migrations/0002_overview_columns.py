from django.db import migrations, models


def read_from_facts(apps, schema_editor):
    Host = apps.get_model("hosts", "Host")
    for host in Host.objects.exclude(facts=None).iterator():
        versions = host.facts.get("versions", {})
        Host.objects.filter(pk=host.pk).update(
            links_count=len(host.facts.get("links", [])),
            guests_count=len(host.facts.get("domains", [])),
            libvirt_version=versions.get("libvirt", "")[:50],
            qemu_version=versions.get("qemu", "")[:50],
            libvirt_error=host.facts.get("libvirt_error"),
        )


class Migration(migrations.Migration):

    dependencies = [
        ('hosts', '0001_initial'),
    ]

    operations = [
        migrations.AddField('host', 'guests_count', models.PositiveIntegerField(default=0)),
        migrations.AddField('host', 'libvirt_error', models.JSONField(null=True)),
        migrations.AddField('host', 'libvirt_version', models.CharField(blank=True, max_length=50)),
        migrations.AddField('host', 'links_count', models.PositiveIntegerField(default=0)),
        migrations.AddField('host', 'qemu_version', models.CharField(blank=True, max_length=50)),
        migrations.RunPython(read_from_facts, migrations.RunPython.noop),
    ]
