"""Reports to the panel: sealed with the host's key and appended to the host's stream, by one thread, in order of seq.

What became of orders waits in the journal while Redis is away. Of the facts only the newest waits. A heartbeat never
waits: it is made when it is sent.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter, ValidationError

from kvmagent.journal import Journal
from kvmagent.keys import fingerprint
from kvmagent.nonces import Nonces
from kvmagent.retries import pauses
from kvmagent.settings import Settings
from virtnet.channel import HEARTBEAT_SECONDS, QUEUE, STREAM_FIELD, STREAM_MAXLEN, down_prefix, up_stream
from virtnet.envelope import seal
from virtnet.messages import AnyReport, FactsReport, Heartbeat, OrderArmed, Report

log = logging.getLogger(__name__)
_any_report: TypeAdapter[AnyReport] = TypeAdapter(AnyReport)


class Reports:
    """`watch` is told every few seconds whether messages wait in the host's queue (False while Redis is away)."""

    def __init__(
        self,
        settings: Settings,
        key: Ed25519PrivateKey,
        journal: Journal,
        nonces: Nonces,
        client: redis.Redis,
        watch: Callable[[bool], None],
    ) -> None:
        self._host = settings.host
        self._key = key
        self._fingerprint = fingerprint(key.public_key())
        self._journal = journal
        self._nonces = nonces
        self._redis = client
        self._watch = watch
        self._wake = threading.Event()
        self._facts: FactsReport | None = None
        self._facts_lock = threading.Lock()
        self._facts_digest = ""
        self._trouble = ""

    def told(self) -> None:
        """Something new waits in the journal."""
        self._wake.set()

    def facts(self, report: FactsReport) -> None:
        """Sends these facts; older ones that still wait are dropped, but not the ping that asked for them."""
        with self._facts_lock:
            if report.pong is None and self._facts is not None:
                report = report.model_copy(update={"pong": self._facts.pong})
            self._facts = report
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set, and whatever becomes of Redis."""
        heartbeat_at = time.monotonic()
        waits = pauses()
        while not stop.is_set():
            try:
                # Before what became of orders: the panel has a nonce of this process when it hears that this process
                # has refused one of the last, and can send that order again at once.
                if time.monotonic() >= heartbeat_at:
                    self._send_facts()
                    self._send(Heartbeat(nonce=self._nonces.fresh(), facts_digest=self._facts_digest))
                    heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
                    self._watch(self._messages_wait())
                self._send_waiting()
                self._send_facts()
                self._say("")
                waits = pauses()
            except (redis.RedisError, OSError, sqlite3.Error) as error:
                self._say(f"{type(error).__name__}: {error}")
                self._watch(False)
                stop.wait(next(waits))
                continue
            self._wake.wait(max(0.0, heartbeat_at - time.monotonic()))
            self._wake.clear()

    def _send_waiting(self) -> None:
        while waiting := self._journal.next_report():
            try:
                report = _any_report.validate_json(waiting.report)
                if isinstance(report, OrderArmed):
                    # An old TCP session would prove nothing about the host as it is now.
                    self._redis.connection_pool.disconnect()
                    report = _as_of_now(report, waiting.at)
                self._append(report, waiting.seq, waiting.at)
            except ValidationError:
                log.exception("a report that another version of the agent wrote is left out")
            self._journal.delivered(waiting)

    def _send_facts(self) -> None:
        with self._facts_lock:
            facts = self._facts
        if facts is None:
            return
        self._send(facts)
        self._facts_digest = facts.facts.digest()
        with self._facts_lock:
            if self._facts is facts:
                self._facts = None

    def _send(self, report: AnyReport) -> None:
        self._append(report, self._journal.next_seq(), datetime.now(UTC))

    def _append(self, report: AnyReport, seq: int, at: datetime) -> None:
        message = Report(host=self._host, seq=seq, at=at, report=report)
        sealed = seal(message, "report", key=self._fingerprint, sign=self._key.sign)
        self._redis.xadd(up_stream(self._host), {STREAM_FIELD: sealed}, maxlen=STREAM_MAXLEN, approximate=True)

    def _messages_wait(self) -> bool:
        return self._redis.llen(f"{down_prefix(self._host)}{QUEUE}") != 0

    def _say(self, trouble: str) -> None:
        """Logs when Redis goes away for another reason than before, and when it is back: once each."""
        if trouble and trouble != self._trouble:
            log.warning("reports wait, trying again: %s", trouble)
        elif self._trouble and not trouble:
            log.info("reports go out again")
        self._trouble = trouble


def _as_of_now(armed: OrderArmed, at: datetime) -> OrderArmed:
    """What is left of the window when it is sent, not when it was written: Redis may have been away since. at: then."""
    waited = max(0.0, (datetime.now(UTC) - at).total_seconds())
    return armed.model_copy(update={"seconds": max(0.0, armed.seconds - waited)})
