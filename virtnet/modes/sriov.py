"""SR-IOV: each guest owns a VF of the host's card.

    guest -- VF -- the card's own switch -- LAN

libvirt keeps the pool: it gives a guest that starts a free VF of the PF, bound to VFIO.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from xml.etree import ElementTree as ET

from pydantic import Field

from virtnet import checks, hops, links, network_xml, sriov_needs, suggestions, vf_checks, vf_ledger
from virtnet.facts import HostFacts
from virtnet.fields import PF, VfAddress, VlanTag
from virtnet.host import Host
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem, Reachability, depends, yes
from virtnet.text import Text, gettext_noop, text
from virtnet.vf_actions import SetNumvfs
from virtnet.vf_ledger import PfRow


class Sriov(NetworkSpec):
    label: ClassVar[Text] = text("SR-IOV")
    summary: ClassVar[Text] = text("Each guest owns a virtual function (VF) of the host's network card.")
    how: ClassVar[Text] = text(
        "A card that can (Intel 82599, Mellanox and others) splits its physical function (PF) into VFs. Each guest "
        "owns one like a card of its own; the card's own switch joins the VFs, the PF and the LAN, past the host's "
        "kernel."
    )
    diagram: ClassVar[tuple[str, ...]] = (hops.GUEST, hops.VF, hops.PF, hops.LAN)
    good: ClassVar[tuple[Text, ...]] = (
        text("Near line rate, with the lowest delay."),
        text("Takes almost no time of the host's processors."),
    )
    bad: ClassVar[tuple[Text, ...]] = (
        text("Needs a card with SR-IOV and an IOMMU, and is hard to debug."),
        text("Passes no firewall of the host."),
        text("A running guest cannot be switched to or from it, nor migrated, without unplugging the card."),
        text("A new number of VFs destroys those that are there."),
    )
    suits: ClassVar[Text] = text("NFV, telecom, whatever needs the card's full speed.")
    performance: ClassVar[Text] = text("Near the bare card")
    by_hand: ClassVar[tuple[str, ...]] = (
        "lspci | grep -i ethernet",
        "echo 8 > /sys/class/net/eth0/device/sriov_numvfs",
    )

    mode: Literal["sriov"] = "sriov"
    pf: Annotated[PF, Field(title=gettext_noop("PF"))]
    numvfs: Annotated[
        int, Field(title=gettext_noop("Number of VFs"), description=gettext_noop("Of the whole PF."), ge=1, le=65535)
    ]
    vfs: Annotated[
        tuple[VfAddress, ...],
        Field(
            title=gettext_noop("Only these VFs"),
            description=gettext_noop("None chosen: it hands out each VF of the PF."),
        ),
    ] = ()
    vlan: Annotated[
        VlanTag | None,
        Field(
            title=gettext_noop("VLAN tag"),
            description=gettext_noop("The card puts guests into this VLAN; they see untagged frames."),
        ),
    ] = None

    @classmethod
    def examples(cls) -> tuple[Sriov, ...]:
        return (cls(name="sriov", pf="eth0", numvfs=8),)

    @classmethod
    def lacks(cls, facts: HostFacts) -> list[Problem]:
        if facts.pfs:
            return []
        fix = text(
            "It needs a card that can, such as Intel's 82576, X710 and E810 or Mellanox' ConnectX, with SR-IOV turned "
            "on in the firmware of the card and of the host."
        )
        return [Problem(text=text("No card of this host offers VFs (SR-IOV)."), fix=fix)]

    @classmethod
    def suggest(cls, facts: HostFacts) -> dict[str, str]:
        pf = suggestions.only_one(tuple(facts.pfs))
        suggested = {"name": suggestions.free_name(facts, "sriov")}
        link = facts.link(pf) if pf else None
        return {**suggested, "pf": link.name, "numvfs": str(link.numvfs or link.totalvfs)} if link else suggested

    @classmethod
    def matches(cls, network: ET.Element) -> bool:
        return network_xml.forward_mode(network) == "hostdev"

    def problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        found = [*checks.name_is_taken(facts, ref), *sriov_needs.iommu_is_off(facts)]
        link = facts.link(self.pf)
        if link is None:
            return [*found, *links.link_is_missing(facts, self.pf, field="pf")]
        row = vf_ledger.pf_row(facts, link)
        return [
            *found,
            *vf_checks.numvfs(facts, self.pf, self.numvfs),
            *self._not_of_the_pf(row),
            *self._handed_out_twice(facts, ref, row),
        ]

    def notes(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return [*super().notes(facts, ref), *SetNumvfs(pf=self.pf, numvfs=self.numvfs).notes(facts)]

    def _not_of_the_pf(self, row: PfRow) -> list[Problem]:
        there = {one.vf.pci_address for one in row.rows if one.vf.index < self.numvfs}
        if not (missing := [address for address in self.vfs if address not in there]):
            return []
        sentence = text("%(pf)s has no such VFs: %(vfs)s.", pf=self.pf, vfs=", ".join(missing))
        fix = text("Choose VFs of %(pf)s, or none to hand out all of them.", pf=self.pf)
        return [Problem(text=sentence, fix=fix, field="vfs")]

    def _handed_out_twice(self, facts: HostFacts, ref: NetworkRef, row: PfRow) -> list[Problem]:
        """A VF has one master: libvirt counts for each network alone, and the host's own would be taken from it."""
        mine = [one for one in row.rows if not self.vfs or one.vf.pci_address in self.vfs]
        field = "vfs" if self.vfs else "pf"
        for network in facts.networks:
            own = network.uuid == ref.uuid
            if own or not (self.pf in network.pfs or any(network in one.pools for one in mine)):
                continue
            sentence = text(
                "The network %(network)s hands out VFs of %(pf)s already.", network=network.name, pf=self.pf
            )
            fix = text("Use that network, or choose VFs that it does not hand out.")
            return [Problem(text=sentence, fix=fix, field=field)]
        return [*vf_checks.cards_of_their_own(mine, field=field), *vf_checks.used_by_the_host(facts, mine, field=field)]

    def reachability(self) -> Reachability:
        port_of_the_card = yes(text("The VF is a port of the card's own switch, with a MAC address of its own."))
        card_switch = depends(text("Through the card's own switch: yes as a bridge (VEB), the usual, no as a VEPA."))
        return Reachability(
            guest_to_internet=depends(text("Through the LAN's router, like every machine there.")),
            guest_to_host=card_switch,
            guest_to_lan=port_of_the_card,
            lan_to_guest=port_of_the_card,
            guest_to_guest=card_switch,
        ).measured_by(
            "tests/lab/test_sriov_from_the_page.py::"
            "test_vfs_made_from_the_page_are_a_guests_also_after_a_restart_and_as_new_when_it_is_off",
            "guest_to_internet",
            "guest_to_host",
            "guest_to_lan",
            "lan_to_guest",
        )

    def libvirt_xml(self, ref: NetworkRef) -> str:
        network = network_xml.new_network(ref, self.model_dump_json())
        forward = ET.SubElement(network, "forward", mode="hostdev", managed="yes")
        if not self.vfs:
            ET.SubElement(forward, "pf", dev=self.pf)
        for address in self.vfs:
            network_xml.add_pci_address(forward, address)
        if self.vlan is not None:
            ET.SubElement(ET.SubElement(network, "vlan"), "tag", id=str(self.vlan))
        return network_xml.to_xml(network)

    def apply(self, host: Host, ref: NetworkRef) -> None:
        self._make_vfs(host)
        host.define_network(ref, self.libvirt_xml(ref))
        host.set_autostart(ref, True)
        host.start_network(ref)

    def update(self, host: Host, ref: NetworkRef) -> None:
        self._make_vfs(host)
        host.update_network(ref, self.libvirt_xml(ref))

    def _make_vfs(self, host: Host) -> None:
        SetNumvfs(pf=self.pf, numvfs=self.numvfs).apply(host)

    def remove(self, host: Host, ref: NetworkRef) -> None:
        # The VFs stay: others than this network's guests may hold them.
        host.destroy_network(ref)
        host.undefine_network(ref)
