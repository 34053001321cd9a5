"""One card of one guest: where it is plugged in, and what it is.

`source.type` is libvirt's own word, `<interface type=…>`. Each source knows what it is called, what stands in its way
and how it is written; a new one is a class here and a name in AnySource.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field, model_validator

from virtnet import action_checks, direct
from virtnet.card_filter import CardFilter
from virtnet.direct import SourceMode
from virtnet.facts import HostFacts
from virtnet.fields import LinkName, MacAddress, WrittenName
from virtnet.host import Host
from virtnet.refs import DomainRef
from virtnet.spec import Problem
from virtnet.text import SpecError, Text, gettext_noop, text
from virtnet.vf_card import HostdevSource

Model = Literal["virtio", "e1000e", "e1000", "rtl8139"]


class NetworkSource(BaseModel):
    """A libvirt network of the host, whatever its mode."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["network"] = "network"
    network: Annotated[WrittenName, Field(title=gettext_noop("Network"), min_length=1)]

    def title(self, domain: str) -> Text:
        return text("Plug %(domain)s into the network %(network)s", domain=domain, network=self.network)

    def step(self, domain: str, mac: str) -> Text:
        return text(
            "Plug the card %(mac)s of %(domain)s into the network %(network)s.",
            mac=mac,
            domain=domain,
            network=self.network,
        )

    def is_that_of(self, type_: str, source: str | None, source_mode: str | None) -> bool:
        """Whether a card that was found (as InterfaceFacts has it) is plugged in here."""
        return (type_, source) == (self.type, self.network)

    def problems(self, facts: HostFacts, domain: DomainRef, mac: str) -> list[Problem]:
        network = facts.network(self.network)
        if network is None:
            sentence = text("This host has no network %(network)s.", network=self.network)
            return [Problem(text=sentence, fix=text("Choose a network of this host."), field="source")]
        if not network.active:
            sentence = text("The network %(network)s is not running.", network=network.name)
            return [Problem(text=sentence, fix=text("Start the network first."), field="source")]
        return []

    def notes(self, facts: HostFacts) -> list[Problem]:
        """What a person should know before, though nothing stands in the way."""
        return []

    def hangs_on(self) -> tuple[str, str]:
        """Its type and what it is plugged into, as InterfaceFacts has them."""
        return self.type, self.network

    def prepare(self, host: Host) -> None:
        """What the host needs before the card: nothing, the network is there."""

    def write(self, interface: ET.Element) -> None:
        """Its part of the <interface>."""
        ET.SubElement(interface, "source", network=self.network)


class DirectSource(BaseModel):
    """A link of the host itself, by a macvtap of this card's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["direct"] = "direct"
    link: Annotated[LinkName, Field(title=gettext_noop("Link"))]
    mode: Annotated[SourceMode, Field(title=gettext_noop("Source mode"))] = "bridge"
    trust_guest_rx_filters: Annotated[bool, direct.TRUST] = False

    def title(self, domain: str) -> Text:
        return text(
            "Plug %(domain)s into the link %(link)s (macvtap, %(mode)s)", domain=domain, link=self.link, mode=self.mode
        )

    def step(self, domain: str, mac: str) -> Text:
        return text(
            "Plug the card %(mac)s of %(domain)s into the link %(link)s (macvtap, %(mode)s).",
            mac=mac,
            domain=domain,
            link=self.link,
            mode=self.mode,
        )

    def is_that_of(self, type_: str, source: str | None, source_mode: str | None) -> bool:
        """Whether a card that was found (as InterfaceFacts has it) is plugged in here."""
        return (type_, source, source_mode) == (self.type, self.link, self.mode)

    def problems(self, facts: HostFacts, domain: DomainRef, mac: str) -> list[Problem]:
        return direct.in_the_way(facts, self.link, self.mode, field="source", card=(domain.uuid, mac))

    def notes(self, facts: HostFacts) -> list[Problem]:
        """What a person should know before, though nothing stands in the way."""
        return direct.notes(facts, self.link, field="source")

    def hangs_on(self) -> tuple[str, str]:
        """Its type and what it is plugged into, as InterfaceFacts has them."""
        return self.type, self.link

    def prepare(self, host: Host) -> None:
        """What the host needs before the card: the link up, and in passthrough nobody but the guest on it."""
        direct.prepare(host, self.link, self.mode)

    def write(self, interface: ET.Element) -> None:
        """Its part of the <interface>."""
        if self.trust_guest_rx_filters:
            interface.set("trustGuestRxFilters", "yes")
        ET.SubElement(interface, "source", dev=self.link, mode=self.mode)


AnySource = Annotated[NetworkSource | DirectSource | HostdevSource, Field(discriminator="type")]
Teaming = Literal["persistent", "transient"]


class InterfaceSpec(BaseModel):
    """A card. The panel chooses the MAC, so that an order sent twice is the same card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: AnySource
    mac: Annotated[MacAddress, Field(title=gettext_noop("MAC address"))]
    model: Annotated[Model, Field(title=gettext_noop("Model"))] = "virtio"
    filter: CardFilter | None = None
    teaming: Teaming | None = None  # half of a pair, see virtnet.vf_pair

    @model_validator(mode="before")
    @classmethod
    def of_the_first_version(cls, given: Any) -> Any:
        """`network` beside the MAC, as it was when a card could hang on nothing else: changes and journals keep it."""
        if isinstance(given, dict) and "network" in given and "source" not in given:
            return {name: value for name, value in given.items() if name != "network"} | {
                "source": {"type": "network", "network": given["network"]}
            }
        return given

    @model_validator(mode="after")
    def filters_are_virtio_s(self) -> InterfaceSpec:
        # QEMU tells the host of a guest's receive filters for virtio-net only (its event NIC_RX_FILTER_CHANGED).
        if isinstance(self.source, DirectSource) and self.source.trust_guest_rx_filters and self.model != "virtio":
            raise SpecError(
                text("Only a virtio card tells the host which frames its guest listens to."),
                field="trust_guest_rx_filters",
            )
        return self

    def filter_problems(self, facts: HostFacts) -> list[Problem]:
        """What keeps the filter off this card."""
        if self.filter is None:
            return []
        no_bridge = action_checks.passes_no_bridge(facts, *self.source.hangs_on())
        return no_bridge or action_checks.filter_cannot_be(facts, self.filter)

    def libvirt_xml(self) -> str:
        """The <interface> for virDomainAttachDeviceFlags."""
        interface = ET.Element("interface", type=self.source.type)
        ET.SubElement(interface, "mac", address=self.mac)
        self.source.write(interface)
        # A VF has its own hardware's model.
        if not isinstance(self.source, HostdevSource):
            ET.SubElement(interface, "model", type=self.model)
        if self.teaming is not None:
            self._write_teaming(interface, self.teaming)
        if self.filter is not None:
            interface.append(self.filter.element())
        ET.indent(interface)
        return ET.tostring(interface, encoding="unicode")

    def _write_teaming(self, interface: ET.Element, half: Teaming) -> None:
        """libvirt keeps an alias of ours only where it begins with `ua-`."""
        alias = f"ua-{self.mac.replace(':', '')}"
        if half == "persistent":
            ET.SubElement(interface, "teaming", type="persistent")
            ET.SubElement(interface, "alias", name=alias)
        else:
            ET.SubElement(interface, "teaming", type="transient", persistent=alias)


def random_mac() -> str:
    """A MAC address from 52:54:00, the range that QEMU and libvirt use."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
