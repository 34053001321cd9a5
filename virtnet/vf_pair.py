"""A VF and a virtio card as one: the guest sends through the VF, and falls back to virtio while it migrates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from virtnet import action_checks
from virtnet.action import Action
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.fields import MacAddress, WrittenName
from virtnet.host import Host
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.refs import DomainRef
from virtnet.spec import Problem
from virtnet.text import Text, gettext_noop, text
from virtnet.vf_card import HostdevSource

OLDEST_LIBVIRT = (7, 1)  # <teaming> on <interface type='hostdev'>


class AttachPair(Action):
    """Plug in both halves, with one MAC address: the guest's net_failover driver knows them by it."""

    action: Literal["attach-pair"] = "attach-pair"
    domain: DomainRef
    vf: HostdevSource
    network: Annotated[WrittenName, Field(title=gettext_noop("Network of the virtio card"), min_length=1)]
    mac: MacAddress

    @property
    def standby(self) -> InterfaceSpec:
        """The half that stays."""
        return InterfaceSpec(source=NetworkSource(network=self.network), mac=self.mac, teaming="persistent")

    @property
    def primary(self) -> InterfaceSpec:
        """The half that goes while the guest migrates."""
        return InterfaceSpec(source=self.vf, mac=self.mac, teaming="transient")

    def title(self) -> Text:
        return text(
            "Give %(domain)s the VF %(vf)s, paired with a virtio card in %(network)s",
            domain=self.domain.name,
            vf=self.vf.vf,
            network=self.network,
        )

    @property
    def new_mac(self) -> str:
        return self.mac

    def problems(self, facts: HostFacts) -> list[Problem]:
        named = [
            problem.model_copy(update={"field": "network"})
            for problem in self.standby.source.problems(facts, self.domain, self.mac)
        ]
        return [
            *action_checks.guest_is_there(facts, self.domain),
            *self.vf.problems(facts, self.domain, self.mac),
            *named,
            *_cannot_migrate(facts.network(self.network)),
            *_has_no_pci_express(facts, self.domain),
            *_too_old(facts),
            *self._mac_is_taken(facts),
        ]

    def _mac_is_taken(self, facts: HostFacts) -> list[Problem]:
        halves = {"persistent": self.standby, "transient": self.primary}
        for guest in facts.domains:
            for card in guest.interfaces:
                half = halves.get(card.teaming or "") if guest.uuid == self.domain.uuid else None
                ours = half is not None and half.source.is_that_of(card.type, card.source, card.source_mode)
                if card.mac == self.mac and not ours:
                    sentence = text("%(mac)s is a card of %(guest)s already.", mac=self.mac, guest=guest.name)
                    return [Problem(text=sentence, fix=text("Choose another MAC address."), field="mac")]
        return []

    def apply(self, host: Host) -> None:
        # QEMU wants to know the one that stays before the one that names it.
        host.attach_interface(self.domain, self.standby)
        host.attach_interface(self.domain, self.primary)


class DetachVfOfPair(Action):
    """The guest goes on over the virtio card. Both are a pair again with AttachPair."""

    action: Literal["detach-vf-of-pair"] = "detach-vf-of-pair"
    domain: DomainRef
    mac: MacAddress

    def title(self) -> Text:
        return text("Unplug the VF of the pair %(mac)s from %(domain)s", mac=self.mac, domain=self.domain.name)

    def problems(self, facts: HostFacts) -> list[Problem]:
        return action_checks.guest_is_there(facts, self.domain)

    def apply(self, host: Host) -> None:
        host.detach_vf_of_pair(self.domain, self.mac)


def _cannot_migrate(network: NetworkFacts | None) -> list[Problem]:
    if network is None or network.bridge is not None:
        return []
    sentence = text("A card in %(network)s does not stay with a guest that migrates.", network=network.name)
    return [Problem(text=sentence, fix=text("Choose a network with a bridge."), field="network")]


def _has_no_pci_express(facts: HostFacts, domain: DomainRef) -> list[Problem]:
    """QEMU takes the guest's consent first and plugs the VF in then: it would say on its own log that it cannot."""
    guest = facts.domain(domain.uuid)
    if guest is None or not (guest.machine == "pc" or guest.machine.startswith("pc-i440fx")):
        return []
    sentence = text(
        "%(guest)s is a machine of type %(machine)s, and QEMU pairs a VF with another card on PCI Express only.",
        guest=guest.name,
        machine=guest.machine,
    )
    return [Problem(text=sentence, fix=text("It takes a guest of type q35; this one can have the VF alone."))]


def _too_old(facts: HostFacts) -> list[Problem]:
    parts = facts.versions.libvirt.split(".")
    if len(parts) < 2 or not all(part.isdecimal() for part in parts[:2]):
        return []
    if (int(parts[0]), int(parts[1])) >= OLDEST_LIBVIRT:
        return []
    sentence = text("libvirt %(version)s cannot pair a VF with another card.", version=facts.versions.libvirt)
    return [Problem(text=sentence, fix=text("It takes libvirt 7.1 or newer."))]
