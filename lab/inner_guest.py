"""A guest of a machine that is itself restarted (lab.disk_machine, lab.system_container): firmware and one card.

Its firmware asks the LAN for something to start from, and starts anew where it gets nothing: so it has a lease from the
LAN some seconds after its start, and asks again. QEMU is this machine's, whose /usr lies over the other's for it alone.
"""

from __future__ import annotations

import time
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple, Protocol

from lab import libvirtd
from lab.lab import Lab

SHARED, PLACE = Path("/usr"), "/opt/lab/usr"
EMULATOR = "/opt/lab/emulator"
MEMORY_MIB = 32
FIRMWARE_AGAIN = 2000  # ms from one try in vain to the next
VIRSH_SECONDS = 400.0  # an emulated machine's libvirtd first asks QEMU what it can do


class Machine(Protocol):
    def run(self, command: str, timeout: float = ..., check: bool = ...) -> str: ...

    def give(self, name: str, content: str) -> str: ...


class Lease(NamedTuple):
    """until: seconds since 1970; each answer of the DHCP server makes it later."""

    until: int
    address: IPv4Address


def files() -> dict[str, str]:
    """What a machine needs besides PLACE to have guests, path -> text."""
    return {
        "etc/libvirt/qemu.conf": f"{libvirtd.QEMU_CONF}clear_emulator_capabilities = 0\n",  # it mounts
        EMULATOR[1:]: f"""\
#!/bin/sh
exec unshare --mount sh -c 'mount --bind {PLACE} /usr && exec /usr/bin/qemu-system-x86_64 "$@"' sh "$@"
""",
    }


@dataclass
class InnerGuest:
    """name: of the domain. network: of libvirt's, need not be there before it starts."""

    lab: Lab
    machine: Machine
    name: str
    network: str

    @property
    def mac(self) -> str:
        digest = uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.{self.lab.state.mark}").hex
        return "52:54:01:" + ":".join(digest[place : place + 2] for place in (0, 2, 4))

    def define(self) -> None:
        """Off, and to start with its host."""
        path = self.machine.give(f"{self.name}.xml", ET.tostring(self._domain(), "unicode"))
        self.machine.run(f"virsh define {path} && virsh autostart {self.name}", VIRSH_SECONDS)
        # libvirt leaves the names of its files for the kernel to write.
        self.machine.run(f"cd /etc/libvirt/qemu && sync {self.name}.xml . autostart")

    def destroy(self) -> None:
        """Off at once. Its firmware hears of no button, for which a host that is switched off would wait minutes."""
        self.machine.run(f"virsh destroy {self.name}", VIRSH_SECONDS)

    def undefine(self) -> None:
        """Gone, off or not."""
        self.machine.run(f"virsh destroy {self.name}; virsh undefine {self.name}", VIRSH_SECONDS)

    def lease(self) -> Lease | None:
        """The last that the LAN's DHCP server gave it."""
        for line in (self.lab.lan.state_dir / "leases").read_text().splitlines():
            until, mac, address, *_ = line.split()
            if mac == self.mac:
                return Lease(int(until), IPv4Address(address))
        return None

    def await_lease(self, before: Lease | None, timeout: float) -> Lease:
        """Until it has asked for one anew. before: what `lease` said. AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (lease := self.lease()) is None or (before is not None and lease.until <= before.until):
            if time.monotonic() > deadline:
                said = self.machine.run(
                    "virsh list --all; virsh net-list --all; ip -br link; tail -n 30 /var/log/libvirt/qemu/*.log; "
                    "journalctl -b --no-pager -n 40 -u libvirtd",
                    check=False,
                )
                raise AssertionError(f"{self.name} has asked for no lease in {timeout:g} s.\n{said}")
            time.sleep(0.2)
        return lease

    def _domain(self) -> ET.Element:
        domain = ET.Element("domain", type="qemu")
        ET.SubElement(domain, "name").text = self.name
        ET.SubElement(domain, "memory", unit="MiB").text = str(MEMORY_MIB)
        ET.SubElement(domain, "vcpu").text = "1"
        system = ET.SubElement(domain, "os")
        ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
        ET.SubElement(system, "boot", dev="network")
        ET.SubElement(system, "bios", rebootTimeout=str(FIRMWARE_AGAIN))
        devices = ET.SubElement(domain, "devices")
        ET.SubElement(devices, "emulator").text = EMULATOR
        ET.SubElement(devices, "controller", type="usb", model="none")
        card = ET.SubElement(devices, "interface", type="network")
        ET.SubElement(card, "mac", address=self.mac)
        ET.SubElement(card, "source", network=self.network)
        ET.SubElement(card, "model", type="virtio")
        ET.SubElement(devices, "memballoon", model="none")
        return domain
