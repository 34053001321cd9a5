"""How each card of a guest is protected, for the guest's page."""

from __future__ import annotations

from dataclasses import dataclass

from virtnet import action_checks
from virtnet.facts import DomainFacts, HostFacts, InboundFacts, InterfaceFacts
from virtnet.inbound import InboundPolicy, read_policy
from virtnet.spec import Problem


@dataclass(frozen=True)
class Protection:
    """`why_not`: what keeps filters and policies off this card; empty where they work."""

    card: InterfaceFacts
    kept: InboundFacts | None
    policy: InboundPolicy | None
    why_not: list[Problem]

    @property
    def is_unreadable(self) -> bool:
        """A policy that another version, or a person by hand, has written: no rules come of it."""
        return self.kept is not None and self.policy is None

    @property
    def is_not_loaded(self) -> bool:
        """The guest's metadata has a policy, and the kernel has not: somebody has flushed the rules."""
        return self.kept is not None and self.policy is not None and not self.kept.loaded


def protections(facts: HostFacts, guest: DomainFacts) -> list[Protection]:
    return [protection(facts, guest, card) for card in guest.interfaces]


def protection(facts: HostFacts, guest: DomainFacts, card: InterfaceFacts) -> Protection:
    kept = next((found for found in guest.inbound if found.mac == card.mac), None)
    policy = read_policy(kept.policy) if kept is not None else None
    return Protection(card, kept, policy, action_checks.passes_no_bridge(facts, card.type, card.source))
