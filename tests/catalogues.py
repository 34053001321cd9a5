"""The catalogues: compiled as setup.sh does it, and read for the tests that judge them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

LOCALE = Path(__file__).parents[1] / "locale"

_LINE = re.compile(r'(?:(msgid|msgid_plural|msgstr(?:\[\d+\])?) )?(".*")')


@dataclass
class Entry:
    """One sentence: its English (and plural), its translations, and whether it is only guessed."""

    parts: dict[str, str] = field(default_factory=dict)
    fuzzy: bool = False

    @property
    def sources(self) -> list[str]:
        return [self.parts[name] for name in ("msgid", "msgid_plural") if name in self.parts]

    @property
    def translations(self) -> list[str]:
        return [said for name, said in self.parts.items() if name.startswith("msgstr")]


def read_catalogue(path: Path) -> dict[str, Entry]:
    """The sentences of a .po or .pot by their English; without the header and what is obsolete."""
    entries: dict[str, Entry] = {}
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        entry, last = Entry(), ""
        for line in block.splitlines():
            if line.startswith("#,"):
                entry.fuzzy = "fuzzy" in line
            elif found := _LINE.fullmatch(line):
                last = found[1] or last
                entry.parts[last] = entry.parts.get(last, "") + ast.literal_eval(found[2])
        if entry.parts.get("msgid"):
            entries[entry.parts["msgid"]] = entry
    return entries


def compile_catalogues() -> None:
    """Each .po whose .mo is missing or older. Safe when several test processes do it at once."""
    for source in LOCALE.glob("*/LC_MESSAGES/*.po"):
        compiled = source.with_suffix(".mo")
        if compiled.exists() and compiled.stat().st_mtime >= source.stat().st_mtime:
            continue
        fresh = compiled.with_name(f"{compiled.name}.{os.getpid()}")
        subprocess.run(["msgfmt", "-o", str(fresh), str(source)], check=True, timeout=60)
        fresh.replace(compiled)
