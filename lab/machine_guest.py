"""A guest inside the SR-IOV machine: an emulated processor within an emulated one, so it takes its time."""

import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab import guest_image
from lab.guest import bare_domain
from lab.sriov_machine import SriovMachine

MEMORY_MIB = 128
VIRSH_SECONDS = 240.0


@dataclass
class MachineGuest:
    """name: of the domain."""

    machine: SriovMachine
    name: str

    @cached_property
    def uuid(self) -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.{self.machine.name}.kvmpanel-lab.example")

    @property
    def console_log(self) -> Path:
        """In the machine."""
        return Path(f"/var/log/libvirt/{self.name}.console")

    def define(self) -> None:
        """Without a card, off."""
        image = guest_image.ensure(lambda _: None)
        domain = bare_domain(self.name, self.uuid, image, MEMORY_MIB, self.console_log)
        self.machine.run(["virsh", "define", "/dev/stdin"], input=ET.tostring(domain, "unicode"), timeout=VIRSH_SECONDS)

    def start(self) -> None:
        """Returns when QEMU runs; its kernel starts then."""
        self.machine.run(["virsh", "start", self.name], timeout=VIRSH_SECONDS)

    def destroy(self) -> None:
        self.machine.run(["virsh", "destroy", self.name], timeout=VIRSH_SECONDS)
