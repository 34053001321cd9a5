"""The SR-IOV machine: an emulated Intel 82576 under the kernel's own driver, with the agent on it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Lab
from lab.sriov_machine import SriovMachine
from tests.lab.agent_cli import KVMAGENT
from virtnet.facts import HostFacts
from virtnet.vf import VfAttributes
from virtnet.vf_actions import SetNumvfs, SetVfAttributes

# Eleven minutes were measured on a machine with five times as much to do as it has processors.
pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

MAC, VLAN = "52:54:00:00:00:42", 42

# The PF carries the machine's own network, so the change waits for somebody's word; an emulated machine takes its time.
APPLY_AND_KEEP = """
cat >/tmp/action.json
KVMAGENT_CONFIRM_SECONDS=900 "$@" apply /tmp/action.json 2>/tmp/said &
while kill -0 $! 2>/dev/null && ! grep -q "kvmagent keep" /tmp/said; do sleep 1; done
"$@" keep
wait $!
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[SriovMachine]:
    with Lab(prefix=f"v{os.getpid()}", hosts=1, guests_per_host=0) as lab, SriovMachine(lab) as machine:
        machine.run(["systemctl", "enable", "kvmpanel-vfs"])
        yield machine


def test_vfs_made_by_the_agent_are_back_after_a_reboot_before_libvirtd_starts(machine: SriovMachine) -> None:
    begun = time.monotonic()
    found = facts(machine)
    assert found.pfs == {"eth0": 7}
    assert found.iommu
    order = SetNumvfs(pf="eth0", numvfs=2).model_dump_json()
    machine.run(["sh", "-c", APPLY_AND_KEEP, "sh", *KVMAGENT], input=order, timeout=900)
    apply(
        machine,
        SetVfAttributes(pf="eth0", vf=1, attributes=VfAttributes(mac=MAC, vlan=VLAN)).model_dump_json(),
    )
    before = kernels_vfs(machine)
    assert len(before) == 2
    assert (before[1]["mac"], before[1]["vlan_list"][0]["vlan"]) == (MAC, VLAN)
    made = time.monotonic()

    machine.reboot()
    booted = time.monotonic()
    after = kernels_vfs(machine)
    assert len(after) == 2
    assert (after[1]["mac"], after[1]["vlan_list"][0]["vlan"]) == (MAC, VLAN)
    restored, libvirtd = ended(machine, "kvmpanel-vfs.service"), started(machine, "libvirtd.service")
    assert 0 < restored < libvirtd
    again = facts(machine)
    assert again.vfs_restored is not None
    assert (again.vfs_restored.restored, again.vfs_restored.wanted) == (2, 2)
    owners = {link["name"]: link["operational"] for link in networkd_links(machine)}
    assert {owners[vf.link] for pf in again.links for vf in pf.vfs if vf.link} == {"unmanaged"}
    print(f"VFs made {made - begun:.0f} s, reboot {booted - made:.0f} s, all {time.monotonic() - begun:.0f} s")


def facts(machine: SriovMachine) -> HostFacts:
    return HostFacts.model_validate_json(machine.run([*KVMAGENT, "facts"], timeout=300).stdout)


def apply(machine: SriovMachine, action: str) -> None:
    machine.run([*KVMAGENT, "apply", "--json", "-"], input=action, timeout=300)


def kernels_vfs(machine: SriovMachine) -> list[dict[str, Any]]:
    """What `ip link` says of the PF's VFs."""
    (pf,) = json.loads(machine.run(["ip", "-j", "link", "show", "eth0"]).stdout)
    found: list[dict[str, Any]] = pf.get("vfinfo_list", [])
    return [{**vf, "mac": vf.get("address", vf.get("mac"))} for vf in found]


def networkd_links(machine: SriovMachine) -> list[dict[str, str]]:
    lines = machine.run(["networkctl", "--no-legend", "--no-pager", "list"]).stdout.splitlines()
    return [{"name": line.split()[1], "operational": line.split()[4]} for line in lines if line.strip()]


def ended(machine: SriovMachine, unit: str) -> int:
    """Microseconds since the boot at which its program ended; 0 when it has not run."""
    return property_of(machine, unit, "ExecMainExitTimestampMonotonic")


def started(machine: SriovMachine, unit: str) -> int:
    return property_of(machine, unit, "ExecMainStartTimestampMonotonic")


def property_of(machine: SriovMachine, unit: str, name: str) -> int:
    return int(machine.run(["systemctl", "show", "--value", f"--property={name}", unit]).stdout)
