"""How long to wait before Redis is tried again: it is mostly back at once, and orders of the panel wait for it.

Soon at first and more seldom with each try, so that what is added to an outage stays small against it: 0.6 s after one
of 2 s, 1.4 s after one of 10 s, and never more than 3 s.
"""

from __future__ import annotations

from collections.abc import Iterator

FIRST_SECONDS = 0.2
STEP_SECONDS = 0.1
LONGEST_SECONDS = 3.0


def pauses() -> Iterator[float]:
    """The seconds before each further try, without end."""
    pause = FIRST_SECONDS
    while True:
        yield pause
        pause = min(pause + STEP_SECONDS, LONGEST_SECONDS)
