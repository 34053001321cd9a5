"""What each request has in common: the host's row held, the checks, the Change with its audit event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from audit.models import Outcome
from hosts.broker import nudge
from hosts.models import Host, HostStatus
from networks.events import record_change
from networks.mac_addresses import holder
from networks.models import OPEN_STATES, Change, Network
from pages.refused import OperationRefused, refused
from team.models import User
from team.permissions import check_may_change
from virtnet.actions import AnyAction
from virtnet.channel import ORDER_MINUTES
from virtnet.facts import DomainFacts
from virtnet.spec import NetworkSpec
from virtnet.text import text

MAC_ADDRESSES = 0x525400  # stands for them among PostgreSQL's advisory locks, of which the panel has no other


def lock_host(host: Host, by: User) -> Host:
    """The host's row, held until the transaction ends: seq grows by one, and of two people the second sees the first.

    Raises PermissionDenied, and OperationRefused for a host that takes no orders.
    """
    check_may_change(by)
    locked = Host.objects.select_for_update().get(pk=host.pk)
    if locked.status != HostStatus.ACTIVE:
        raise refused(
            text("%(host)s takes no orders: it is %(status)s.", host=locked.name, status=locked.get_status_display()),
            text("Enrol and approve the host first."),
        )
    if locked.facts is None:
        raise refused(
            text("%(host)s has not yet said what it has.", host=locked.name), text("Wait for its first report.")
        )
    return locked


def request(
    host: Host,
    action: AnyAction,
    *,
    by: User,
    network: Network | None,
    domain: DomainFacts | None = None,
    retry_of: Change | None = None,
) -> Change:
    """The Change and its audit event. `host` comes from lock_host."""
    _check_mac_is_free(host, domain, action.new_mac)
    _check_nothing_stands_before(host, action, network)
    facts = host.read_facts()
    if problems := action.problems(facts):
        raise OperationRefused(*problems)
    host.order_seq += 1
    host.save(update_fields=["order_seq"])
    change = Change.objects.create(
        host=host,
        network=network,
        domain_uuid=domain.uuid if domain else None,
        domain_name=domain.name if domain else "",
        by=by,
        seq=host.order_seq,
        action=as_json(action),
        facts_digest=host.facts_digest,
        notes=[note.model_dump(mode="json") for note in action.notes(facts)],
        not_after=timezone.now() + timedelta(minutes=ORDER_MINUTES),
        retry_of=retry_of,
    )
    record_change(change, Outcome.REQUESTED, by=by)
    transaction.on_commit(nudge)
    return change


def _check_nothing_stands_before(host: Host, action: AnyAction, network: Network | None) -> None:
    waiting = Change.objects.filter(host=host, state__in=OPEN_STATES)
    if waiting.filter(action=as_json(action)).exists():
        raise refused(
            text("This very change is waiting for %(host)s already.", host=host.name),
            text("Wait for what becomes of it."),
        )
    if network is not None and waiting.filter(network=network, action__action="undefine-network").exists():
        raise refused(
            text("The network %(network)s is being taken off %(host)s.", network=network.name, host=host.name),
            text("Wait for what becomes of it."),
        )


def _check_mac_is_free(host: Host, domain: DomainFacts | None, mac: str | None) -> None:
    """A MAC address is given once in the whole fleet: guests move, and LANs span hosts.

    domain: the guest whose card is to get it; None for a VF. What is on this very host the action itself checks.
    """
    if mac is None:
        return
    _one_giver_at_a_time()
    if sentence := holder(mac, other_than=(host, domain.uuid if domain else None)):
        raise refused(sentence, text("Choose another MAC address."), field="mac")


def _one_giver_at_a_time() -> None:
    """Until the transaction ends: two hosts' rows do not keep each other. SQLite has one writer at a time anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MAC_ADDRESSES])


def network_called(host: Host, name: str) -> Network | None:
    return Network.objects.filter(host=host, name=name, removed_at=None).first()


def as_json(model: NetworkSpec | AnyAction) -> dict[str, Any]:
    return model.model_dump(mode="json")
