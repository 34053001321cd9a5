"""SR-IOV as sysfs shows it: PFs with their VFs, and whether the IOMMU that a guest's VF needs is on."""

from __future__ import annotations

from pathlib import Path

SYS_CLASS_NET = Path("/sys/class/net")
IOMMU_GROUPS = Path("/sys/kernel/iommu_groups")


def totalvfs(link: str) -> int | None:
    """sriov_totalvfs, None for what is no PF."""
    return _number(SYS_CLASS_NET / link / "device" / "sriov_totalvfs")


def numvfs(link: str) -> int | None:
    """sriov_numvfs, None for what is no PF."""
    return _number(SYS_CLASS_NET / link / "device" / "sriov_numvfs")


def pf_of(link: str) -> str | None:
    """The PF's link of a VF's link; None for what is no VF, or when the PF has no link here."""
    try:
        names = sorted(entry.name for entry in (SYS_CLASS_NET / link / "device" / "physfn" / "net").iterdir())
    except OSError:
        return None
    return names[0] if names else None


def iommu() -> bool:
    """Whether the kernel has put devices into IOMMU groups: it does so only where an IOMMU works."""
    try:
        return any(IOMMU_GROUPS.iterdir())
    except OSError:
        return False


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
