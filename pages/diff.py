"""Before and after, line by line, for the pages."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DiffLine:
    kind: Literal["added", "removed", "same", "place"]
    text: str  # with its sign


_KINDS: dict[str, Literal["added", "removed", "same", "place"]] = {"+": "added", "-": "removed", "@": "place"}


def diff(before: str, after: str) -> list[DiffLine]:
    """A unified diff without its file header; empty when nothing differs."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3))[2:]
    return [DiffLine(_KINDS.get(line[:1], "same"), line) for line in lines]
