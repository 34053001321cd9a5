"""What may stand in the way of more than one action: the network or guest is gone, not the panel's, or in use."""

from __future__ import annotations

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
