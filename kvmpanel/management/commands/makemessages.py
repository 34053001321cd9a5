"""`make messages`: Django's makemessages, which also gathers the sentences that virtnet and kvmagent give to text()."""

from __future__ import annotations

from typing import Any

from django.core.management.commands.makemessages import Command as DjangoCommand


class Command(DjangoCommand):
    xgettext_options = [*DjangoCommand.xgettext_options, "--keyword=text:1"]

    def handle(self, *args: Any, **options: Any) -> None:
        # Only what people read: the tests, the lab and the benchmarks speak to engineers.
        elsewhere = ["tests/*", "lab/*", "benchmarks/*", "var/*", "static/*", "static_root/*", "build/*"]
        options["ignore_patterns"] = [*(options.get("ignore_patterns") or []), *elsewhere]
        super().handle(*args, **options)
