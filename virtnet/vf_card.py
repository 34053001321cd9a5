"""A card that is a VF: the guest owns it by VFIO, alone or as half of a pair that can migrate."""

from __future__ import annotations

from typing import Annotated, Literal
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field

from virtnet import network_xml, sriov_needs, vf_checks, vf_ledger
from virtnet.facts import HostFacts
from virtnet.fields import VfAddress, VlanTag
from virtnet.host import Host
from virtnet.refs import DomainRef
from virtnet.spec import Problem
from virtnet.text import Text, gettext_noop, text
from virtnet.vf_ledger import VfRow


class HostdevSource(BaseModel):
    """One VF of the host, by its PCI address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["hostdev"] = "hostdev"
    vf: Annotated[VfAddress, Field(title=gettext_noop("VF"))]
    vlan: Annotated[
        VlanTag | None,
        Field(
            title=gettext_noop("VLAN tag"),
            description=gettext_noop("The card puts the guest into this VLAN; it sees untagged frames."),
        ),
    ] = None

    def title(self, domain: str) -> Text:
        return text("Give %(domain)s the VF %(vf)s", domain=domain, vf=self.vf)

    def step(self, domain: str, mac: str) -> Text:
        return text("Give %(domain)s the VF %(vf)s as the card %(mac)s.", domain=domain, vf=self.vf, mac=mac)

    def is_that_of(self, type_: str, source: str | None, source_mode: str | None) -> bool:
        """Whether a card that was found (as InterfaceFacts has it) is this VF."""
        return (type_, source) == (self.type, self.vf)

    def hangs_on(self) -> tuple[str, str]:
        """Its type and what it is plugged into, as InterfaceFacts has them."""
        return self.type, self.vf

    def problems(self, facts: HostFacts, domain: DomainRef, mac: str) -> list[Problem]:
        needed = [*sriov_needs.iommu_is_off(facts), *sriov_needs.vfio_is_missing(facts)]
        found = vf_ledger.find_vf(facts, self.vf)
        if found is None:
            sentence = text("This host has no VF %(vf)s.", vf=self.vf)
            return [*needed, Problem(text=sentence, fix=text("Choose a VF of this host."), field="vf")]
        pf, vf = found
        row = next(row for row in vf_ledger.pf_row(facts, pf).rows if row.vf.index == vf.index)
        return [
            *needed,
            *_taken(row, domain),
            *_shared(row),
            *vf_checks.used_by_the_host(facts, [row], field="vf"),
            *vf_checks.mac_is_another_vf_s(facts, vf, mac),
        ]

    def notes(self, facts: HostFacts) -> list[Problem]:
        """What a person should know before, though nothing stands in the way."""
        return []

    def prepare(self, host: Host) -> None:
        """What the host needs before the card: nothing, libvirt takes the VF from the host's driver by itself."""

    def write(self, interface: ET.Element) -> None:
        """Its part of the <interface>. managed: libvirt takes the VF from the host's driver and gives it back."""
        interface.set("managed", "yes")
        network_xml.add_pci_address(ET.SubElement(interface, "source"), self.vf)
        if self.vlan is not None:
            ET.SubElement(ET.SubElement(interface, "vlan"), "tag", id=str(self.vlan))


def _taken(row: VfRow, domain: DomainRef) -> list[Problem]:
    """By another guest, now or at its next start, or by a network, which would give it to somebody else."""
    fix = text("Choose another VF.")
    others = [one for one in (row.holder, *row.waiting) if one is not None and one.guest.uuid != domain.uuid]
    if others:
        sentence = text("VF %(vf)s is a card of %(guest)s.", vf=row.vf.index, guest=others[0].guest.name)
        return [Problem(text=sentence, fix=fix, field="vf")]
    if row.pools:
        sentence = text("The network %(network)s hands out VF %(vf)s.", network=row.pools[0].name, vf=row.vf.index)
        plug = text("Plug the guest into that network, or choose another VF.")
        return [Problem(text=sentence, fix=plug, field="vf")]
    return []


def _shared(row: VfRow) -> list[Problem]:
    if row.vf.group_devices <= 1:
        return []
    sentence = text(
        "VF %(vf)s shares an IOMMU group with other devices, and a guest gets a whole group or none.", vf=row.vf.index
    )
    fix = text("Turn on ACS (access control services) in the firmware, or put the card into another slot.")
    return [Problem(text=sentence, fix=fix, field="vf")]
