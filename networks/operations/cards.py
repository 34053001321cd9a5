"""What a person asks for about the cards of a guest."""

from __future__ import annotations

from django.db import transaction
from pydantic import TypeAdapter, ValidationError

from hosts.models import Host
from networks.models import Change
from networks.operations.request import lock_host, network_called, request
from pages.refused import refused
from team.models import User
from virtnet.actions import AttachInterface, DetachInterface
from virtnet.card_filter import CardFilter
from virtnet.facts import DomainFacts
from virtnet.fields import MacAddress
from virtnet.filter_actions import SetInboundPolicy, SetInterfaceFilter
from virtnet.inbound import InboundPolicy
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.text import text
from virtnet.vf_card import HostdevSource
from virtnet.vf_pair import AttachPair, DetachVfOfPair

mac_adapter: TypeAdapter[str] = TypeAdapter(MacAddress)


@transaction.atomic
def attach_interface(host: Host, domain: DomainFacts, interface: InterfaceSpec, *, by: User) -> Change:
    """Asks for a new card."""
    locked = lock_host(host, by)
    action = AttachInterface(domain=domain.ref, interface=interface)
    name = interface.source.network if isinstance(interface.source, NetworkSource) else ""
    return request(locked, action, by=by, network=network_called(locked, name), domain=domain)


@transaction.atomic
def attach_pair(host: Host, domain: DomainFacts, vf: HostdevSource, network: str, mac: str, *, by: User) -> Change:
    """Asks for a VF paired with a virtio card on the network of that name, both with this MAC address."""
    locked = lock_host(host, by)
    action = AttachPair(domain=domain.ref, vf=vf, network=network, mac=mac)
    return request(locked, action, by=by, network=network_called(locked, network), domain=domain)


@transaction.atomic
def detach_interface(host: Host, domain: DomainFacts, mac: str, *, by: User) -> Change:
    locked = lock_host(host, by)
    action = DetachInterface(domain=domain.ref, mac=_checked_mac(mac))
    sources = [card.source for card in domain.interfaces if card.mac == action.mac and card.type == "network"]
    network = network_called(locked, sources[0] or "") if sources else None
    return request(locked, action, by=by, network=network, domain=domain)


@transaction.atomic
def detach_vf_of_pair(host: Host, domain: DomainFacts, mac: str, *, by: User) -> Change:
    """Asks that of a pair only the VF is unplugged."""
    locked = lock_host(host, by)
    action = DetachVfOfPair(domain=domain.ref, mac=_checked_mac(mac))
    return request(locked, action, by=by, network=None, domain=domain)


@transaction.atomic
def set_interface_filter(host: Host, domain: DomainFacts, mac: str, wanted: CardFilter | None, *, by: User) -> Change:
    """Asks for another network filter on a card, or for none."""
    locked = lock_host(host, by)
    action = SetInterfaceFilter(domain=domain.ref, mac=_checked_mac(mac), filter=wanted)
    return request(locked, action, by=by, network=None, domain=domain)


@transaction.atomic
def set_inbound_policy(host: Host, domain: DomainFacts, mac: str, policy: InboundPolicy | None, *, by: User) -> Change:
    """Asks that only what `policy` lists comes in to a card; with None, everything again."""
    locked = lock_host(host, by)
    action = SetInboundPolicy(domain=domain.ref, mac=_checked_mac(mac), policy=policy)
    return request(locked, action, by=by, network=None, domain=domain)


def _checked_mac(mac: str) -> str:
    try:
        return mac_adapter.validate_python(mac)
    except ValidationError as error:
        raise refused(text("%(mac)s is no MAC address.", mac=mac), field="mac") from error
