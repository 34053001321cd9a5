"""Rows that follow what a host found: its networks, its guests and their cards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from pydantic import ValidationError

from hosts.models import Host
from networks.models import OPEN_STATES, Change, ChangeState, Guest, Network, VfMac, VmInterface
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.modes import spec_adapter
from virtnet.vf_ledger import ledger

LONGEST_MAC = 17


def note_facts(host: Host, facts: HostFacts, at: datetime) -> None:
    """Keeps the facts in the host's row, which the caller saves, and brings the other rows in line."""
    host.ping_wanted = False
    if facts.digest() == host.facts_digest:
        host.facts_at = at
        return
    host.keep_facts(facts, at)
    if facts.libvirt_error is None:  # else nothing is known about networks and guests, so nothing is gone either
        note_networks(host, facts)
        _note_guests(host, facts)
        _note_vf_macs(host, facts)


def note_networks(host: Host, facts: HostFacts) -> None:
    """Networks that are gone first, so that their names are free for the ones that were found."""
    found = _one_of_each(facts.networks)
    rows = list(Network.objects.filter(host=host, removed_at=None))
    # One whose definition failed is not taken away by anybody, though facts that were read meanwhile may have had it.
    ours = set(Change.objects.filter(network__in=rows, state=ChangeState.APPLIED).values_list("network_id", flat=True))
    waited_for = set(
        Change.objects.filter(network__in=rows, state__in=OPEN_STATES).values_list("network_id", flat=True)
    )
    names = {network.name for network in found.values()}
    kept: dict[Any, Network] = {}
    for row in rows:
        network = found.get(row.uuid)
        if network is not None and network.name == row.name:
            kept[row.uuid] = row
            _note(row, network)
        elif row.pk in waited_for:
            kept[row.uuid] = row
            _note(row, None)
        elif not row.is_managed or row.pk not in ours or row.name in names or network is not None:
            Network.objects.filter(pk=row.pk).update(facts=None, removed_at=timezone.now())
        else:
            _note(row, None)  # a network of the panel that somebody took away: the page says so
            kept[row.uuid] = row
    taken = {row.name for row in kept.values()}
    for network in found.values():
        if network.uuid not in kept and network.name not in taken:
            _make(host, network)


def made_since(host: Host) -> QuerySet[Network]:
    """Networks that were made after the host's facts were read: it tells of them within some seconds."""
    making = Q(changes__action__action="define-network", changes__state=ChangeState.APPLIED)
    since = Q(changes__finished_at__gt=host.facts_at) if host.facts_at else Q()
    return Network.objects.filter(making & since, host=host, removed_at=None, facts__isnull=True)


def _one_of_each(networks: Iterable[NetworkFacts]) -> dict[Any, NetworkFacts]:
    """libvirt never has a UUID or a name twice; a hostile host may say so."""
    names: set[str] = set()
    found: dict[Any, NetworkFacts] = {}
    for network in networks:
        if network.uuid not in found and network.name not in names:
            names.add(network.name)
            found[network.uuid] = network
    return found


def _note(row: Network, network: NetworkFacts | None) -> None:
    facts = network.model_dump(mode="json") if network else None
    mode = network.mode if network and not row.is_managed else row.mode
    if (facts, mode) != (row.facts, row.mode):
        Network.objects.filter(pk=row.pk).update(facts=facts, mode=mode[:40])


def _make(host: Host, network: NetworkFacts) -> None:
    about = {"mode": network.mode[:40], "spec": _spec_in(network), "facts": network.model_dump(mode="json")}
    # One that the panel asked for has libvirt's UUID for its own: it is back, or was made after its order had expired.
    # Not one that was just undefined: these facts may have been read before that.
    undefined = Change.objects.filter(
        network=OuterRef("pk"), action__action="undefine-network", state=ChangeState.APPLIED
    )
    removed = Network.objects.filter(~Exists(undefined), host=host, name=network.name).exclude(removed_at=None)
    former = removed.filter(pk=network.uuid)
    if not former.update(removed_at=None, **about):
        Network.objects.create(host=host, uuid=network.uuid, name=network.name, **about)


def _spec_in(network: NetworkFacts) -> dict[str, Any] | None:
    """The panel's own spec from the network's metadata: of a panel before this one, or of rows that were restored."""
    if network.spec is None:
        return None
    try:
        return spec_adapter.validate_json(network.spec).model_dump(mode="json")
    except ValidationError:
        return None  # of a newer panel, or written by hand: shown as foreign


def _note_guests(host: Host, facts: HostFacts) -> None:
    Guest.objects.filter(host=host).delete()
    Guest.objects.bulk_create(Guest(host=host, uuid=domain.uuid, name=domain.name) for domain in facts.domains)
    VmInterface.objects.filter(host=host).delete()
    VmInterface.objects.bulk_create(
        VmInterface(
            host=host,
            domain_uuid=domain.uuid,
            domain_name=domain.name,
            mac=card.mac[:LONGEST_MAC],
            network_name=(card.source or "") if card.type == "network" else "",
            facts=card.model_dump(mode="json"),
        )
        for domain in facts.domains
        for card in domain.interfaces
    )


def _note_vf_macs(host: Host, facts: HostFacts) -> None:
    """Wanted ones, and those of VFs that no guest owns: a guest's VF has the MAC address of its card."""
    VfMac.objects.filter(host=host).delete()
    VfMac.objects.bulk_create(
        VfMac(host=host, pf=row.pf.name, index=one.vf.index, mac=mac[:LONGEST_MAC])
        for row in ledger(facts)
        for one in row.rows
        for mac in {one.vf.wanted.mac if one.vf.wanted else None, one.vf.mac if one.holder is None else None}
        if mac
    )
