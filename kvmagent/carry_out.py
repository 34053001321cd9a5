"""One action on this host: fresh facts, what stands in the way, apply, read back; undo on failure.

The worker and `kvmagent apply` both come through here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from kvmagent import libvirt_files
from kvmagent.facts import read_facts
from kvmagent.guard_verbs import Confirmation
from kvmagent.host import LinuxHost, VerbFailed
from kvmagent.libvirt_connection import Libvirt, LibvirtDown
from virtnet.actions import AnyAction
from virtnet.facts import HostFacts
from virtnet.messages import Outcome, Step
from virtnet.spec import Problem
from virtnet.text import Text, text

LIBVIRT_SECONDS, LOOK_SECONDS = 30.0, 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """What became of an action; `before` and `after` are the XML of its object, "" when it was not there."""

    outcome: Outcome
    problems: tuple[Problem, ...] = ()
    error: Text | None = None
    before: str = ""
    after: str = ""
    steps: tuple[Step, ...] = ()


def carry_out(
    action: AnyAction,
    libvirt: Libvirt,
    note: Callable[[Step], None],
    *,
    found: Callable[[str], None] = lambda before: None,
    before: str | None = None,
    confirmation: Confirmation | None = None,
    patience: float = LIBVIRT_SECONDS,
) -> Finished:
    """Carry out `action`, telling each step to `note` as it happens. Never raises for what a host may do.

    `found` is told the XML of the object before anything is touched. `before` is what `found` was told by an earlier
    try that was interrupted: then this try first looks at what that one left, and finishes it. `confirmation`: who says
    whether a change that may cut the host off stays; without one it never does. `patience`: seconds that an interrupted
    order waits for libvirtd, which may have gone down with the agent.
    """
    steps: list[Step] = []

    def noted(step: Step) -> None:
        steps.append(step)
        note(step)

    interrupted = before is not None
    unseen: Outcome = "failed" if interrupted else "refused"
    host = LinuxHost(libvirt, noted, confirmation)
    try:
        facts = _facts(libvirt, patience if interrupted else 0)
        now = host.describe(action)
        problems = tuple(action.problems(facts))
    except (VerbFailed, LibvirtDown) as error:
        if interrupted:
            host.take_up()
            _undo(host)  # of libvirt's part nobody knows
        return Finished(outcome=unseen, problems=(Problem(text=error.text),), before=before or "", steps=tuple(steps))
    except Exception as error:
        log.exception("%s could not be looked at", action.action)
        return Finished(outcome=unseen, error=_defect(error), before=before or "")
    if before is None:
        before = now
        found(before)
    # An object that was there when the order began and is gone now was taken away by the interrupted try itself: that
    # is no problem, what remains is to finish. Whatever else stands in the way is looked at afresh.
    taken_away = interrupted and before != "" and now == ""
    if not taken_away and problems:
        outcome: Outcome = "failed" if now != before else "refused"
        return Finished(outcome=outcome, problems=problems, before=before, after=now)

    why_not = _apply(action, host)
    if why_not is None:
        after = _describe(action, host)
        return Finished(outcome="applied", before=before, after=after, steps=tuple(steps))
    undone = _undo(host)
    after = _describe(action, host)
    # What an interrupted try did is not on this host's undo stack; only a look tells whether all is as before.
    outcome = "undone" if undone and (not interrupted or after == before) else "failed"
    return Finished(outcome=outcome, error=why_not, before=before, after=after, steps=tuple(steps))


def _facts(libvirt: Libvirt, patience: float) -> HostFacts:
    """Raises LibvirtDown, after so many seconds."""
    deadline = time.monotonic() + patience
    while (facts := read_facts(libvirt)).libvirt_error is not None:
        if time.monotonic() >= deadline:
            raise LibvirtDown(facts.libvirt_error)
        time.sleep(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
    return facts


def _apply(action: AnyAction, host: LinuxHost) -> Text | None:
    """None when it went well, else why it did not."""
    try:
        action.apply(host)
        libvirt_files.sync()
    except (VerbFailed, LibvirtDown) as error:
        return error.text
    except Exception as error:
        log.exception("%s could not be carried out", action.action)
        return _defect(error)
    return None


def _undo(host: LinuxHost) -> bool:
    undone = host.undo()
    try:
        libvirt_files.sync()
    except OSError:
        log.exception("what was undone may not be on the disk")
        return False
    return undone


def _defect(error: Exception) -> Text:
    """A defect of ours must be told too, and undone: an order without an end would wait in the panel for ever."""
    return text("The agent failed: %(error)s. Please report this.", error=f"{type(error).__name__}: {error}")


def _describe(action: AnyAction, host: LinuxHost) -> str:
    try:
        return host.describe(action)
    except (VerbFailed, LibvirtDown) as error:
        log.warning("the result of %s could not be read back: %s", action.action, error.text)
        return ""
