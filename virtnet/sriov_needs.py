"""What a host lacks before a guest can own a VF: for the ledger's page, the mode's problems and `kvmagent doctor`."""

from __future__ import annotations

from virtnet.facts import HostFacts
from virtnet.link_facts import Link
from virtnet.spec import Problem
from virtnet.text import Text, text


def missing(facts: HostFacts) -> list[Problem]:
    """In the order in which one would repair."""
    return [*no_pf(facts), *iommu_is_off(facts), *vfio_is_missing(facts), *shared_groups(facts)]


def no_pf(facts: HostFacts) -> list[Problem]:
    if facts.pfs:
        return []
    return [
        Problem(
            text=text("No card of this host offers VFs (SR-IOV)."),
            fix=text(
                "It needs a card that can, such as Intel's 82576, X710 and E810 or Mellanox' ConnectX, with SR-IOV "
                "turned on in the firmware of the card and of the host."
            ),
        )
    ]


def iommu_is_off(facts: HostFacts) -> list[Problem]:
    if facts.iommu:
        return []
    return [
        Problem(text=text("The IOMMU is off, so a guest cannot own a VF."), fix=iommu_fix(facts.cpu)),
    ]


def iommu_fix(cpu: str) -> Text:
    """By the CPU's vendor; see https://docs.kernel.org/admin-guide/kernel-parameters.html"""
    if cpu == "GenuineIntel":
        return text(
            "Turn on VT-d in the host's firmware, add intel_iommu=on iommu=pt to the kernel's command line, and reboot."
        )
    if cpu in {"AuthenticAMD", "HygonGenuine"}:
        # The kernel uses AMD's wherever the firmware shows it: there is no parameter that turns it on.
        return text(
            "Turn on AMD-Vi (IOMMU) in the host's firmware, add iommu=pt to the kernel's command line, and reboot."
        )
    return text("Turn on the IOMMU (SMMU) in the host's firmware, and reboot.")


def vfio_is_missing(facts: HostFacts) -> list[Problem]:
    if facts.vfio:
        return []
    return [
        Problem(
            text=text("VFIO is not loaded, and without it libvirt gives no VF to a guest."),
            fix=vfio_fix(),
        )
    ]


def vfio_fix() -> Text:
    return text("modprobe vfio-pci; a line vfio-pci in /etc/modules-load.d/vfio.conf keeps it over a restart.")


def shared_groups(facts: HostFacts) -> list[Problem]:
    """VFs that VFIO cannot give to a guest without their neighbours."""
    found = []
    for pf in facts.links:
        if shared := [vf for vf in pf.vfs if vf.group_devices > 1]:
            found.append(_shared(pf, [str(vf.index) for vf in shared]))
    return found


def _shared(pf: Link, vfs: list[str]) -> Problem:
    if len(vfs) == 1:
        sentence = text(
            "VF %(vf)s of %(pf)s shares an IOMMU group with other devices, and a guest gets a whole group or none.",
            vf=vfs[0],
            pf=pf.name,
        )
    else:
        sentence = text(
            "VFs %(vfs)s of %(pf)s share an IOMMU group with other devices, and a guest gets a whole group or none.",
            vfs=", ".join(vfs),
            pf=pf.name,
        )
    return Problem(
        text=sentence,
        fix=text("Turn on ACS (access control services) in the firmware, or put the card into another slot."),
    )
