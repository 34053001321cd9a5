"""How measured values are spread."""

from __future__ import annotations

from collections.abc import Iterable


def at(part: float, values: Iterable[float]) -> float:
    """The value below which this part of them lies: 0.0 the lowest, 0.5 the median, 1.0 the highest."""
    ordered = sorted(values)
    return ordered[round(part * (len(ordered) - 1))]
