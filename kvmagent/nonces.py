"""Freshness: an order must echo a nonce that this agent published less than 120 s ago by its own clock.

No wall clock is asked, so a host whose date is wrong, or that was down for three days, cannot be made to act on what
was sent before. Nonces live in memory only: after a restart every older envelope is stale.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable

from virtnet.channel import NONCE_SECONDS


def _since_boot() -> float:
    # Not time.monotonic(): CLOCK_MONOTONIC stands still while the host is suspended.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Nonces:
    """The nonces of the last 120 s; many orders may echo the same one."""

    def __init__(self, clock: Callable[[], float] = _since_boot) -> None:
        self._clock = clock
        self._published: deque[tuple[float, str]] = deque()
        self._lock = threading.Lock()

    def fresh(self) -> str:
        """A new nonce, accepted from now on."""
        nonce = secrets.token_urlsafe(16)
        with self._lock:
            self._forget_old()
            self._published.append((self._clock(), nonce))
        return nonce

    def accepts(self, nonce: str) -> bool:
        given = nonce.encode()
        with self._lock:
            self._forget_old()
            # Every one is compared, so that the time taken tells nothing about which was near.
            return sum(hmac.compare_digest(given, known.encode()) for _, known in self._published) > 0

    def _forget_old(self) -> None:
        oldest = self._clock() - NONCE_SECONDS
        while self._published and self._published[0][0] <= oldest:
            self._published.popleft()
