"""SR-IOV as sysfs shows it: PFs with their VFs, and whether the IOMMU that a guest's VF needs is on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SYS_CLASS_NET = Path("/sys/class/net")
IOMMU_GROUPS = Path("/sys/kernel/iommu_groups")
VFIO = Path("/dev/vfio/vfio")
CPUINFO = Path("/proc/cpuinfo")
BRIDGE_CLASS = "0x06"  # PCI bridges: VFIO lets them stay with the host


@dataclass(frozen=True)
class Function:
    """A VF as a PCI device. group: its IOMMU group's number; group_devices: the devices in it, bridges left out."""

    index: int
    pci_address: str
    driver: str | None
    link: str | None
    group: int | None
    group_devices: int

    @property
    def is_ready(self) -> bool:
        """Whether its driver has it, and has made its link; VFIO makes none."""
        return self.link is not None or self.driver == "vfio-pci"


def totalvfs(link: str) -> int | None:
    """sriov_totalvfs, None for what is no PF."""
    return _number(SYS_CLASS_NET / link / "device" / "sriov_totalvfs")


def numvfs(link: str) -> int | None:
    """sriov_numvfs, None for what is no PF."""
    return _number(SYS_CLASS_NET / link / "device" / "sriov_numvfs")


def write_numvfs(pf: str, wanted: int) -> None:
    """Returns when the kernel has added or removed the PCI devices. Raises OSError: EBUSY, ERANGE, ENOMEM …"""
    (SYS_CLASS_NET / pf / "device" / "sriov_numvfs").write_text(f"{wanted}\n")


def drivers_autoprobe(pf: str) -> bool:
    """Whether the kernel looks for a driver for new VFs of this PF."""
    return _number(SYS_CLASS_NET / pf / "device" / "sriov_drivers_autoprobe") != 0


def numa_node(link: str) -> int | None:
    """None where the firmware does not tell (the kernel's -1)."""
    node = _number(SYS_CLASS_NET / link / "device" / "numa_node")
    return node if node is not None and node >= 0 else None


def functions(pf: str) -> tuple[Function, ...]:
    """The VFs of a PF, by index; one that goes away meanwhile is left out."""
    try:
        found = list((SYS_CLASS_NET / pf / "device").glob("virtfn*"))
    except OSError:
        return ()
    numbered = [(int(entry.name.removeprefix("virtfn")), entry) for entry in found if entry.name[6:].isdecimal()]
    return tuple(_function(index, entry) for index, entry in sorted(numbered) if entry.exists())


def pf_of(link: str) -> str | None:
    """The PF's link of a VF's link; None for what is no VF, or when the PF has no link here."""
    return _first(SYS_CLASS_NET / link / "device" / "physfn" / "net")


def iommu() -> bool:
    """Whether the kernel has put devices into IOMMU groups: it does so only where an IOMMU works."""
    try:
        return any(IOMMU_GROUPS.iterdir())
    except OSError:
        return False


def vfio() -> bool:
    """Whether libvirt may give VFs to guests: it looks for this file, and loads nothing before it is there."""
    return VFIO.exists()


def cpu_vendor() -> str:
    """GenuineIntel, AuthenticAMD …; "" where /proc/cpuinfo names none, as on ARM."""
    found = re.search(r"^vendor_id\s*:\s*(\S+)", CPUINFO.read_text(), re.MULTILINE)
    return found[1] if found else ""


def linked(path: Path) -> str | None:
    """The name at the other end of a symbolic link, e.g. of `driver`."""
    try:
        return path.readlink().name
    except OSError:
        return None


def _function(index: int, entry: Path) -> Function:
    group = linked(entry / "iommu_group")
    return Function(
        index=index,
        pci_address=linked(entry) or entry.name,
        driver=linked(entry / "driver"),
        link=_first(entry / "net"),
        group=int(group) if group is not None and group.isdecimal() else None,
        group_devices=_devices(entry / "iommu_group" / "devices"),
    )


def _devices(directory: Path) -> int:
    try:
        return max(1, sum(not _is_bridge(device) for device in directory.iterdir()))
    except OSError:
        return 1


def _is_bridge(device: Path) -> bool:
    try:
        return (device / "class").read_text().startswith(BRIDGE_CLASS)
    except OSError:
        return False


def _first(directory: Path) -> str | None:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return None
    return names[0] if names else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
