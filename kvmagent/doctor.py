"""What this host lacks for the agent's work, each with its fix. Looks only; changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from kvmagent import filtering, panel_checks, sriov, vf_restore, vf_state, vfs
from kvmagent.check import Check
from kvmagent.libvirt_connection import Libvirt, LibvirtDown, dotted
from kvmagent.links import IP_FORWARD, read_links, read_routes
from virtnet import sriov_needs
from virtnet.facts import HostFacts
from virtnet.surprises import LOOKS
from virtnet.text import text

KVM = Path("/dev/kvm")
VFIO = Path("/dev/vfio/vfio")
RESTORES_VFS = Path("/etc/systemd/system/multi-user.target.wants/kvmpanel-vfs.service")


def examine(libvirt: Libvirt) -> list[Check]:
    """All checks, in the order in which one would repair."""
    looks: tuple[Callable[[], Iterator[Check]], ...] = (
        lambda: _libvirtd(libvirt),
        _kvm,
        _programs,
        _ip_forward,
        _iommu,
        _pfs,
        _vfs_at_boot,
        _surprises,
        panel_checks.look,
    )
    return [check for look in looks for check in look()]


def _libvirtd(libvirt: Libvirt) -> Iterator[Check]:
    try:
        version = libvirt.connection().getLibVersion()
    except LibvirtDown as error:
        yield Check(name="libvirtd", state="bad", text=error.text, fix=text("systemctl enable --now libvirtd"))
        return
    yield Check(name="libvirtd", state="ok", text=text("libvirtd %(version)s answers.", version=dotted(version)))


def _kvm() -> Iterator[Check]:
    if KVM.exists():
        yield Check(name="kvm", state="ok", text=text("/dev/kvm is there."))
        return
    yield Check(
        name="kvm",
        state="warn",
        text=text("/dev/kvm is missing: guests run without hardware acceleration."),
        fix=text("Switch virtualization on in the firmware, and load kvm_intel or kvm_amd."),
    )


def _programs() -> Iterator[Check]:
    for program, package, use in (
        ("nft", "nftables", "NAT and host-only networks"),
        ("dnsmasq", "dnsmasq-base", "networks that give leases"),
    ):
        if shutil.which(program):
            yield Check(name=program, state="ok", text=text("%(program)s is installed.", program=program))
        else:
            yield Check(
                name=program,
                state="bad",
                text=text("%(program)s is missing: no %(use)s.", program=program, use=use),
                fix=text("Install the package %(package)s.", package=package),
            )


def _ip_forward() -> Iterator[Check]:
    if IP_FORWARD.read_text().strip() != "0":
        yield Check(name="ip_forward", state="ok", text=text("The host forwards IPv4 packets."))
        return
    yield Check(
        name="ip_forward",
        state="ok",
        text=text("The host forwards no IPv4 packets yet; libvirt turns that on with the first NAT network."),
    )


def _iommu() -> Iterator[Check]:
    if sriov.iommu():
        yield Check(name="iommu", state="ok", text=text("The IOMMU is on."))
    else:
        yield Check(
            name="iommu",
            state="warn",
            text=text("The IOMMU is off: no VF can be given to a guest (SR-IOV)."),
            fix=sriov_needs.iommu_fix(sriov.cpu_vendor()),
        )
    if VFIO.exists():
        yield Check(name="vfio", state="ok", text=text("VFIO is loaded."))
    else:
        yield Check(
            name="vfio",
            state="warn",
            text=text("VFIO is not loaded; libvirt needs it for VFs (SR-IOV)."),
            fix=sriov_needs.vfio_fix(),
        )


def _pfs() -> Iterator[Check]:
    facts = HostFacts(links=vfs.with_vfs(read_links()))
    for problem in sriov_needs.no_pf(facts):
        yield Check(name="pfs", state="warn", text=problem.text, fix=problem.fix)
    for pf in facts.links:
        if pf.totalvfs:
            sentence = text(
                "%(pf)s offers %(totalvfs)s VFs, %(numvfs)s of them made.",
                pf=pf.name,
                totalvfs=pf.totalvfs,
                numvfs=pf.numvfs or 0,
            )
            yield Check(name="pfs", state="ok", text=sentence)
    for problem in sriov_needs.shared_groups(facts):
        yield Check(name="iommu-groups", state="warn", text=problem.text, fix=problem.fix)


def _vfs_at_boot() -> Iterator[Check]:
    """Whether the VFs that the panel keeps come back at the next start, and came back at the last one."""
    if not vf_state.read():
        return
    if not RESTORES_VFS.exists():
        yield Check(
            name="vfs-at-boot",
            state="warn",
            text=text("kvmpanel-vfs.service is not enabled: the host's next start will make no VFs."),
            fix=text("systemctl enable kvmpanel-vfs"),
        )
    found = vf_restore.read()
    if found is None:
        return
    sentence = text("Last boot: %(restored)s of %(wanted)s VFs restored.", restored=found.restored, wanted=found.wanted)
    whole = found.restored == found.wanted
    yield Check(name="vfs-at-boot", state="ok" if whole else "warn", text=sentence)
    for problem in found.problems:
        yield Check(name="vfs-at-boot", state="warn", text=problem)


def _surprises() -> Iterator[Check]:
    found_links = read_links()
    routes = read_routes(found_links)
    facts = HostFacts(links=found_links, routes=routes, filtering=filtering.read(found_links, routes))
    for look in LOOKS:
        found = look.find(facts)
        for problem in found:
            yield Check(name=look.name, state="warn", text=problem.text, fix=problem.fix)
        if not found:
            yield Check(name=look.name, state="ok", text=look.fine)
