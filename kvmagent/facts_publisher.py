"""Reads the facts when something has changed or the panel asks, and sends them when they differ from the last."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from uuid import UUID

from virtnet.facts import HostFacts
from virtnet.messages import FactsReport

LEAST_SECONDS = 0.5  # between two readings, however fast a host changes
# Facts are told within 2 s of the change, the watch's own second included: so long may orders that follow each other
# be spared a reading that the next of them makes stale.
LONGEST_REST_SECONDS = 1.0
REST = 4  # times as long as the reading took

log = logging.getLogger(__name__)


class FactsPublisher:
    def __init__(self, read: Callable[[], HostFacts], send: Callable[[FactsReport], None]) -> None:
        self._read = read
        self._send = send
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._ping: UUID | None = None
        self._sent = ""  # digest

    def changed(self) -> None:
        """Something on the host may have changed."""
        self._wake.set()

    def asked(self, ping: UUID) -> None:
        """The panel wants the facts, changed or not."""
        with self._lock:
            self._ping = ping
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Sends the facts once at the start, then as they change, until `stop` is set."""
        self._wake.set()
        while not stop.is_set():
            self._wake.wait()
            self._wake.clear()
            begun = time.monotonic()
            try:
                self._publish()
            except Exception:
                # A defect in reading must not end this thread: the next change may be readable again.
                log.exception("the facts could not be read")
            took = time.monotonic() - begun
            # Where reading takes very long, at most half of the time is spent on it: orders are carried out meanwhile.
            stop.wait(max(LEAST_SECONDS, took, min(REST * took, LONGEST_REST_SECONDS)))

    def _publish(self) -> None:
        with self._lock:
            ping, self._ping = self._ping, None
        facts = self._read()
        digest = facts.digest()
        if digest != self._sent or ping is not None:
            self._sent = digest
            self._send(FactsReport(facts=facts, pong=ping))
