"""`make messages`: Django's makemessages, which also gathers the sentences that virtnet and kvmagent give to text().

The catalogue changes only when a sentence does: files without line numbers, no dates, nothing guessed by likeness.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.commands.makemessages import Command as DjangoCommand


class Command(DjangoCommand):
    xgettext_options = [*DjangoCommand.xgettext_options, "--keyword=text:1"]
    msgmerge_options = [*DjangoCommand.msgmerge_options, "--no-fuzzy-matching"]

    def handle(self, *args: Any, **options: Any) -> None:
        # Only what people read: the tests, the lab and the benchmarks speak to engineers.
        elsewhere = ["tests/*", "lab/*", "benchmarks/*", "var/*", "static/*", "static_root/*", "build/*"]
        options["ignore_patterns"] = [*(options.get("ignore_patterns") or []), *elsewhere]
        options["add_location"] = "file"
        options["no_obsolete"] = True
        super().handle(*args, **options)

    def write_po_file(self, potfile: str, locale: str) -> None:
        super().write_po_file(potfile, locale)
        written = Path(potfile).parent / locale / "LC_MESSAGES" / f"{self.domain}.po"
        lines = written.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith('"POT-Creation-Date:')]
        written.write_text("".join(kept), encoding="utf-8")
