"""What may stand in the way of macvtap on a link of the host: for a network and for a single card alike.

libvirt calls it `direct`: guests are attached straight to the link, without a bridge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from pydantic import Field
from pydantic.fields import FieldInfo

from virtnet import links, network_xml
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts, NetworkFacts
from virtnet.host import Host
from virtnet.link_facts import Link
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import Text, gettext_noop, text

SourceMode = Literal["bridge", "vepa", "private", "passthrough"]

TRUST: FieldInfo = Field(
    title=gettext_noop("Trust the guest's receive filters"),
    description=gettext_noop(
        "The link then takes in what the guest listens to: IPv6 and multicast need it. The guest may also change its "
        "MAC address, and so answer for another machine: only for guests that you trust."
    ),
)
ETHERNET_MTU = 1500  # what a guest takes where nobody tells it another
# Kinds of links that stand on another by its one receive handler, as macvtap does.
ON_A_LINK = {"macvlan", "macvtap", "ipvlan", "ipvtap"}


@dataclass(frozen=True)
class User:
    """Who has a macvtap on a link, or will have one: a network, a guest's card, or something that is not libvirt's."""

    conflict: Text  # why it and a passthrough cannot both be
    source_mode: str | None  # None where nobody knows
    network: UUID | None = None
    card: tuple[UUID, str] | None = None  # domain, MAC address


def in_the_way(
    facts: HostFacts,
    name: str,
    source_mode: SourceMode,
    *,
    field: str,
    network: NetworkRef | None = None,
    card: tuple[UUID, str] | None = None,
) -> list[Problem]:
    """What keeps a link from carrying macvtap of this submode; `network` or `card` is never in its own way."""
    link = facts.link(name)
    if link is None:
        return links.link_is_missing(facts, name, field=field)
    found = [
        *links.link_is_wireless(link, field=field, fix=text("Use a cable, or choose NAT.")),
        *links.link_is_no_uplink(link, field=field),
        *_is_a_bridge(link, field),
        # The kernel gives a link one receive handler: a bridge's or macvlan's.
        *links.link_is_a_port(
            link, field=field, fix=text("Choose another link, or a Bridge network on %(bridge)s.", bridge=link.master)
        ),
        *_is_given_away(facts, link, field),
    ]
    others = [
        user
        for user in users_of(facts, name)
        if not (network is not None and user.network == network.uuid) and not (card is not None and user.card == card)
    ]
    wants_all = source_mode == "passthrough"
    conflict = next((user.conflict for user in others if wants_all or user.source_mode == "passthrough"), None)
    if conflict is not None:
        found.append(Problem(text=conflict, fix=text("Choose another link."), field=field))
    return [*found, *(_is_the_host_s(facts, link, field) if wants_all else ())]


def carries_macvtap(facts: HostFacts, link: str, *, field: str) -> list[Problem]:
    """What keeps the link from becoming a port of a bridge: the kernel gives a link one receive handler."""
    for network in _networks_on(facts, link):
        sentence = text("%(link)s carries the macvtap network %(network)s.", link=link, network=network.name)
        fix = text("Choose another uplink, or undefine %(network)s first.", network=network.name)
        return [Problem(text=sentence, fix=fix, field=field)]
    for guest, card in _cards_on(facts, link):
        sentence = text(
            "%(link)s carries the card %(mac)s of %(guest)s by macvtap.", link=link, mac=card.mac, guest=guest.name
        )
        fix = text("Choose another uplink, or unplug the card first.")
        return [Problem(text=sentence, fix=fix, field=field)]
    return []


def notes(facts: HostFacts, name: str, *, field: str) -> list[Problem]:
    """What a person should know of the link before."""
    link = facts.link(name)
    if link is None or link.mtu in {0, ETHERNET_MTU}:
        return []
    sentence = text("%(link)s has the MTU %(mtu)s, and libvirt tells a guest on it nothing.", link=name, mtu=link.mtu)
    fix = text("Set the MTU %(mtu)s inside the guest.", mtu=link.mtu)
    return [Problem(text=sentence, fix=fix, field=field)]


def prepare(host: Host, link: str, source_mode: SourceMode) -> None:
    """Before the first guest is on the link. In passthrough the host falls silent there, and not a moment too late."""
    if source_mode == "passthrough":
        host.leave_to_guest(link)
    host.set_up(link)


def silence(link: str, arp_ignore: str = "0", disable_ipv6: str = "0") -> str:
    """The file for sysctl that keeps the host silent on a link that a guest owns; the other two are as it was."""
    return (
        f"# kvmpanel: {link} belongs to a guest (macvtap passthrough). Without this the host would answer there for\n"
        "# its own addresses, and what is sent to the host would reach the guest.\n"
        f"# before: arp_ignore={arp_ignore} disable_ipv6={disable_ipv6}\n"
        f"net/ipv4/conf/{link}/arp_ignore = 8\n"
        f"net/ipv6/conf/{link}/disable_ipv6 = 1\n"
    )


def owned(facts: HostFacts) -> set[str]:
    """The links that are in passthrough, running or not."""
    return {
        link.name
        for link in facts.links
        if any(user.source_mode == "passthrough" for user in users_of(facts, link.name))
    }


def users_of(facts: HostFacts, link: str) -> Iterator[User]:
    """All that has macvtap on the link, running or not."""
    for network in _networks_on(facts, link):
        conflict = text(
            "%(link)s serves the macvtap network %(network)s, and passthrough needs a link for itself.",
            link=link,
            network=network.name,
        )
        yield User(conflict, network_xml.forward_mode_of(network.xml), network=network.uuid)
    for guest, card in _cards_on(facts, link):
        conflict = text(
            "%(link)s carries the card %(mac)s of %(guest)s, and passthrough needs a link for itself.",
            link=link,
            mac=card.mac,
            guest=guest.name,
        )
        yield User(conflict, card.source_mode, card=(guest.uuid, card.mac))
    targets = {card.target for guest in facts.domains for card in guest.interfaces}
    for other in facts.links:
        if other.parent == link and other.kind in ON_A_LINK and other.name not in targets:
            conflict = text(
                "%(other)s stands on %(link)s, and passthrough needs a link for itself.", other=other.name, link=link
            )
            yield User(conflict, None)


def _networks_on(facts: HostFacts, link: str) -> list[NetworkFacts]:
    # To libvirt the forward mode "bridge" without a bridge is macvtap.
    return [
        network
        for network in facts.networks
        if link in network.devs
        and network.bridge is None
        and network_xml.forward_mode_of(network.xml) in get_args(SourceMode)
    ]


def _cards_on(facts: HostFacts, link: str) -> list[tuple[DomainFacts, InterfaceFacts]]:
    cards = [(guest, card) for guest in facts.domains for card in guest.interfaces]
    return [(guest, card) for guest, card in cards if card.type == "direct" and card.source == link]


def _is_a_bridge(link: Link, field: str) -> list[Problem]:
    if link.kind != "bridge":
        return []
    sentence = text("%(link)s is a bridge.", link=link.name)
    fix = text("Choose a Bridge network on it: by that the guests reach the host too.")
    return [Problem(text=sentence, fix=fix, field=field)]


def _is_given_away(facts: HostFacts, link: Link, field: str) -> list[Problem]:
    """A VF that libvirt will give to a guest as it is: it would take it out from under the macvtap."""
    if link.pf is None:
        return []
    for network in facts.networks:
        if network_xml.forward_mode_of(network.xml) == "hostdev" and (
            link.pf in network.devs or link.pci_address in network.vfs
        ):
            sentence = text(
                "%(link)s is a VF of %(pf)s, and the network %(network)s hands those out.",
                link=link.name,
                pf=link.pf,
                network=network.name,
            )
            return [Problem(text=sentence, fix=text("Plug the card into that network."), field=field)]
    for guest in facts.domains:
        if link.pci_address is not None and any(card.vf == link.pci_address for card in guest.interfaces):
            sentence = text("%(link)s is a VF that a card of %(guest)s takes.", link=link.name, guest=guest.name)
            return [Problem(text=sentence, fix=text("Choose another link."), field=field)]
    return []


def _is_the_host_s(facts: HostFacts, link: Link, field: str) -> list[Problem]:
    """A guest that owns the link takes it from the host."""
    if link.name == facts.way_to_panel:
        sentence = text(
            "%(link)s is this host's way to the panel: a guest that owns it would cut the host off.", link=link.name
        )
    elif links.default_route_on(facts, link.name):
        sentence = text(
            "%(link)s carries this host's default route: a guest that owns it would cut the host off.", link=link.name
        )
    elif addresses := links.addresses_on(link):
        sentence = text(
            "%(link)s holds this host's address %(address)s, and passthrough gives the link to one guest.",
            link=link.name,
            address=", ".join(addresses),
        )
    elif subnets := links.routes_on(facts, link.name):
        sentence = text(
            "%(link)s carries this host's route to %(subnet)s, and passthrough gives the link to one guest.",
            link=link.name,
            subnet=", ".join(subnets),
        )
    elif above := [one.name for one in facts.links if one.parent == link.name and one.kind == "vlan"]:
        sentence = text(
            "%(links)s stands on %(link)s, and passthrough gives the link to one guest.",
            links=", ".join(above),
            link=link.name,
        )
    else:
        return []
    fix = text("Choose a link that the host does not use, or the source mode bridge.")
    return [Problem(text=sentence, fix=fix, field=field)]
