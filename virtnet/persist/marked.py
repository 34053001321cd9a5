"""Lines of others' files that are commented out for the time of a bridge, so that they can be found again."""

from __future__ import annotations

from collections.abc import Collection


def _mark(bridge: str) -> str:
    return f"#kvmpanel:{bridge}# "


def comment_out(text: str, lines: Collection[int], bridge: str) -> str:
    """lines: indexes into text.splitlines()."""
    mark = _mark(bridge)
    found = text.splitlines(keepends=True)
    return "".join(f"{mark}{line}" if index in lines else line for index, line in enumerate(found))


def add_lines(text: str, lines: list[str], bridge: str) -> str:
    """At the end, between two marks."""
    mark = _mark(bridge)
    block = "".join(f"{line}\n" for line in (f"{mark}added", *lines, f"{mark}end"))
    return text + ("" if text.endswith("\n") or not text else f"\n{mark}newline\n") + block


def without_marks(text: str, bridge: str) -> str:
    """As it was before, with what others have written there since."""
    mark, added = _mark(bridge), False
    kept: list[str] = []
    for line in text.splitlines(keepends=True):
        match line.removeprefix(mark).rstrip("\n") if line.startswith(mark) else None:
            case "added":
                added = True
            case "end":
                added = False
            case "newline":
                kept[-1] = kept[-1].rstrip("\n")
            case None:
                kept += [] if added else [line]
            case _:
                kept.append(line.removeprefix(mark))
    return "".join(kept)


def marked(text: str, bridge: str) -> list[str]:
    """What of it is ours, in its order; what others have written between is no part of it."""
    mark, added = _mark(bridge), False
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith(mark):
            added = line == f"{mark}added" or (added and line != f"{mark}end")
        if added or line.startswith(mark):
            found.append(line)
    return found
