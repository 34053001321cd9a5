"""Commit-confirm, the panel's half: a change that could cut its host off stays only when it is kept in time.

A person decides on the change's page, or the worker by itself where the host asks for no person. What was decided is
told to the host again and again, until it goes on or its window is over; then it puts itself back without being told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit.models import Outcome
from hosts.broker import nudge
from networks.events import record_change, was_decided
from networks.models import Change, ChangeState, Verdict
from pages.refused import OperationRefused, refused
from team.models import User
from team.permissions import check_may_change, may_change
from virtnet import messages
from virtnet.text import Text, text

VERDICT_AGAIN = timedelta(seconds=2)  # told again this often: a Redis that is emptied loses it

_OUTCOMES = {Verdict.KEEP: Outcome.KEPT, Verdict.UNDO: Outcome.UNDO_ASKED}


def keep_change(change: Change, *, by: User) -> None:
    """The armed change stays. Raises PermissionDenied, and OperationRefused when it is not to be decided any more."""
    _decide_by(change, Verdict.KEEP, by)


def undo_change(change: Change, *, by: User) -> None:
    """The host puts itself back now instead of at the end of its window. Raises as `keep_change`."""
    _decide_by(change, Verdict.UNDO, by)


@transaction.atomic
def _decide_by(change: Change, verdict: Verdict, by: User) -> None:
    check_may_change(by)
    if not _decide(change, verdict, by=by):
        raise _why_not(change)


def to_be_told() -> Iterator[Change]:
    """The armed changes whose host is to be told now what was decided. Decides those that ask for no person; looks at
    each row again, as it is now, before it is told."""
    for change in _undecided_or_untold():
        if not change.host.is_active:
            continue  # its order is closed with the others of such a host
        if not change.verdict and change.asks == "panel":
            _decide_by_the_panel(change)
        elif change.verdict and not _holds(change):
            continue
        if change.verdict and _is_due(change):
            yield change


def verdict_of(change: Change) -> messages.Verdict:
    return messages.Verdict.model_validate(
        {
            "order": change.pk,
            "host": change.host_id,
            "verdict": change.verdict,
            "nonce": change.confirm_nonce,
        }
    )


def note_told(change: Change) -> None:
    """It lies in the host's list; a host that has armed itself anew meanwhile is told at the next look."""
    Change.objects.filter(pk=change.pk, confirm_nonce=change.confirm_nonce).update(verdict_sent_at=timezone.now())


def _undecided_or_untold() -> QuerySet[Change]:
    armed = Change.objects.filter(state=ChangeState.ARMED, confirm_by__gt=timezone.now())
    return armed.select_related("host", "by", "verdict_by").defer("host__facts", "steps", "before", "after")


def _is_due(change: Change) -> bool:
    return change.verdict_sent_at is None or timezone.now() - change.verdict_sent_at >= VERDICT_AGAIN


@transaction.atomic
def _decide_by_the_panel(change: Change) -> None:
    if may_change(change.by):
        _decide(change, Verdict.KEEP, by=None)
    else:
        _decide(change, Verdict.UNDO, by=None, why=_may_not(change.by))


@transaction.atomic
def _holds(change: Change) -> bool:
    """Whether what a person decided may be told. Of one who has lost the right meanwhile it is taken back: another may
    decide, or the host puts itself back."""
    person = change.verdict_by
    if person is not None and not may_change(person):
        mine = Change.objects.filter(pk=change.pk, verdict=change.verdict, verdict_by=person)
        if mine.update(verdict="", verdict_by=None, verdict_at=None) == 1:
            record_change(change, Outcome.CANCELLED, by=person, why=str(_may_not(person)))
        return False
    return was_decided(change)


def _decide(change: Change, verdict: Verdict, *, by: User | None, why: Text | None = None) -> bool:
    """Compare-and-set: False when it was decided meanwhile, or waits no more."""
    now = timezone.now()
    waiting = Change.objects.filter(pk=change.pk, state=ChangeState.ARMED, verdict="", confirm_by__gt=now)
    if waiting.update(verdict=verdict, verdict_by=by, verdict_at=now, verdict_sent_at=None) != 1:
        return False
    change.refresh_from_db(fields=["state", "verdict", "verdict_by", "verdict_at", "verdict_sent_at", "confirm_nonce"])
    record_change(change, _OUTCOMES[verdict], by=by, why=str(why) if why else "", by_the_panel=by is None)
    transaction.on_commit(nudge)
    return True


def _why_not(change: Change) -> OperationRefused:
    now = Change.objects.select_related("verdict_by", "host").defer("host__facts").get(pk=change.pk)
    if now.verdict:
        person = now.verdict_by.get_username() if now.verdict_by else None
        sentences = {
            (Verdict.KEEP, True): text("%(person)s has decided already: it is kept.", person=person),
            (Verdict.UNDO, True): text("%(person)s has decided already: it is undone.", person=person),
            (Verdict.KEEP, False): text("The panel has decided already: it is kept."),
            (Verdict.UNDO, False): text("The panel has decided already: it is undone."),
        }
        return refused(sentences[Verdict(now.verdict), person is not None])
    if now.is_armed:
        return refused(
            text("It is too late to decide: %(host)s puts itself back.", host=now.host.name),
            text("Wait until it has said so, then ask for the change again."),
        )
    return refused(text("This change does not wait for a confirmation."), text("Open its page again."))


def _may_not(person: User) -> Text:
    return text("%(person)s may no longer change anything.", person=person.get_username())
