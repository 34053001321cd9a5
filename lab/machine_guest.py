"""A guest inside the SR-IOV machine, by KVM: its processor is the machine's own, which emulates what KVM needs."""

import subprocess
import sys
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab import guest_image, serial_line
from lab.guest import bare_domain, shell
from lab.sriov_machine import SriovMachine

MEMORY_MIB = 192
# What a kernel does at its start for a machine that is used in earnest: a third of its time here.
QUICKER = "cryptomgr.notests tsc=reliable clearcpuid=rep_good rodata=off lsm=capability audit=0 ipv6.disable=1"
QUICKER += " initcall_blacklist=init_ima,load_system_certificate_list,init_zswap,zs_init,init_zbud,hugetlb_init"
SPARE_PORTS = 5  # for as many cards, plugged in before it starts or while it runs
VIRSH_SECONDS = 240.0


@dataclass
class MachineGuest:
    """name: of the domain. A `q35`, for QEMU takes the VF of a pair on PCI Express only; with the driver of a VF."""

    machine: SriovMachine
    name: str

    @cached_property
    def uuid(self) -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.{self.machine.name}.kvmpanel-lab.example")

    @property
    def console_log(self) -> Path:
        """In the machine."""
        return Path(f"/var/log/libvirt/{self.name}.console")

    @property
    def _socket(self) -> Path:
        return Path(f"/run/{self.name}.serial")

    def define(self) -> None:
        """Without a card, off; from then on it starts with the machine."""
        image = guest_image.with_vf_driver(lambda _: None)
        domain = bare_domain(self.name, self.uuid, image, MEMORY_MIB, self.console_log, kind="kvm", machine="q35")
        domain.insert(-1, ET.Element("cpu", mode="host-passthrough"))
        for model in ("pcie-root", *("pcie-root-port",) * SPARE_PORTS):
            ET.SubElement(domain[-1], "controller", type="pci", model=model)
        domain[-1].append(shell(self._socket))
        for arguments in domain.iterfind("os/cmdline"):
            arguments.text = f"{arguments.text} {QUICKER}"
        self.virsh("define", "/dev/stdin", document=ET.tostring(domain, "unicode"))
        self.virsh("autostart", self.name)

    def start(self) -> None:
        """Returns when QEMU runs; its kernel starts then."""
        self.virsh("start", self.name)

    def destroy(self) -> None:
        self.virsh("destroy", self.name)

    def run(self, command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A line of shell in the guest, which must have booted; stdout and stderr together in `stdout`."""
        client = [sys.executable, "-I", "-S", serial_line.__file__, str(self._socket), f"{timeout:g}", command]
        return self.machine.run(client, check=False, timeout=timeout + VIRSH_SECONDS)

    def virsh(self, *command: str, document: str | None = None) -> str:
        return self.machine.run(["virsh", *command], input=document, timeout=VIRSH_SECONDS).stdout
