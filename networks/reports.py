"""What becomes of a host's report in the database. Called for reports whose signature holds; see collecting."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.models import Outcome
from hosts.broker import nudge
from hosts.models import Host
from networks.events import record_bad_report, record_change
from networks.found import note_facts, note_networks
from networks.models import Change, ChangeState, Network, Verdict
from virtnet.actions import DefineNetwork, UndefineNetwork, UpdateNetwork
from virtnet.envelope import LARGEST
from virtnet.facts import HostFacts
from virtnet.messages import (
    FactsReport,
    Heartbeat,
    OrderArmed,
    OrderFinished,
    OrderProgress,
    OrderReceived,
    OrderRejected,
    Report,
)
from virtnet.text import text

LONGEST_NONCE = 100
MOST_STEPS = 1000  # and no more of them in bytes than the last report can hold: the page reads them each second
LARGEST_SEQ = 2**62
# Of the facts; more than any host has. A bad one would else keep the collector from the others, and fill the database.
MOST = {"links": 10_000, "networks": 2_000, "guests": 10_000, "cards": 20_000, "VFs": 10_000}

# EXPIRED is the panel's guess about a host that it could not hear; what the host says later is the truth.
AT_THE_HOST = (ChangeState.SENT, ChangeState.RUNNING, ChangeState.ARMED, ChangeState.EXPIRED)


class ReportRefused(ValueError):
    """A report that its host may not send; nothing of it was taken."""


@transaction.atomic
def record_report(host: Host, report: Report, *, stream_id: str = "", at: datetime | None = None) -> None:
    """Takes a report, once: one whose seq is not newer than the last is a replay and changes nothing.

    `stream_id`: of the entry that brought it; `at`: when it was laid there. Raises ReportRefused.
    """
    # Without the facts, which may be a megabyte: what was not loaded and not set is not saved either.
    locked = Host.objects.select_for_update().defer("facts").get(pk=host.pk)
    # As it is now: it may have been revoked, or enrolled anew, since its signature was checked with the former key.
    if not locked.is_active or locked.public_key != host.public_key:
        raise ReportRefused("comes from a host that is not in service with this key")
    if report.host != locked.pk:
        raise ReportRefused(f"speaks for the host {report.host}")
    if report.seq > LARGEST_SEQ:
        raise ReportRefused("its number is too large")
    if report.seq <= locked.report_seq:
        return
    at = at or timezone.now()
    if locked.report_seq and report.seq > locked.report_seq + 1:
        locked.ping_wanted = True
        transaction.on_commit(nudge)
    locked.report_seq = report.seq
    locked.stream_id = stream_id or locked.stream_id
    locked.last_report_at = at
    said = report.report
    if isinstance(said, Heartbeat):
        _heartbeat(locked, said, at)
    elif isinstance(said, FactsReport):
        _check_size(said.facts)
        note_facts(locked, said.facts, at)
    locked.save()
    if not isinstance(said, Heartbeat | FactsReport):
        _about_an_order(locked, said, at)


def _check_size(facts: HostFacts) -> None:
    found = {
        "links": len(facts.links),
        "networks": len(facts.networks),
        "guests": len(facts.domains),
        "cards": sum(len(guest.interfaces) for guest in facts.domains),
        "VFs": sum(len(link.vfs) for link in facts.links),
    }
    for what, number in found.items():
        if number > MOST[what]:
            raise ReportRefused(f"tells of {number} {what}")


def _heartbeat(host: Host, said: Heartbeat, at: datetime) -> None:
    if len(said.nonce) > LONGEST_NONCE:
        raise ReportRefused("its nonce is too long")
    if host.nonce_at is None or (at - host.nonce_at).total_seconds() > 30:
        transaction.on_commit(nudge)  # it was silent: what waits for it can go
    host.nonce, host.nonce_at = said.nonce, at
    if said.facts_digest != host.facts_digest:
        host.ping_wanted = True
        transaction.on_commit(nudge)


def _about_an_order(
    host: Host, said: OrderReceived | OrderProgress | OrderArmed | OrderFinished | OrderRejected, at: datetime
) -> None:
    change = _change_of(host, said.order) if said.order else None
    if change is None:
        record_bad_report(host, f"{said.kind} speaks of the order {said.order}, which this host was never sent")
    elif isinstance(said, OrderReceived):
        _received(change)
    elif isinstance(said, OrderProgress):
        _progress(change, said)
    elif isinstance(said, OrderArmed):
        _armed(change, said, at)
    elif isinstance(said, OrderFinished):
        _finished(change, said)
    else:
        _rejected(change, said)


def _change_of(host: Host, order: UUID) -> Change | None:
    sent = Change.objects.filter(pk=order, host=host, sends__gt=0)
    return sent.select_related("host", "by").defer("host__facts").first()


def _received(change: Change) -> None:
    # A host that is asked again says "received" of an order that waits for its verdict, too.
    state = ChangeState.ARMED if change.is_armed else ChangeState.RUNNING
    received_at = change.received_at or timezone.now()
    _set(change, AT_THE_HOST, state=state, received_at=received_at, finished_at=None)


def _progress(change: Change, said: OrderProgress) -> None:
    step = said.step.model_dump(mode="json")
    steps = [*change.steps[: said.number], step, *change.steps[said.number + 1 :]]
    if len(steps) > MOST_STEPS or len(json.dumps(steps)) > LARGEST:
        steps = change.steps
    received_at = change.received_at or timezone.now()
    _set(change, AT_THE_HOST, state=ChangeState.RUNNING, steps=steps, received_at=received_at, finished_at=None)


def _armed(change: Change, said: OrderArmed, at: datetime) -> None:
    """What was decided already is about the order, and counts for a host that had to arm itself again."""
    taken = _set(
        change,
        AT_THE_HOST,
        state=ChangeState.ARMED,
        received_at=change.received_at or at,
        finished_at=None,
        asks=said.asks,
        armed_at=at,
        confirm_by=at + timedelta(seconds=said.seconds),
        confirm_nonce=said.nonce,
        verdict_sent_at=None,
    )
    if taken:
        transaction.on_commit(nudge)  # the worker says what was decided, or decides itself


def _finished(change: Change, said: OrderFinished) -> None:
    now = timezone.now()
    state = _end(change, said)
    taken = _set(
        change,
        AT_THE_HOST,
        state=state,
        received_at=change.received_at or now,
        finished_at=now,
        steps=[step.model_dump(mode="json") for step in said.steps] or change.steps,
        problems=[problem.model_dump(mode="json") for problem in said.problems],
        error=said.error.model_dump(mode="json") if said.error else None,
        before=said.before,
        after=said.after,
    )
    if not taken:
        if change.state != state:
            record_bad_report(change.host, f"calls the order {change.pk} {said.outcome}, which is {change.state}")
        return
    change.refresh_from_db()
    _network_follows(change, applied=said.outcome == "applied")
    record_change(change, Outcome(state.value), why=str(said.error or ""))
    transaction.on_commit(nudge)  # the next order of this host may go


def _end(change: Change, said: OrderFinished) -> ChangeState:
    """A host has one word for what it took back; whether somebody wanted it so is the panel's to know."""
    if said.outcome == "undone" and change.verdict == Verdict.UNDO:
        return ChangeState.TAKEN_BACK
    return ChangeState(said.outcome)


def _rejected(change: Change, said: OrderRejected) -> None:
    """Something under this order's id was no good order. Anyone at the broker can bring that about, so it decides
    nothing: the order is sent again until its time is up."""
    sentence = text("The host refused what it was sent (%(reason)s).", reason=said.reason)
    if said.reason == "stale-nonce":
        _send_again_with_a_newer_nonce(change)
    else:
        Change.objects.filter(pk=change.pk, state=ChangeState.SENT).update(error=sentence.model_dump(mode="json"))
        record_bad_report(change.host, f"refused what it was sent under the order {change.pk}: {said.reason}")
    if said.reason == "too-old" and change.is_open and change.not_after < timezone.now():
        # An agent that knew the order would have answered from its journal, so nothing is being done.
        expire(change)


def _send_again_with_a_newer_nonce(change: Change) -> None:
    """An agent that was started anew knows no nonce of before, and tells one of its own before it tells a refusal: with
    that the order can go at once. Without a newer one it would only be refused again."""
    if change.state != ChangeState.SENT or change.sent_at is None:
        return
    nonce_at = change.host.nonce_at
    if nonce_at is not None and nonce_at > change.sent_at:
        Change.objects.filter(pk=change.pk, state=ChangeState.SENT, sends=change.sends).update(sent_at=None)
        transaction.on_commit(nudge)


def expire(change: Change) -> bool:
    """Ends a change that its host did not take in time; False when it has moved on meanwhile."""
    rows = Change.objects.filter(pk=change.pk, state=change.state)
    if rows.update(state=ChangeState.EXPIRED, finished_at=timezone.now()) != 1:
        return False
    change.refresh_from_db()
    remove_unmade_network(change)
    record_change(change, Outcome.EXPIRED)
    return True


def remove_unmade_network(change: Change) -> None:
    """The row of a network that was to be defined, and was not."""
    if change.action.get("action") == "define-network" and change.network_id:
        Network.objects.filter(pk=change.network_id, facts__isnull=True, removed_at=None).update(
            removed_at=timezone.now()
        )


def _network_follows(change: Change, *, applied: bool) -> None:
    action = change.read_action()
    if isinstance(action, DefineNetwork) and applied:
        _bring_back(change, action)
    elif isinstance(action, DefineNetwork):
        remove_unmade_network(change)
        facts = change.host.read_facts()
        if facts.libvirt_error is None:  # else it is not known which networks there are
            note_networks(change.host, facts)  # one found under that name may have its row now
    elif isinstance(action, UpdateNetwork) and applied:
        Network.objects.filter(changes=change).update(spec=action.spec.model_dump(mode="json"))
    elif isinstance(action, UndefineNetwork) and applied:
        Network.objects.filter(changes=change).update(removed_at=timezone.now(), facts=None)


def _bring_back(change: Change, action: DefineNetwork) -> None:
    """A definition that was thought expired was made after all; unless its place has been taken since."""
    try:
        with transaction.atomic():
            Network.objects.filter(pk=action.network.uuid).exclude(removed_at=None).update(removed_at=None)
    except IntegrityError:
        record_bad_report(change.host, f"made the network of the order {change.pk}, whose name another has by now")


def _set(change: Change, states: tuple[str, ...], **values: Any) -> bool:
    """Compare-and-set: False when the change is in none of `states` any more."""
    rows = Change.objects.filter(pk=change.pk, state__in=states)
    return rows.update(heard_at=timezone.now(), **values) == 1
