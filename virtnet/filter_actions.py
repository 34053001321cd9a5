"""What protects a guest's card: libvirt's filter on what it says, and the policy on what may come in to it."""

from __future__ import annotations

from typing import Literal

from virtnet import action_checks
from virtnet.action import Action
from virtnet.card_filter import CardFilter
from virtnet.facts import HostFacts, InterfaceFacts
from virtnet.fields import MacAddress
from virtnet.host import Host
from virtnet.inbound import InboundPolicy
from virtnet.refs import DomainRef
from virtnet.spec import Problem
from virtnet.text import Text, text


class SetInterfaceFilter(Action):
    """Put a network filter of libvirt on a card, live and for the next start; None takes it off."""

    action: Literal["set-interface-filter"] = "set-interface-filter"
    domain: DomainRef
    mac: MacAddress
    filter: CardFilter | None

    def title(self) -> Text:
        if self.filter is None:
            return text("Take the filter off the card %(mac)s of %(domain)s", mac=self.mac, domain=self.domain.name)
        return text(
            "Put the filter %(filter)s on the card %(mac)s of %(domain)s",
            filter=self.filter.name,
            mac=self.mac,
            domain=self.domain.name,
        )

    def problems(self, facts: HostFacts) -> list[Problem]:
        card = _card(facts, self.domain, self.mac)
        if card is None:
            return action_checks.card_is_there(facts, self.domain, self.mac)
        if self.filter is None:
            return []
        return action_checks.passes_no_bridge(facts, card.type, card.source) or action_checks.filter_cannot_be(
            facts, self.filter
        )

    def apply(self, host: Host) -> None:
        host.set_filter(self.domain, self.mac, self.filter)


class SetInboundPolicy(Action):
    """Say what may come in to a card; None lets everything in again."""

    action: Literal["set-inbound-policy"] = "set-inbound-policy"
    domain: DomainRef
    mac: MacAddress
    policy: InboundPolicy | None

    def title(self) -> Text:
        if self.policy is None:
            return text("Let everything in to the card %(mac)s of %(domain)s", mac=self.mac, domain=self.domain.name)
        return text(
            "Let only what is listed in to the card %(mac)s of %(domain)s", mac=self.mac, domain=self.domain.name
        )

    def problems(self, facts: HostFacts) -> list[Problem]:
        card = _card(facts, self.domain, self.mac)
        if card is None:
            return action_checks.card_is_there(facts, self.domain, self.mac)
        return [] if self.policy is None else action_checks.passes_no_bridge(facts, card.type, card.source)

    def apply(self, host: Host) -> None:
        host.set_inbound_policy(self.domain, self.mac, self.policy)


def _card(facts: HostFacts, domain: DomainRef, mac: str) -> InterfaceFacts | None:
    guest = facts.domain(domain.uuid)
    return None if guest is None else guest.card(mac)
