"""interfaces(5) as ifupdown reads it: stanzas, with the lines that each one takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

STANZAS = {"iface", "mapping", "source", "source-directory", "template", "rename", "auto", "no-auto-down", "no-scripts"}


@dataclass
class Stanza:
    """words: of its first line. lines: indexes of all its lines, as of text.splitlines(). options: of an iface, a
    mapping or a template, each a line without its indentation."""

    words: list[str]
    lines: list[int] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    @property
    def is_list_of_links(self) -> bool:
        """auto, allow-hotplug …: words after the first are links or patterns of them."""
        return self.words[0] in {"auto", "no-auto-down", "no-scripts"} or self.words[0].startswith("allow-")


def stanzas(text: str) -> Iterator[Stanza]:
    """In order. A line that ends in a backslash goes on in the next; comments and empty lines belong to nobody."""
    current: Stanza | None = None
    for indexes, line in _logical_lines(text):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in STANZAS or words[0].startswith("allow-"):
            yield from [current] if current else []
            current = Stanza(words, indexes)
        elif current is not None:
            current.lines += indexes
            current.options.append(line.strip())
    yield from [current] if current else []


def _logical_lines(text: str) -> Iterator[tuple[list[int], str]]:
    indexes: list[int] = []
    parts: list[str] = []
    for index, line in enumerate(text.splitlines()):
        indexes.append(index)
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            parts.append(line[:-1])
            continue
        yield indexes, "".join([*parts, line])
        indexes, parts = [], []
    if indexes:
        yield indexes, "".join(parts)
