"""What may be asked of a host. Another intent is another action; there are no flags.

Each action knows what stands in its way (`problems`) and how it is done (`apply`), so that the panel's preview, the
agent's
check and the agent's work all come from the same lines.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from virtnet import action_checks, bridges
from virtnet.action import Action as Action
from virtnet.facts import HostFacts, InterfaceFacts
from virtnet.fields import MacAddress
from virtnet.filter_actions import SetInboundPolicy, SetInterfaceFilter
from virtnet.host import Host
from virtnet.interface import InterfaceSpec
from virtnet.modes import AnySpec
from virtnet.refs import DomainRef, NetworkRef
from virtnet.spec import NetworkSpec, Problem
from virtnet.text import SpecError, Text, text
from virtnet.vf_actions import SetNumvfs, SetVfAttributes
from virtnet.vf_pair import AttachPair, DetachVfOfPair


class DefineNetwork(Action):
    """Define and start a network that is not there yet."""

    action: Literal["define-network"] = "define-network"
    network: NetworkRef
    spec: AnySpec

    @model_validator(mode="after")
    def name_is_the_spec_s(self) -> DefineNetwork:
        _same_name(self.network, self.spec)
        return self

    def title(self) -> Text:
        return text("Make the network %(network)s", network=self.network.name)

    def problems(self, facts: HostFacts) -> list[Problem]:
        return self.spec.problems(facts, self.network)

    def notes(self, facts: HostFacts) -> list[Problem]:
        return self.spec.notes(facts, self.network)

    def apply(self, host: Host) -> None:
        self.spec.apply(host, self.network)


class UpdateNetwork(Action):
    """Bring a network of the panel to another spec of the same mode and name."""

    action: Literal["update-network"] = "update-network"
    network: NetworkRef
    spec: AnySpec

    @model_validator(mode="after")
    def name_is_the_spec_s(self) -> UpdateNetwork:
        _same_name(self.network, self.spec)
        return self

    def title(self) -> Text:
        return text("Update the network %(network)s", network=self.network.name)

    def problems(self, facts: HostFacts) -> list[Problem]:
        found = action_checks.network_of_the_panel(facts, self.network) or action_checks.of_another_mode(
            facts, self.network, self.spec
        )
        return found or self.spec.problems(facts, self.network)

    def notes(self, facts: HostFacts) -> list[Problem]:
        return self.spec.notes(facts, self.network)

    def apply(self, host: Host) -> None:
        self.spec.update(host, self.network)


class StartNetwork(Action):
    action: Literal["start-network"] = "start-network"
    network: NetworkRef

    def title(self) -> Text:
        return text("Start the network %(network)s", network=self.network.name)

    def problems(self, facts: HostFacts) -> list[Problem]:
        return action_checks.network_is_there(facts, self.network)

    def apply(self, host: Host) -> None:
        host.start_network(self.network)


class DestroyNetwork(Action):
    """Stop a network; it stays defined."""

    action: Literal["destroy-network"] = "destroy-network"
    network: NetworkRef

    def title(self) -> Text:
        return text("Stop the network %(network)s", network=self.network.name)

    def problems(self, facts: HostFacts) -> list[Problem]:
        return action_checks.network_is_there(facts, self.network) or action_checks.guests_in_the_way(
            facts, self.network, [guest for guest in facts.domains if guest.is_plugged_in]
        )

    def apply(self, host: Host) -> None:
        host.destroy_network(self.network)


class UndefineNetwork(Action):
    """Take a network of the panel off the host, with all that its mode made beside it."""

    action: Literal["undefine-network"] = "undefine-network"
    network: NetworkRef
    spec: AnySpec

    def title(self) -> Text:
        return text("Undefine the network %(network)s", network=self.network.name)

    def problems(self, facts: HostFacts) -> list[Problem]:
        return action_checks.network_of_the_panel(facts, self.network) or action_checks.guests_in_the_way(
            facts, self.network, list(facts.domains)
        )

    def notes(self, facts: HostFacts) -> list[Problem]:
        return bridges.lost_for_good(facts, self.network)

    def apply(self, host: Host) -> None:
        self.spec.remove(host, self.network)


class SetNetworkAutostart(Action):
    action: Literal["set-network-autostart"] = "set-network-autostart"
    network: NetworkRef
    autostart: bool

    def title(self) -> Text:
        if self.autostart:
            return text("Let the network %(network)s start with the host", network=self.network.name)
        return text("Do not let the network %(network)s start with the host", network=self.network.name)

    def problems(self, facts: HostFacts) -> list[Problem]:
        return action_checks.network_is_there(facts, self.network)

    def apply(self, host: Host) -> None:
        host.set_autostart(self.network, self.autostart)


class AttachInterface(Action):
    """Plug a new card in, live where the guest runs, and for its next start."""

    action: Literal["attach-interface"] = "attach-interface"
    domain: DomainRef
    interface: InterfaceSpec

    def title(self) -> Text:
        return self.interface.source.title(self.domain.name)

    @property
    def new_mac(self) -> str:
        return self.interface.mac

    def problems(self, facts: HostFacts) -> list[Problem]:
        return [
            *action_checks.guest_is_there(facts, self.domain),
            *self.interface.source.problems(facts, self.domain, self.interface.mac),
            *self.interface.filter_problems(facts),
            *self._mac_is_taken(facts),
        ]

    def notes(self, facts: HostFacts) -> list[Problem]:
        return self.interface.source.notes(facts)

    def _mac_is_taken(self, facts: HostFacts) -> list[Problem]:
        mac = self.interface.mac
        for guest in facts.domains:
            for card in guest.interfaces:
                # A card that is there may be the very card that is wanted, from an order that came before.
                if card.mac == mac and not (guest.uuid == self.domain.uuid and self._is_the_wanted(facts, card)):
                    sentence = text("%(mac)s is a card of %(guest)s already.", mac=mac, guest=guest.name)
                    return [Problem(text=sentence, fix=text("Choose another MAC address."), field="mac")]
        return []

    def _is_the_wanted(self, facts: HostFacts, card: InterfaceFacts) -> bool:
        kind, name = self.interface.source.hangs_on()
        network = facts.network(name) if kind == "network" else None
        shown = network is not None and network.is_shown_as(card.type, card.source)
        return shown or self.interface.source.is_that_of(card.type, card.source, card.source_mode)

    def apply(self, host: Host) -> None:
        self.interface.source.prepare(host)
        host.attach_interface(self.domain, self.interface)


class DetachInterface(Action):
    action: Literal["detach-interface"] = "detach-interface"
    domain: DomainRef
    mac: MacAddress

    def title(self) -> Text:
        return text("Unplug the card %(mac)s from %(domain)s", mac=self.mac, domain=self.domain.name)

    def problems(self, facts: HostFacts) -> list[Problem]:
        return action_checks.guest_is_there(facts, self.domain)

    def apply(self, host: Host) -> None:
        host.detach_interface(self.domain, self.mac)
        host.set_inbound_policy(self.domain, self.mac, None)
        host.take_back_links()


AnyAction = Annotated[
    DefineNetwork
    | UpdateNetwork
    | StartNetwork
    | DestroyNetwork
    | UndefineNetwork
    | SetNetworkAutostart
    | AttachInterface
    | DetachInterface
    | AttachPair
    | DetachVfOfPair
    | SetNumvfs
    | SetVfAttributes
    | SetInterfaceFilter
    | SetInboundPolicy,
    Field(discriminator="action"),
]


def _same_name(network: NetworkRef, spec: NetworkSpec) -> None:
    # The reference's name goes into the document, and only the spec's has been checked against our rule.
    if network.name != spec.name:
        raise SpecError(
            text("The spec is of %(spec)s, not of %(network)s.", spec=spec.name, network=network.name), field="name"
        )
