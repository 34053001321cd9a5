"""SR-IOV: each guest owns a VF of the host's card.

    guest -- VF -- the card's own switch -- LAN

libvirt keeps the pool: it gives a guest that starts a free VF of the PF, bound to VFIO.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from xml.etree import ElementTree as ET

from pydantic import Field

from virtnet import checks, hops, links, network_xml, suggestions
from virtnet.facts import HostFacts, Link
from virtnet.fields import PF, VlanTag
from virtnet.host import Host
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem, Reachability, depends, yes
from virtnet.text import Text, gettext_noop, text


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
        return {**suggested, "pf": pf, "numvfs": str(facts.pfs[pf])} if pf else suggested

    @classmethod
    def matches(cls, network: ET.Element) -> bool:
        return network_xml.forward_mode(network) == "hostdev"

    def problems(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        found = checks.name_is_taken(facts, ref)
        if not facts.iommu:
            sentence = text("The IOMMU is off, so a guest cannot own a VF.")
            fix = text(
                "Turn on VT-d or AMD-Vi in the host's firmware, and boot with intel_iommu=on (Intel) or "
                "amd_iommu=on (AMD)."
            )
            found.append(Problem(text=sentence, fix=fix))
        link = facts.link(self.pf)
        if link is None:
            return [*found, *links.link_is_missing(facts, self.pf, field="pf")]
        return [*found, *self._pf_problems(link), *self._other_pool(facts, ref)]

    def _pf_problems(self, link: Link) -> list[Problem]:
        if link.pf is not None:
            sentence = text("%(link)s is a VF of %(pf)s.", link=link.name, pf=link.pf)
            return [Problem(text=sentence, fix=text("Choose %(pf)s.", pf=link.pf), field="pf")]
        if not link.totalvfs:
            sentence = text("%(link)s is not a PF: its card or driver has no SR-IOV.", link=link.name)
            fix = text("Choose another card, or turn on SR-IOV in the firmware of the card and of the host.")
            return [Problem(text=sentence, fix=fix, field="pf")]
        if self.numvfs > link.totalvfs:
            sentence = text(
                "%(pf)s has at most %(totalvfs)s VFs (sriov_totalvfs).", pf=link.name, totalvfs=link.totalvfs
            )
            fix = text("Choose %(totalvfs)s or fewer.", totalvfs=link.totalvfs)
            return [Problem(text=sentence, fix=fix, field="numvfs")]
        if link.numvfs and link.numvfs != self.numvfs:
            # The kernel refuses to go from one number to another but through 0, which takes each VF from its user.
            sentence = text(
                "%(pf)s has %(numvfs)s VFs now; another number destroys them all, also those in use.",
                pf=link.name,
                numvfs=link.numvfs,
            )
            fix = text(
                "Choose %(numvfs)s, or free the VFs and then remove them: "
                "echo 0 > /sys/class/net/%(pf)s/device/sriov_numvfs",
                numvfs=link.numvfs,
                pf=link.name,
            )
            return [Problem(text=sentence, fix=fix, field="numvfs")]
        return []

    def _other_pool(self, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        """Two networks over one PF would hand out the same VF twice: libvirt counts for each network alone."""
        for network in links.networks_on(facts, ref, self.pf):
            if network.mode == "sriov":
                sentence = text(
                    "The network %(network)s hands out the VFs of %(pf)s already.", network=network.name, pf=self.pf
                )
                return [Problem(text=sentence, fix=text("Use that network, or another PF."), field="pf")]
        return []

    def reachability(self) -> Reachability:
        port_of_the_card = yes(text("The VF is a port of the card's own switch, with a MAC address of its own."))
        card_switch = depends(text("Through the card's own switch: yes as a bridge (VEB), the usual, no as a VEPA."))
        return Reachability(
            guest_to_internet=depends(text("Through the LAN's router, like every machine there.")),
            guest_to_host=card_switch,
            guest_to_lan=port_of_the_card,
            lan_to_guest=port_of_the_card,
            guest_to_guest=card_switch,
        )

    def libvirt_xml(self, ref: NetworkRef) -> str:
        network = network_xml.new_network(ref, self.model_dump_json())
        forward = ET.SubElement(network, "forward", mode="hostdev", managed="yes")
        ET.SubElement(forward, "pf", dev=self.pf)
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
        # A VF has no carrier while its PF is down.
        host.set_up(self.pf)
        host.set_numvfs(self.pf, self.numvfs)

    def remove(self, host: Host, ref: NetworkRef) -> None:
        # The VFs stay: others than this network's guests may hold them.
        host.destroy_network(ref)
        host.undefine_network(ref)
