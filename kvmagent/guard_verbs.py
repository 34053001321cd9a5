"""Arming the guard before what may cut the host off, and waiting for the word that the change stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol

from kvmagent import arming, carried, links, restore, snapshot
from kvmagent.arming import Armed, Asks, GuardFailed
from kvmagent.guard import Step, boot_clock
from kvmagent.snapshot import Snapshot
from kvmagent.steps import Steps, VerbFailed
from virtnet import guarding, verbs
from virtnet.facts import HostFacts
from virtnet.refs import NetworkRef
from virtnet.text import text
from virtnet.verbs import Verb

RESTORE_SECONDS = 5.0  # after the deadline: until the guard must have put everything back
SETTLING = 3.0  # seconds: until the kernel has given a link its own addresses again


class Confirmation(Protocol):
    """Who says whether an armed change stays. owner: the order's id, by which an interrupted change is found again."""

    owner: str

    def verdict(self, armed: Armed) -> Literal["keep", "undo"] | None:
        """Waits for it as long as the window is open; None when it closed."""


class NobodyConfirms:
    """For what never comes to an armed change."""

    owner = "nobody"

    def verdict(self, armed: Armed) -> Literal["keep", "undo"] | None:
        return "undo"


class GuardVerbs:
    """armed: the guarded change that this action makes, also once it was kept; None where nothing is at risk."""

    def __init__(self, steps: Steps, read_facts: Callable[[], HostFacts], confirmation: Confirmation) -> None:
        self._steps = steps
        self._read_facts = read_facts
        self._confirmation = confirmation
        self._is_kept = False
        self.armed: Armed | None = None

    @property
    def before(self) -> Snapshot:
        return self.armed.before if self.armed is not None and self.armed.of_this_boot else {}

    def arm(
        self,
        names: tuple[str, ...],
        asks: Asks,
        new: tuple[str, ...],
        network: NetworkRef | None,
        *,
        mute: int = 0,
        facts: HostFacts | None = None,
    ) -> None:
        """facts: of this moment, where they have been read already."""
        former, state, _ = arming.find()
        ours = former if former is not None and former.owner == self._confirmation.owner else None
        if ours is not None and (state != "kept" or ours.of_this_boot):
            self._go_on(ours, state)
            return
        facts = facts or self._read_facts()
        risk = guarding.why_risky(facts, names, network)
        if risk is None:
            if ours is not None:
                self._go_on(ours, state)
            return
        # Kept, but the power was cut before it was on the disk: armed and made once more. What was decided is about the
        # order: the panel says it again.
        touched = guarding.touched(facts, (*names, *new))
        verb = verbs.arm_guard(touched, risk)
        with self._steps.doing(verb):
            if state == "armed" and former is not None:
                raise VerbFailed(
                    text(
                        "Another change of this host waits for its confirmation (%(links)s, %(seconds)s s more).",
                        links=", ".join(former.links),
                        seconds=round(former.left),
                    )
                )
            arming.restore_lost()
            self._arm(touched, asks, guarding.window(arming.confirm_seconds(), mute))
            self._steps.done(verb)

    def waits_for_this_change(self) -> bool:
        """Whether an earlier try of this very change armed the guard."""
        former, _state, _ = arming.find()
        return former is not None and former.owner == self._confirmation.owner

    def take_up(self) -> None:
        """What an earlier try of this very change has armed is put back by an undo."""
        former, state, _ = arming.find()
        if former is not None and former.owner == self._confirmation.owner and former.of_this_boot:
            self.armed, self._is_kept = former, state == "kept"
            self._push(former)

    def also(self, step: Step) -> None:
        """One more step of the way back, before a verb changes what it restores; nothing where none is armed."""
        if self.armed is not None and not self._is_kept:
            arming.also(step)

    def run(self, steps: list[Step]) -> None:
        """A change by the guard's hand: it is made whole also when the agent is killed in the middle."""
        if self.armed is None or self._is_kept:
            raise GuardFailed(text("No guard is armed."))
        arming.run(steps)

    def await_confirmation(self) -> None:
        if self.armed is None:
            return
        verb = verbs.await_confirmation(self.armed.asks)
        with self._steps.doing(verb):
            if self._is_kept:
                self._steps.already_so(verb)
                return
            verdict = self._confirmation.verdict(self.armed)
            if verdict is None and self._how_it_ended() == "kept":
                verdict = "keep"  # at the host's terminal, in the last moment of the window
            if verdict == "keep":
                if arming.find()[1] != "kept":  # else somebody kept it at the host's terminal
                    arming.keep(self._confirmation.owner)
                self._is_kept = True
                self._steps.done(verb)
                return
            if verdict is None:
                arming.restore("nobody confirmed in time")  # nothing happens where the guard has done so
                raise VerbFailed(text("Nobody confirmed the change in time, so the guard has taken it back."))
            arming.restore("it was to be undone")
            self._steps.done(verb, text("The answer: undo it."))
        raise VerbFailed(text("It was to be undone."))

    def _arm(self, touched: tuple[str, ...], asks: Asks, seconds: float) -> None:
        for name in touched:
            if links.kind(name) is not None and (odd := carried.why_not(carried.read(name))):
                raise VerbFailed(odd)
        before = snapshot.take()
        armed = Armed(
            owner=self._confirmation.owner,
            asks=asks,
            deadline=boot_clock() + seconds,
            links=touched,
            before=before,
            restore=restore.plan(touched, before),
        )
        arming.arm(armed)
        self.armed = armed
        self._push(armed)

    def _go_on(self, former: Armed, state: arming.State) -> None:
        """This action was interrupted: the same window is still open, or it is over."""
        self.armed = former
        verb = verbs.arm_guard(former.links, text("The change was interrupted and goes on."))
        with self._steps.doing(verb):
            if state == "lost":
                arming.restore("the guard was gone")
            if state in {"lost", "restored"}:
                raise VerbFailed(text("The change was taken back meanwhile: nobody had confirmed it."))
            self._is_kept = state == "kept"
            self._push(former)
            self._steps.already_so(verb)

    def _push(self, armed: Armed) -> None:
        names = ", ".join(armed.links)
        back = Verb(text=text("Put %(links)s back as before.", links=names), command="kvmagent undo")
        self._steps.push(back, self._put_back)

    def _put_back(self) -> bool:
        armed, state, _ = arming.find()
        if armed is not None and state == "restored":
            # The guard may have done so while this action was still at work: what came after that goes now.
            before = self.before
            if not before or not snapshot.differences_that_stay(before, of=armed.links, seconds=SETTLING):
                return False
            arming.restore_here(armed, "what was done after the guard had put all back")
            return True
        arming.restore("a later step failed")
        return True

    @staticmethod
    def _how_it_ended() -> arming.State:
        """Of a window that is over; waits for a guard that is at work."""
        deadline = time.monotonic() + RESTORE_SECONDS
        while (state := arming.find()[1]) == "armed" and time.monotonic() < deadline:
            time.sleep(0.05)
        return state
