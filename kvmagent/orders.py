"""What arrives on the host's queue: verify, enter in the journal, carry out, report. Knows nothing of Celery or Redis.

Whatever is refused is counted in the journal, logged, and reported as OrderRejected (at most ten a second).
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from pydantic import BaseModel

from kvmagent.carry_out import Finished
from kvmagent.confirmation import PanelConfirmation
from kvmagent.guard_verbs import Confirmation
from kvmagent.journal import Entry, Journal
from kvmagent.keys import fingerprint, public_key_from_text
from kvmagent.nonces import Nonces
from kvmagent.settings import Settings
from virtnet.actions import AnyAction
from virtnet.envelope import unseal
from virtnet.messages import Order, OrderFinished, OrderReceived, OrderRejected, Ping, Step, Verdict
from virtnet.spec import Problem
from virtnet.text import text

TRIES = 3  # starts of one order; an order that killed the agent this often is not started again
WRONG_CLOCK = timedelta(minutes=10)  # how far off a host's date may be before good orders look too old
TOLD_A_SECOND = 10.0  # rejections and repeated answers; the rest is only counted

log = logging.getLogger(__name__)
Kind = TypeVar("Kind", bound=BaseModel)


class CarryOut(Protocol):
    """kvmagent.carry_out.carry_out with its Libvirt already given."""

    def __call__(
        self,
        action: AnyAction,
        note: Callable[[Step], None],
        *,
        found: Callable[[str], None],
        before: str | None,
        confirmation: Confirmation,
    ) -> Finished: ...


class Orders:
    """`told` is called whenever a report was put into the journal's outbox, `asked` with each good ping's id.
    `verdicts`: what the panel says on an armed change, sealed."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        nonces: Nonces,
        carry_out: CarryOut,
        *,
        told: Callable[[], None],
        asked: Callable[[UUID], None],
        verdicts: Callable[[], Iterator[str | None]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._panel_key = public_key_from_text(settings.panel_public_key)
        self._panel_fingerprint = fingerprint(self._panel_key)
        self._journal = journal
        self._nonces = nonces
        self._carry_out = carry_out
        self._told = told
        self._asked = asked
        self._verdicts = verdicts
        self._now = now
        self._tellings = _Rate(TOLD_A_SECOND)

    def receive(self, sealed: object) -> None:
        """Do what a sealed order asks, once; refuse and report whatever is no good order for this host."""
        order = self._unseal(sealed, Order)
        if order is None:
            return
        if order.host != self._settings.host:
            self._refuse("other-host", order.order)
        elif entry := self._journal.find(order.order):
            self._answer(entry)
            if entry.finished is None:
                # One order is worked on at a time, so this one was broken off in this very process: a full disk, say,
                # in the middle of its notes. It must not wait for the agent's next start.
                self._resume(entry)
        # The nonce is what protects: it does not hang on any wall clock. not_after is the second stop.
        elif not self._nonces.accepts(order.nonce):
            self._refuse("stale-nonce", order.order)
        elif self._too_old(order):
            self._refuse("too-old", order.order)
        elif self._journal.receive(order):
            self._told()
            self._work(order, before=None)

    def ping(self, sealed: object) -> None:
        """Ask for the facts to be sent again. A ping carries no power, but a stale one is refused like an order."""
        ping = self._unseal(sealed, Ping)
        if ping is None:
            return
        if ping.host != self._settings.host:
            self._refuse("other-host", None)
        elif not self._nonces.accepts(ping.nonce):
            self._refuse("stale-nonce", None)
        else:
            self._asked(ping.ping)

    def recover(self) -> None:
        """Bring each order that the last process left unfinished to its end."""
        for entry in self._journal.unfinished():
            self._resume(entry)

    def _resume(self, entry: Entry) -> None:
        """An interrupted order is looked at first, never run blindly."""
        order = entry.order
        if entry.tries >= TRIES:
            sentence = text(
                "The agent died %(tries)s times while it carried this out, and will not try again. "
                "Look at the host: the steps below may be half done.",
                tries=entry.tries,
            )
            self._finish(order.order, Finished(outcome="failed", error=sentence, before=entry.before or ""))
        elif self._too_old(order):
            sentence = text("The host was down until this order was too old to be carried out.")
            if entry.before is None:
                self._finish(order.order, Finished(outcome="refused", problems=(Problem(text=sentence),)))
            else:
                self._finish(order.order, Finished(outcome="failed", error=sentence, before=entry.before))
        else:
            log.warning("order %s was interrupted; looking at what it left", order.order)
            self._journal.start(order.order)
            self._work(order, before=entry.before)

    def _work(self, order: Order, *, before: str | None) -> None:
        def note(step: Step) -> None:
            self._journal.step(order.order, step)
            self._told()

        log.info("order %s: %s", order.order, order.action.title())
        confirmation = PanelConfirmation(
            order,
            self._journal,
            told=self._told,
            read=lambda sealed, nonce: self._verdict(sealed, order, nonce),
            verdicts=self._verdicts,
        )
        finished = self._carry_out(
            order.action,
            note,
            found=lambda found: self._journal.found(order.order, found),
            before=before,
            confirmation=confirmation,
        )
        self._finish(order.order, finished)

    def _verdict(self, sealed: str, order: Order, nonce: str) -> Verdict | None:
        """None when it was refused: whatever is no word of the panel on this very change is waited past."""
        verdict = self._unseal(sealed, Verdict)
        if verdict is None:
            return None
        if verdict.host != self._settings.host:
            self._refuse("other-host", verdict.order)
        elif verdict.order == order.order and hmac.compare_digest(verdict.nonce.encode(), nonce.encode()):
            return verdict
        else:
            # The panel repeats its word until the order is finished, so one may be left over: counted, and not told.
            log.info("a verdict on %s was of another moment", verdict.order)
            self._journal.refuse(OrderRejected(order=verdict.order, reason="stale-nonce"), tell=False)
        return None

    def _finish(self, order: UUID, finished: Finished) -> None:
        self._journal.finish(
            OrderFinished(
                order=order,
                outcome=finished.outcome,
                steps=self._journal.steps(order),
                problems=finished.problems,
                error=finished.error,
                before=finished.before,
                after=finished.after,
            )
        )
        self._told()
        log.info("order %s: %s", order, finished.outcome)

    def _answer(self, entry: Entry) -> None:
        """A known order is answered from the journal, also when its nonce is old: nothing is done for it again."""
        report = entry.finished or OrderReceived(order=entry.order.order)
        if self._tellings.allows() and self._journal.answer(report):
            self._told()

    def _too_old(self, order: Order) -> bool:
        return self._now() > order.not_after + WRONG_CLOCK

    def _unseal(self, sealed: object, kind: type[Kind]) -> Kind | None:
        """None when it was refused. An order's id is told only once the signature holds: else anyone wrote it."""
        if not isinstance(sealed, str):
            self._refuse("malformed", None)
            return None
        try:
            return unseal(sealed, kind, "order", verify=self._panel_key.verify, key=self._panel_fingerprint)
        except InvalidSignature:
            self._refuse("signature", None)
        # RecursionError: JSON that is nested thousands deep.
        except (ValueError, RecursionError):
            self._refuse("malformed", None)
        return None

    def _refuse(self, reason: str, order: UUID | None) -> None:
        tell = self._tellings.allows()
        log.warning("refused order %s: %s", order or "of unknown id", reason)
        self._journal.refuse(OrderRejected.model_validate({"order": order, "reason": reason}), tell=tell)
        if tell:
            self._told()


class _Rate:
    """Allows `a_second` a second, and as many at once."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._left = a_second
        self._at = time.monotonic()

    def allows(self) -> bool:
        now = time.monotonic()
        self._left = min(self._a_second, self._left + (now - self._at) * self._a_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
