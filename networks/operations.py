"""Every write to networks, guests' cards and changes that a person asks for, and `record_report` for what hosts say.

Each is one transaction with its audit event. Nothing is sent here: the worker is nudged once the transaction stands.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone
from pydantic import TypeAdapter, ValidationError

from audit.models import Outcome
from hosts.models import Host, HostStatus
from kvmpanel.broker import nudge
from networks.confirming import keep_change, undo_change
from networks.events import record_change
from networks.mac_addresses import free_mac, holder
from networks.models import OPEN_STATES, Change, ChangeState, Network
from networks.refused import OperationRefused
from networks.refused import refused as _refused
from networks.reports import record_report, remove_unmade_network
from team.models import User
from team.permissions import check_may_change
from virtnet.actions import (
    AnyAction,
    AttachInterface,
    DefineNetwork,
    DestroyNetwork,
    DetachInterface,
    SetNetworkAutostart,
    StartNetwork,
    UndefineNetwork,
    UpdateNetwork,
)
from virtnet.card_filter import CardFilter
from virtnet.channel import ORDER_MINUTES
from virtnet.facts import DomainFacts
from virtnet.fields import MacAddress
from virtnet.filter_actions import SetInboundPolicy, SetInterfaceFilter
from virtnet.inbound import InboundPolicy
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.refs import DomainRef, NetworkRef
from virtnet.spec import NetworkSpec
from virtnet.text import text
from virtnet.vf import VfAttributes
from virtnet.vf_actions import SetNumvfs, SetVfAttributes
from virtnet.vf_card import HostdevSource
from virtnet.vf_pair import AttachPair

__all__ = [
    "OperationRefused",
    "attach_interface",
    "cancel_change",
    "define_network",
    "destroy_network",
    "detach_interface",
    "free_mac",
    "give_up",
    "give_vf",
    "keep_change",
    "record_report",
    "retry_change",
    "set_inbound_policy",
    "set_interface_filter",
    "set_network_autostart",
    "set_numvfs",
    "set_vf_attributes",
    "start_network",
    "undefine_network",
    "undo_change",
    "update_network",
]

mac_adapter: TypeAdapter[str] = TypeAdapter(MacAddress)

RETRIABLE = (
    ChangeState.REFUSED,
    ChangeState.UNDONE,
    ChangeState.FAILED,
    ChangeState.EXPIRED,
    ChangeState.CANCELLED,
)


def define_network(host: Host, spec: NetworkSpec, *, by: User) -> Change:
    """Asks the host for a new network. Its row is there from now on, without facts until the host has made it."""
    identity = uuid4()
    ref = NetworkRef(uuid=identity, name=spec.name)
    action = DefineNetwork.model_validate({"network": ref, "spec": spec})
    try:
        with transaction.atomic():
            locked = _lock(host, by)
            _make_room(locked, spec.name)
            network = Network.objects.create(
                id=identity, uuid=identity, host=locked, name=spec.name, mode=spec.mode, spec=_json(spec)
            )
            return _request(locked, action, by=by, network=network)
    except IntegrityError as error:
        raise _name_is_taken(host, spec.name) from error


@transaction.atomic
def update_network(network: Network, spec: NetworkSpec, *, by: User) -> Change:
    """Asks for another spec of the same mode and name; the row keeps the old one until the host has applied it."""
    locked = _lock(network.host, by)
    if (spec.mode, spec.name) != (network.mode, network.name):
        raise _refused(
            text("The mode and the name of %(network)s stay as they are.", network=network.name),
            text("Make another network for another mode or name."),
        )
    action = UpdateNetwork.model_validate({"network": _ref(network), "spec": spec})
    return _request(locked, action, by=by, network=network)


@transaction.atomic
def start_network(network: Network, *, by: User) -> Change:
    return _request(_lock(network.host, by), StartNetwork(network=_ref(network)), by=by, network=network)


@transaction.atomic
def destroy_network(network: Network, *, by: User) -> Change:
    """Stops it; it stays defined."""
    return _request(_lock(network.host, by), DestroyNetwork(network=_ref(network)), by=by, network=network)


@transaction.atomic
def undefine_network(network: Network, *, by: User) -> Change:
    """Takes a network of the panel off its host."""
    locked = _lock(network.host, by)
    spec = network.read_spec()
    if spec is None:
        raise _refused(
            text("The network %(network)s was not made by the panel.", network=network.name),
            text("Change it with the tool that made it."),
        )
    action = UndefineNetwork.model_validate({"network": _ref(network), "spec": spec})
    return _request(locked, action, by=by, network=network)


@transaction.atomic
def set_network_autostart(network: Network, autostart: bool, *, by: User) -> Change:
    action = SetNetworkAutostart(network=_ref(network), autostart=autostart)
    return _request(_lock(network.host, by), action, by=by, network=network)


@transaction.atomic
def attach_interface(host: Host, domain: DomainFacts, interface: InterfaceSpec, *, by: User) -> Change:
    """Asks for a new card. A MAC address is given once in the whole fleet: guests move, and LANs span hosts."""
    locked = _lock(host, by)
    _check_mac_is_free(locked, domain, interface.mac)
    action = AttachInterface(domain=_domain_ref(domain), interface=interface)
    name = interface.source.network if isinstance(interface.source, NetworkSource) else ""
    return _request(locked, action, by=by, network=_network_of(locked, name), domain=domain)


@transaction.atomic
def detach_interface(host: Host, domain: DomainFacts, mac: str, *, by: User) -> Change:
    locked = _lock(host, by)
    action = DetachInterface(domain=_domain_ref(domain), mac=_checked_mac(mac))
    sources = [card.source for card in domain.interfaces if card.mac == action.mac and card.type == "network"]
    network = _network_of(locked, sources[0] or "") if sources else None
    return _request(locked, action, by=by, network=network, domain=domain)


@transaction.atomic
def set_interface_filter(host: Host, domain: DomainFacts, mac: str, wanted: CardFilter | None, *, by: User) -> Change:
    """Asks for another network filter on a card, or for none."""
    locked = _lock(host, by)
    action = SetInterfaceFilter(domain=_domain_ref(domain), mac=_checked_mac(mac), filter=wanted)
    return _request(locked, action, by=by, network=None, domain=domain)


@transaction.atomic
def set_inbound_policy(host: Host, domain: DomainFacts, mac: str, policy: InboundPolicy | None, *, by: User) -> Change:
    """Asks that only what `policy` lists comes in to a card; with None, everything again."""
    locked = _lock(host, by)
    action = SetInboundPolicy(domain=_domain_ref(domain), mac=_checked_mac(mac), policy=policy)
    return _request(locked, action, by=by, network=None, domain=domain)


@transaction.atomic
def give_vf(
    host: Host, domain: DomainFacts, vf: HostdevSource, mac: str, *, pair_in: str | None = None, by: User
) -> Change:
    """Asks that a guest owns a VF; with `pair_in`, paired with a virtio card on the network of that name."""
    locked = _lock(host, by)
    _check_mac_is_free(locked, domain, mac)
    action = vf_for(domain, vf, mac, pair_in=pair_in)
    return _request(locked, action, by=by, network=_network_of(locked, pair_in or ""), domain=domain)


def vf_for(
    domain: DomainFacts, vf: HostdevSource, mac: str, *, pair_in: str | None = None
) -> AttachInterface | AttachPair:
    """The action that `give_vf` asks for. Raises ValidationError."""
    ref = _domain_ref(domain)
    if pair_in is None:
        return AttachInterface(domain=ref, interface=InterfaceSpec(source=vf, mac=mac))
    return AttachPair(domain=ref, vf=vf, network=pair_in, mac=mac)


@transaction.atomic
def set_numvfs(host: Host, pf: str, numvfs: int, *, by: User) -> Change:
    """Asks for another number of VFs on a PF."""
    return _request(_lock(host, by), SetNumvfs(pf=pf, numvfs=numvfs), by=by, network=None)


@transaction.atomic
def set_vf_attributes(host: Host, pf: str, vf: int, attributes: VfAttributes, *, by: User) -> Change:
    """Asks for other attributes of one VF. Its MAC address, too, is given once in the whole fleet."""
    locked = _lock(host, by)
    if attributes.mac is not None:
        _check_mac_is_free(locked, None, attributes.mac)
    return _request(locked, SetVfAttributes(pf=pf, vf=vf, attributes=attributes), by=by, network=None)


@transaction.atomic
def cancel_change(change: Change, *, by: User) -> None:
    """Takes back what was never sent. Compare-and-set: the worker may be sending it at this moment."""
    check_may_change(by)
    cancelled = Change.objects.filter(pk=change.pk, state=ChangeState.QUEUED, sends=0)
    if cancelled.update(state=ChangeState.CANCELLED, finished_at=timezone.now()) != 1:
        raise _refused(
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
        raise _refused(text("This change does not wait for a silent host any more."), text("Open its page again."))
    current.refresh_from_db()
    remove_unmade_network(current)
    record_change(current, Outcome.EXPIRED, by=by, why=str(sentence))
    transaction.on_commit(nudge)


def retry_change(change: Change, *, by: User) -> Change:
    """The same action once more, as a new Change, checked against what the host says now."""
    try:
        action = change.read_action()
    except ValidationError as error:
        raise _refused(text("This version of the panel cannot read the change.")) from error
    try:
        with transaction.atomic():
            locked = _lock(change.host, by)
            current = Change.objects.get(pk=change.pk)
            if current.state not in RETRIABLE or current.retries.filter(state__in=OPEN_STATES).exists():
                raise _refused(text("This change is not one to try again now."), text("Open its page again."))
            if isinstance(action, DefineNetwork):
                _make_room(locked, action.network.name)
                Network.objects.filter(pk=action.network.uuid).update(removed_at=None)
            domain = locked.read_facts().domain(current.domain_uuid) if current.domain_uuid else None
            if isinstance(action, AttachInterface) and domain is not None:
                _check_mac_is_free(locked, domain, action.interface.mac)
            if isinstance(action, AttachPair) and domain is not None:
                _check_mac_is_free(locked, domain, action.mac)
            if isinstance(action, SetVfAttributes) and action.attributes.mac is not None:
                _check_mac_is_free(locked, None, action.attributes.mac)
            return _request(locked, action, by=by, network=current.network, domain=domain, retry_of=current)
    except IntegrityError as error:
        raise _name_is_taken(change.host, change.network.name if change.network else "") from error


def _lock(host: Host, by: User) -> Host:
    """The host's row, held until the transaction ends: seq grows by one, and of two people the second sees the first.

    Raises PermissionDenied, and OperationRefused for a host that takes no orders.
    """
    check_may_change(by)
    locked = Host.objects.select_for_update().get(pk=host.pk)
    if locked.status != HostStatus.ACTIVE:
        raise _refused(
            text("%(host)s takes no orders: it is %(status)s.", host=locked.name, status=locked.get_status_display()),
            text("Enrol and approve the host first."),
        )
    if locked.facts is None:
        raise _refused(
            text("%(host)s has not yet said what it has.", host=locked.name), text("Wait for its first report.")
        )
    return locked


def _request(
    host: Host,
    action: AnyAction,
    *,
    by: User,
    network: Network | None,
    domain: DomainFacts | None = None,
    retry_of: Change | None = None,
) -> Change:
    """The Change and its audit event. `host` comes from _lock."""
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
        action=_json(action),
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
    if waiting.filter(action=_json(action)).exists():
        raise _refused(
            text("This very change is waiting for %(host)s already.", host=host.name),
            text("Wait for what becomes of it."),
        )
    if network is not None and waiting.filter(network=network, action__action="undefine-network").exists():
        raise _refused(
            text("The network %(network)s is being taken off %(host)s.", network=network.name, host=host.name),
            text("Wait for what becomes of it."),
        )


def _check_mac_is_free(host: Host, domain: DomainFacts | None, mac: str) -> None:
    """domain: the guest whose card is to get it; None for a VF. What is on this very host the action itself checks."""
    if sentence := holder(mac, other_than=(host, domain.uuid if domain else None)):
        raise _refused(sentence, text("Choose another MAC address."), field="mac")


def _make_room(host: Host, name: str) -> None:
    """A network that is gone from the host, and that nobody waits for, gives its name up."""
    gone = Network.objects.filter(host=host, name=name, removed_at=None, facts__isnull=True)
    gone.exclude(changes__state__in=OPEN_STATES).update(removed_at=timezone.now())


def _network_of(host: Host, name: str) -> Network | None:
    return Network.objects.filter(host=host, name=name, removed_at=None).first()


def _ref(network: Network) -> NetworkRef:
    return NetworkRef(uuid=network.uuid, name=network.name)


def _checked_mac(mac: str) -> str:
    try:
        return mac_adapter.validate_python(mac)
    except ValidationError as error:
        raise _refused(text("%(mac)s is no MAC address.", mac=mac), field="mac") from error


def _domain_ref(domain: DomainFacts) -> DomainRef:
    return DomainRef(uuid=domain.uuid, name=domain.name)


def _json(model: NetworkSpec | AnyAction) -> dict[str, Any]:
    return model.model_dump(mode="json")


def _name_is_taken(host: Host, name: str) -> OperationRefused:
    sentence = text("A network %(network)s of %(host)s is there or on its way.", network=name, host=host.name)
    return _refused(sentence, text("Choose another name."), field="name")
