"""A guest's cards as its page shows them, and the card that the guest may lack."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from hosts.models import Host
from networks.models import Network
from networks.preview import spec_of_card
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts, NetworkFacts
from virtnet.spec import NetworkSpec
from virtnet.text import Text


@dataclass(frozen=True)
class Card:
    """page: of the network that the card is plugged into. spec: whom the card reaches, where that can be told."""

    facts: InterfaceFacts
    page: UUID | None
    spec: NetworkSpec | None


@dataclass(frozen=True)
class SecondCard:
    """A card by which guest and host would reach each other, who do not by those that are there.

    networks: those of the host that would do, running ones only. mode: what to make where there is none.
    """

    because: Text
    mode: str
    networks: list[NetworkFacts]


def cards_of(host: Host, facts: HostFacts, guest: DomainFacts) -> list[Card]:
    pages = dict(Network.objects.filter(host=host, removed_at=None).values_list("name", "pk"))
    return [
        Card(
            facts=card,
            page=pages.get(card.source or "") if card.type == "network" else None,
            spec=spec_of_card(facts, card),
        )
        for card in guest.interfaces
    ]


def second_card(facts: HostFacts, cards: list[Card]) -> SecondCard | None:
    """None as long as one of the cards may lead to the host."""
    specs = [card.spec for card in cards]
    if any(spec is None or (spec.caution() is None and _may_lead_to_the_host(spec)) for spec in specs):
        return None
    for spec in specs:
        if spec is not None and (because := spec.caution()) is not None and (mode := spec.made_up_by()) is not None:
            fitting = [network for network in facts.networks if network.mode == mode and network.active]
            return SecondCard(because, mode, fitting)
    return None


def _may_lead_to_the_host(spec: NetworkSpec) -> bool:
    return spec.reachability().guest_to_host.reachable != "no"
