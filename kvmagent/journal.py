"""The truth on the host: each order once, whatever is delivered, killed or restarted, and the reports that still wait.

SQLite with `synchronous=FULL`: what a method has returned from survives SIGKILL and a power cut; steps and deliveries
survive SIGKILL. A report that tells of a change of an order is written in the same transaction as the change, so
neither exists without the other.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

from pydantic import ValidationError

from virtnet.messages import Order, OrderArmed, OrderFinished, OrderProgress, OrderReceived, OrderRejected, Step
from virtnet.text import text

KEEP_DAYS = 30  # finished orders and counts of refusals; the nonce refuses an order that comes again later
LARGEST_OUTBOX = 10_000  # beyond it, progress and rejections are dropped, the oldest first; what orders became is kept

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    message TEXT NOT NULL,              -- JSON of virtnet.messages.Order
    state TEXT NOT NULL CHECK (state IN ('started', 'finished')),
    tries INTEGER NOT NULL DEFAULT 0,   -- how often it was started
    before TEXT,                        -- XML of its object as the first try found it; until then nothing was touched
    finished TEXT,                      -- JSON of OrderFinished
    finished_at REAL
);
CREATE TABLE IF NOT EXISTS steps (
    order_id TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    step TEXT NOT NULL,                 -- JSON of Step
    PRIMARY KEY (order_id, number)
);
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id TEXT,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    report TEXT NOT NULL,               -- JSON of one of AnyReport
    seq INTEGER                         -- given at the first try to send it: a report sent again is the same report
);
CREATE TABLE IF NOT EXISTS refusals (
    day TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (day, reason)
);
CREATE TABLE IF NOT EXISTS last_seq (seq INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Entry:
    """An order as the journal knows it."""

    order: Order
    state: str
    tries: int
    before: str | None
    finished: OrderFinished | None


@dataclass(frozen=True)
class Waiting:
    """A report that waits in the outbox, as JSON."""

    id: int
    seq: int
    at: datetime
    report: str


class Journal:
    """Safe to use from several threads. `path` is made when it is not there."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)
        self._prune()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # Orders

    def receive(self, order: Order) -> bool:
        """Enters an order, its first try and its OrderReceived, before anything is touched.

        False when it is known already, and then nothing is changed.
        """
        with self._transaction():
            entered = self._db.execute(
                "INSERT INTO orders (id, seq, message, state, tries) VALUES (?, ?, ?, 'started', 1) "
                "ON CONFLICT DO NOTHING",
                (str(order.order), order.seq, order.model_dump_json()),
            )
            if not entered.rowcount:
                return False
            self._put(OrderReceived(order=order.order))
            return True

    def find(self, order: UUID) -> Entry | None:
        with self._lock:
            row = self._db.execute(
                "SELECT message, state, tries, before, finished FROM orders WHERE id = ?", (str(order),)
            ).fetchone()
        return _entry(*row) if row else None

    def unfinished(self) -> list[Entry]:
        """In their order of work. One that this version of the agent cannot read is finished as failed."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, message, state, tries, before, finished FROM orders WHERE state != 'finished' ORDER BY seq"
            ).fetchall()
        entries = []
        for order, *row in rows:
            try:
                entries.append(_entry(*row))
            except ValidationError:
                log.exception("order %s was written by another version of the agent", order)
                sentence = text("The agent was updated while it carried this out, and cannot read it any more.")
                self.finish(OrderFinished(order=UUID(order), outcome="failed", error=sentence))
        return entries

    def start(self, order: UUID) -> None:
        """Counts one more try, before anything is touched."""
        with self._transaction():
            self._db.execute("UPDATE orders SET state = 'started', tries = tries + 1 WHERE id = ?", (str(order),))

    def found(self, order: UUID, before: str) -> None:
        """Keeps the XML of the order's object as the first try found it."""
        with self._transaction():
            self._db.execute("UPDATE orders SET before = coalesce(before, ?) WHERE id = ?", (before, str(order)))

    def step(self, order: UUID, step: Step) -> None:
        """Enters a step and its OrderProgress; numbers go on over all tries."""
        # Not waited for: after a power cut the next try looks at the host itself, never at these notes. A step that the
        # panel has heard of is not lost: its report got its seq in a later commit, which waited for this one too.
        with self._transaction(synchronous="NORMAL"):
            (number,) = self._db.execute("SELECT count(*) FROM steps WHERE order_id = ?", (str(order),)).fetchone()
            self._db.execute("INSERT INTO steps VALUES (?, ?, ?)", (str(order), number, step.model_dump_json()))
            self._put(OrderProgress(order=order, number=number, step=step))

    def steps(self, order: UUID) -> tuple[Step, ...]:
        """Of all tries, in order."""
        with self._lock:
            rows = self._db.execute("SELECT step FROM steps WHERE order_id = ? ORDER BY number", (str(order),))
            return tuple(Step.model_validate_json(step) for (step,) in rows)

    def armed(self, armed: OrderArmed) -> None:
        """Puts out that a change waits for its verdict; one of an earlier try that was not sent yet is dropped."""
        with self._transaction():
            self._db.execute("DELETE FROM outbox WHERE order_id = ? AND kind = 'armed'", (str(armed.order),))
            self._put(armed)

    def finish(self, finished: OrderFinished) -> None:
        with self._transaction():
            self._db.execute(
                "UPDATE orders SET state = 'finished', finished = ?, finished_at = ? WHERE id = ?",
                (finished.model_dump_json(), time.time(), str(finished.order)),
            )
            self._put(finished)
        self._prune()

    # Reports

    def answer(self, report: OrderReceived | OrderFinished) -> bool:
        """Puts a report about a known order out again, unless the same one still waits to be sent."""
        with self._transaction():
            waits = self._db.execute(
                "SELECT 1 FROM outbox WHERE order_id = ? AND kind = ?", (str(report.order), report.kind)
            ).fetchone()
            if not waits:
                self._put(report)
            return not waits

    def refuse(self, rejected: OrderRejected, *, tell: bool) -> None:
        """Counts a refusal; `tell` puts its report out too."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO refusals VALUES (date('now'), ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
                (rejected.reason,),
            )
            if tell:
                self._put(rejected)

    def refusals(self) -> dict[str, int]:
        """Reason -> how many in the last 30 days."""
        with self._lock:
            return dict(self._db.execute("SELECT reason, sum(count) FROM refusals GROUP BY reason").fetchall())

    def next_seq(self) -> int:
        """The seq of the next report: never given twice, also when this process dies now."""
        with self._transaction():
            return self._next_seq()

    def next_report(self) -> Waiting | None:
        """The oldest report that waits; it stays until `delivered`."""
        with self._transaction():
            row = self._db.execute("SELECT id, seq, at, report FROM outbox ORDER BY id LIMIT 1").fetchone()
            if row is None:
                return None
            number, seq, at, report = row
            if seq is None:
                seq = self._next_seq()
                self._db.execute("UPDATE outbox SET seq = ? WHERE id = ?", (seq, number))
            return Waiting(id=number, seq=seq, at=datetime.fromisoformat(at), report=report)

    def delivered(self, waiting: Waiting) -> None:
        """Takes it out of the outbox."""
        # Not waited for: a report that is sent again has the seq that it had, and the panel takes it once.
        with self._transaction(synchronous="NORMAL"):
            self._db.execute("DELETE FROM outbox WHERE id = ?", (waiting.id,))

    # Private

    @contextmanager
    def _transaction(self, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> Iterator[None]:
        """NORMAL: the commit does not wait for the disk; it is there at the latest with the next one that does."""
        with self._lock:
            if synchronous != "FULL":
                self._db.execute(f"PRAGMA synchronous = {synchronous}")
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            finally:
                if synchronous != "FULL":
                    self._db.execute("PRAGMA synchronous = FULL")

    def _put(self, report: OrderReceived | OrderProgress | OrderArmed | OrderFinished | OrderRejected) -> None:
        (size,) = self._db.execute("SELECT count(*) FROM outbox").fetchone()
        if size >= LARGEST_OUTBOX:
            self._db.execute(
                "DELETE FROM outbox WHERE id = (SELECT min(id) FROM outbox WHERE kind IN ('progress', 'rejected'))"
            )
        self._db.execute(
            "INSERT INTO outbox (order_id, kind, at, report) VALUES (?, ?, ?, ?)",
            (str(report.order), report.kind, datetime.now(UTC).isoformat(), report.model_dump_json()),
        )

    def _next_seq(self) -> int:
        row = self._db.execute("UPDATE last_seq SET seq = seq + 1 RETURNING seq").fetchone()
        if row is None:
            # The panel has seen higher numbers than 1 from a host whose journal was lost; the clock is above them all.
            row = (int(time.time() * 1000),)
            self._db.execute("INSERT INTO last_seq VALUES (?)", row)
        seq: int = row[0]
        return seq

    def _prune(self) -> None:
        with self._transaction():
            oldest = time.time() - KEEP_DAYS * 86_400
            self._db.execute("DELETE FROM orders WHERE state = 'finished' AND finished_at < ?", (oldest,))
            self._db.execute("DELETE FROM refusals WHERE day < date('now', ?)", (f"-{KEEP_DAYS} days",))


def _entry(message: str, state: str, tries: int, before: str | None, finished: str | None) -> Entry:
    return Entry(
        order=Order.model_validate_json(message),
        state=state,
        tries=tries,
        before=before,
        finished=OrderFinished.model_validate_json(finished) if finished else None,
    )
