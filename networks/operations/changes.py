"""What a person does to a change that was asked for: take it back, give it up, ask for it again."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone
from pydantic import ValidationError

from audit.models import Outcome
from hosts.broker import nudge
from networks.events import record_change
from networks.models import OPEN_STATES, Change, ChangeState, Network
from networks.operations.networks import make_room, name_is_taken
from networks.operations.request import lock_host, request
from networks.reports import remove_unmade_network
from pages.refused import refused
from team.models import User
from team.permissions import check_may_change
from virtnet.actions import DefineNetwork
from virtnet.text import text

RETRIABLE = (
    ChangeState.REFUSED,
    ChangeState.UNDONE,
    ChangeState.TAKEN_BACK,
    ChangeState.FAILED,
    ChangeState.EXPIRED,
    ChangeState.CANCELLED,
)


@transaction.atomic
def cancel_change(change: Change, *, by: User) -> None:
    """Takes back what was never sent. Compare-and-set: the worker may be sending it at this moment."""
    check_may_change(by)
    cancelled = Change.objects.filter(pk=change.pk, state=ChangeState.QUEUED, sends=0)
    if cancelled.update(state=ChangeState.CANCELLED, finished_at=timezone.now()) != 1:
        raise refused(
            text("It is too late to cancel: the host has been sent this change."),
            text("Wait for what becomes of it, then change it back."),
        )
    change.refresh_from_db()
    remove_unmade_network(change)
    record_change(change, Outcome.CANCELLED, by=by)
    transaction.on_commit(nudge)


@transaction.atomic
def give_up(change: Change, *, by: User) -> None:
    """Waits no longer for a silent host that has begun. What the host says when it is back still counts."""
    check_may_change(by)
    current = Change.objects.select_related("host", "by").defer("host__facts").get(pk=change.pk)
    sentence = text(
        "%(person)s gave up waiting for %(host)s, which had begun. What the host says when it is back still counts, "
        "and is shown here.",
        person=by.get_username(),
        host=current.host.name,
    )
    # Compare-and-set: the host may be coming back at this moment.
    begun = Change.objects.filter(pk=current.pk, state=current.state, heard_at=current.heard_at)
    ended = {"state": ChangeState.EXPIRED, "finished_at": timezone.now(), "error": sentence.model_dump(mode="json")}
    if not current.may_be_given_up or begun.update(**ended) != 1:
        raise refused(text("This change does not wait for a silent host any more."), text("Open its page again."))
    current.refresh_from_db()
    remove_unmade_network(current)
    record_change(current, Outcome.EXPIRED, by=by, why=str(sentence))
    transaction.on_commit(nudge)


def retry_change(change: Change, *, by: User) -> Change:
    """The same action once more, as a new Change, checked against what the host says now."""
    try:
        action = change.read_action()
    except ValidationError as error:
        raise refused(text("This version of the panel cannot read the change.")) from error
    try:
        with transaction.atomic():
            locked = lock_host(change.host, by)
            current = Change.objects.get(pk=change.pk)
            if current.state not in RETRIABLE or current.retries.filter(state__in=OPEN_STATES).exists():
                raise refused(text("This change is not one to try again now."), text("Open its page again."))
            if isinstance(action, DefineNetwork):
                make_room(locked, action.network.name)
                Network.objects.filter(pk=action.network.uuid).update(removed_at=None)
            domain = locked.read_facts().domain(current.domain_uuid) if current.domain_uuid else None
            return request(locked, action, by=by, network=current.network, domain=domain, retry_of=current)
    except IntegrityError as error:
        raise name_is_taken(change.host, change.network.name if change.network else "") from error
