"""What may stand in the way of more than one action: the network or guest is gone, not the panel's, or in use."""

from __future__ import annotations

from virtnet.card_filter import KNOWN_TO_LIBVIRT, CardFilter
from virtnet.facts import DomainFacts, HostFacts, NetworkFacts
from virtnet.refs import DomainRef, NetworkRef
from virtnet.spec import NetworkSpec, Problem
from virtnet.text import text


def _find(facts: HostFacts, network: NetworkRef) -> NetworkFacts | None:
    return next((found for found in facts.networks if found.uuid == network.uuid), None)


def network_is_there(facts: HostFacts, network: NetworkRef) -> list[Problem]:
    if _find(facts, network):
        return []
    return [
        Problem(
            text=text("This host has no network %(network)s any more.", network=network.name),
            fix=text("Somebody has undefined it: make a new one."),
        )
    ]


def network_of_the_panel(facts: HostFacts, network: NetworkRef) -> list[Problem]:
    found = _find(facts, network)
    if found is None:
        return network_is_there(facts, network)
    if not found.managed:
        return [
            Problem(
                text=text("The network %(network)s was not made by the panel.", network=network.name),
                fix=text("Change it with the tool that made it."),
            )
        ]
    return []


def of_another_mode(facts: HostFacts, network: NetworkRef, spec: NetworkSpec) -> list[Problem]:
    found = _find(facts, network)
    if found is None or found.mode == spec.mode:
        return []
    # What the former mode made beside the network would stay behind.
    return [
        Problem(
            text=text(
                "The network %(network)s is %(is)s and cannot become %(wanted)s.",
                network=network.name,
                **{"is": found.mode, "wanted": spec.mode},
            ),
            fix=text("Make a new network, and move the guests' cards to it."),
        )
    ]


def guests_in_the_way(facts: HostFacts, network: NetworkRef, guests: list[DomainFacts]) -> list[Problem]:
    found = _find(facts, network)
    plugged = [
        guest.name
        for guest in guests
        if any(card.type == "network" and found is not None and card.source == found.name for card in guest.interfaces)
    ]
    if not plugged:
        return []
    return [
        Problem(
            text=text(
                "Guests are plugged into %(network)s: %(guests)s.", network=network.name, guests=", ".join(plugged)
            ),
            fix=text("Unplug their cards first."),
        )
    ]


def guest_is_there(facts: HostFacts, domain: DomainRef) -> list[Problem]:
    if facts.domain(domain.uuid):
        return []
    return [
        Problem(
            text=text("The guest %(guest)s is not on this host any more.", guest=domain.name),
            fix=text("It was undefined or moved: look for it on the other hosts."),
        )
    ]


def card_is_there(facts: HostFacts, domain: DomainRef, mac: str) -> list[Problem]:
    guest = facts.domain(domain.uuid)
    if guest is None:
        return guest_is_there(facts, domain)
    if guest.card(mac) is not None:
        return []
    return [
        Problem(
            text=text("The guest %(guest)s has no card %(mac)s any more.", guest=domain.name, mac=mac),
            fix=text("Open the guest's page again."),
        )
    ]


def passes_no_bridge(facts: HostFacts, type_: str, source: str | None) -> list[Problem]:
    """Filters and our table judge frames between a bridge and a tap; a card on anything else passes neither.

    type_, source: of the card, as InterfaceFacts has them.
    """
    bridge = source
    if type_ == "network":
        network = facts.network(source or "")
        if network is None:
            return []
        bridge = network.bridge
    if type_ in {"network", "bridge"} and bridge is not None and _is_bridge(facts, bridge):
        return []
    if type_ == "network":
        sentence = text(
            "The network %(network)s has no bridge on the host: what its guests send and get passes no firewall there.",
            network=source,
        )
    elif type_ == "hostdev":
        sentence = text("The guest owns this card's hardware: its frames never pass the host's kernel.")
    else:
        sentence = text(
            "The card hangs on %(source)s and on no bridge of the host: its frames pass no firewall there.",
            source=source or type_,
        )
    return [Problem(text=sentence, fix=text("Filter inside the guest, or plug it into a network with a bridge."))]


def _is_bridge(facts: HostFacts, name: str) -> bool:
    """Whether it is a bridge of the kernel, or may become one: that of a stopped network is not there."""
    link = facts.link(name)
    return link is None or link.kind == "bridge"


def filter_cannot_be(facts: HostFacts, wanted: CardFilter) -> list[Problem]:
    found = next((one for one in facts.filters if one.name == wanted.name), None)
    if found is None:
        return [
            Problem(
                text=text("libvirt has no filter %(filter)s on this host.", filter=wanted.name),
                fix=text("Install the package libvirt-daemon-config-nwfilter there, or choose another filter."),
                field="filter",
            )
        ]
    given = {name for name, _ in wanted.parameters()} | KNOWN_TO_LIBVIRT
    return [
        Problem(
            text=text("The filter %(filter)s needs %(variable)s.", filter=wanted.name, variable=variable),
            fix=_VARIABLES.get(variable, (_CANNOT_BE_GIVEN, ""))[0],
            field=_VARIABLES.get(variable, (_CANNOT_BE_GIVEN, "filter"))[1],
        )
        for variable in found.variables
        if variable not in given
    ]


_CANNOT_BE_GIVEN = text("The panel cannot give it: choose another filter.")
# libvirt's variable -> what to do, and the form's field
_VARIABLES = {
    "GATEWAY_MAC": (text("Fill in the MAC address of the guest's gateway."), "gateway_mac"),
    "IPV6": (text("Fill in the guest's IPv6 addresses."), "addresses"),
    "DHCPSERVER": (text("Fill in the address of the DHCP server."), "dhcp_server"),
}
