"""How an armed change stands, for its page: read off the row alone, so that every reader sees the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from networks.models import Change


@dataclass(frozen=True)
class Window:
    """The time in which a change is kept, or its host puts itself back."""

    until: datetime
    left: float  # seconds; 0 when it is over
    whole: float  # seconds

    @property
    def is_open(self) -> bool:
        return self.left > 0

    @property
    def seconds(self) -> int:
        """What is left, as a countdown shows it: the last second is "1"."""
        return int(-(-self.left // 1))


def window_of(change: Change) -> Window | None:
    """None while the change is not armed."""
    if not change.is_armed or change.confirm_by is None or change.armed_at is None:
        return None
    left = (change.confirm_by - timezone.now()).total_seconds()
    whole = (change.confirm_by - change.armed_at).total_seconds()
    return Window(until=change.confirm_by, left=min(max(left, 0.0), whole), whole=whole)
