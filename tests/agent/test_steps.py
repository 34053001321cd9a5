"""The way back of an action: gone to its end, whatever one of its steps meets."""

from __future__ import annotations

import sqlite3
from functools import partial

from kvmagent.steps import Steps, VerbFailed
from virtnet.messages import Step
from virtnet.text import text
from virtnet.verbs import Verb

WAYS_BACK = ("first", "second", "third")


def verb(name: str) -> Verb:
    return Verb(text=text("%(name)s", name=name), command=name)


def after_three(steps: Steps, second: BaseException | None = None) -> list[str]:
    """The names of what is taken back, as it happens; the second fails so."""
    gone: list[str] = []

    def back(name: str) -> bool:
        if name == "second" and second is not None:
            raise second
        gone.append(name)
        return True

    for name in WAYS_BACK:
        steps.push(verb(name), partial(back, name))
    return gone


def test_what_was_done_last_is_taken_back_first() -> None:
    told: list[Step] = []
    steps = Steps(told.append)
    gone = after_three(steps)
    assert steps.undo()
    assert gone == ["third", "second", "first"]
    assert [step.outcome for step in told] == ["undone"] * 3


def test_neither_a_refusal_nor_a_defect_of_ours_stops_the_rest_of_the_way_back() -> None:
    for error in (VerbFailed(text("It is in use.")), ZeroDivisionError("a defect")):
        told: list[Step] = []
        steps = Steps(told.append)
        gone = after_three(steps, error)
        assert not steps.undo()
        assert gone == ["third", "first"]
        assert [step.outcome for step in told] == ["undone", "undo-failed", "undone"]


def test_a_full_disk_that_takes_no_notes_stops_nothing_of_the_way_back() -> None:
    def full(_: Step) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    steps = Steps(full)
    gone = after_three(steps)
    steps.not_undone(verb("compared"), text("eth0 is not as before."))
    assert steps.undo()
    assert gone == ["third", "second", "first"]
