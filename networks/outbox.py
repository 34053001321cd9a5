"""Which changes are due to be sent, and which have had their time. The rows are the outbox; Redis is only the pipe."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from pydantic import ValidationError

from audit.models import Outcome
from hosts.models import Host
from networks.events import record_change, was_requested
from networks.models import OPEN_STATES, Change, ChangeState
from networks.reports import expire, remove_unmade_network
from team.permissions import may_change
from virtnet.channel import NONCE_SECONDS, RESEND_SECONDS
from virtnet.messages import Order
from virtnet.text import Text, text

# An order must arrive while its nonce is still good, so the panel takes none of the last 20 s of a nonce's life.
NONCE_USABLE = timedelta(seconds=NONCE_SECONDS - 20)
RESEND = timedelta(seconds=RESEND_SECONDS)
ASK_AGAIN = timedelta(seconds=15)  # the host has the order and has said nothing of it for this long


def has_fresh_nonce(host: Host) -> bool:
    return host.nonce_at is not None and timezone.now() - host.nonce_at < NONCE_USABLE


def first_of_each_host() -> Iterator[Change]:
    """One order at a time: the next is looked at when the one before it has ended. What cannot be sent ends here."""
    ended_or_first: set[object] = set()
    changes = Change.objects.filter(state__in=OPEN_STATES).order_by("host_id", "seq")
    for change in _with_host(changes):
        if change.host_id not in ended_or_first and not _ends(change):
            ended_or_first.add(change.host_id)
            yield change


def expire_waiting() -> None:
    """Those behind another change, too, have had their time when it is over."""
    late = Change.objects.filter(state__in=(ChangeState.QUEUED, ChangeState.SENT), not_after__lte=timezone.now())
    for change in _with_host(late):
        _expire(change)


def is_due(change: Change) -> bool:
    """Whether it is to be laid in its host's queue now, for the first time or again."""
    if not has_fresh_nonce(change.host):
        return False
    now = timezone.now()
    if change.state == ChangeState.QUEUED or change.sent_at is None:
        return True
    if change.state == ChangeState.SENT:
        return now - change.sent_at >= RESEND
    if change.is_armed and change.confirm_by is not None and now < change.confirm_by:
        return False  # it waits for us
    heard_at = change.heard_at or change.sent_at
    return now - max(heard_at, change.sent_at) >= ASK_AGAIN


def claim(change: Change, at: datetime) -> bool:
    """Compare-and-set before it is sent: False when another worker, or a person who cancelled it, was faster."""
    state = ChangeState.SENT if change.state == ChangeState.QUEUED else change.state
    rows = Change.objects.filter(pk=change.pk, state=change.state, sends=change.sends)
    return rows.update(state=state, sends=change.sends + 1, sent_at=at) == 1


def give_back(change: Change) -> None:
    """It could not be laid in the queue, as far as is known: it is due again at once, under the same id."""
    Change.objects.filter(pk=change.pk, sends=change.sends + 1).update(sent_at=None)


def order_of(change: Change) -> Order:
    return Order(
        order=change.pk,
        host=change.host_id,
        seq=change.seq,
        action=change.read_action(),
        facts_digest=change.facts_digest,
        issued_at=timezone.now(),
        not_after=change.not_after,
        nonce=change.host.nonce,
    )


def _with_host(changes: QuerySet[Change]) -> QuerySet[Change]:
    """Without the facts, which may be a megabyte for each host."""
    return changes.select_related("host", "by").defer("host__facts")


def _ends(change: Change) -> bool:
    """Looks at the row again, as it is now: who asked, whom, and when."""
    if not change.host.is_active:
        return _close(change, text("%(host)s is no longer trusted, so nothing is sent to it.", host=change.host.name))
    try:
        change.read_action()
    except ValidationError:
        return _close(change, text("This version of the panel cannot read the change."))
    if change.state in (ChangeState.RUNNING, ChangeState.ARMED):
        return False
    if change.not_after <= timezone.now():
        return _expire(change)
    if not may_change(change.by):
        return _close(change, text("%(person)s may no longer change anything.", person=change.by.get_username()))
    if not was_requested(change):
        return _close(change, text("The record does not have the request, so it is not sent."))
    return False


@transaction.atomic
def _expire(change: Change) -> bool:
    return expire(change)


@transaction.atomic
def _close(change: Change, because: Text) -> bool:
    """Ends a change that must not be sent. One that was sent already may have been done: that it "expired" says so."""
    never_sent = change.sends == 0
    state = ChangeState.CANCELLED if never_sent else ChangeState.EXPIRED
    rows = Change.objects.filter(pk=change.pk, state=change.state, sends=change.sends)
    if rows.update(state=state, finished_at=timezone.now(), error=because.model_dump(mode="json")) == 1:
        remove_unmade_network(change)
        record_change(change, Outcome.CANCELLED if never_sent else Outcome.EXPIRED, why=str(because))
    return True
