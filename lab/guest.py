"""A guest: a libvirt domain with Debian's kernel and a busybox, off until started, whose shell a test can use."""

import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import libvirt

from lab.errors import LabError
from lab.guest_image import GuestImage
from lab.serial_line import SerialLine

if TYPE_CHECKING:
    from lab.host import LabHost

MEMORY_MIB = 96
KERNEL_ARGUMENTS = "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on"
ADDRESSES = "ip -4 -o addr show | while read -r index name family address rest; do echo $name $address; done"


@dataclass
class LabGuest:
    """name: of the domain and the guest's own hostname."""

    host: "LabHost"
    name: str

    @property
    def uuid(self) -> uuid.UUID:
        """The domain's UUID. The same in each lab of the same prefix, so that a page's address survives a new lab."""
        return uuid.uuid5(
            uuid.NAMESPACE_DNS, f"{self.name}.{self.host.name}.{self.host.state.prefix}.kvmpanel-lab.example"
        )

    @property
    def console_log(self) -> Path:
        """All that the guest's kernel and init wrote on its first serial line."""
        return self.host.state_dir / f"{self.name}.console"

    def define(self, image: GuestImage) -> None:
        connection = self.host.libvirt()
        connection.defineXMLFlags(self.domain_xml(image), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        connection.close()

    def domain(self) -> libvirt.virDomain:
        """The domain on a new connection, which lives as long as this object."""
        return self.host.libvirt().lookupByUUIDString(str(self.uuid))

    def start(self) -> None:
        """virsh start; nothing happens where it runs already. It is ready some seconds later: `wait_ready`."""
        domain = self.domain()
        if not domain.isActive():
            domain.create()

    def destroy(self) -> None:
        """virsh destroy: power off; nothing happens where it is off."""
        try:
            self.domain().destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise

    def wait_ready(self, timeout: float = 180) -> None:
        """Until its shell answers. timeout: seconds; LabError with the end of its console then."""
        try:
            with self._serial_line() as line:
                line.wait_ready(timeout)
        except TimeoutError as error:
            console = self.console_log.read_text(errors="replace")[-1000:]
            raise LabError(
                f"{self.name} did not get ready in {timeout:g} s.", f"Its console ends: {console}"
            ) from error

    def run(self, command: str, timeout: float = 60) -> tuple[int, str]:
        """Run a line of shell in the guest: (exit status, stdout and stderr together).

        timeout: seconds for the command, TimeoutError after that. The guest must be ready.
        """
        with self._serial_line() as line:
            return line.run(command, timeout)

    def addresses(self) -> list[IPv4Interface]:
        """The IPv4 addresses of its cards, in the order of the cards; loopback left out."""
        status, output = self.run(ADDRESSES)
        if status != 0:
            raise LabError(f"{self.name} cannot list its addresses: {output}", f"Look at {self.console_log}.")
        pairs = [line.split() for line in output.splitlines()]
        return [IPv4Interface(address) for name, address in pairs if name != "lo"]

    def wait_address(self, card: str = "eth0", timeout: float = 120) -> IPv4Interface:
        """The address of `card`, as soon as it has one. timeout: seconds, TimeoutError after that."""
        # busybox has no `ip monitor`: the guest itself looks at its lease file five times a second.
        status, output = self.run(f"until [ -s /run/lease.{card} ]; do sleep 0.2; done; cat /run/lease.{card}", timeout)
        if status != 0:
            raise LabError(f"{self.name} has no lease on {card}: {output}", f"Look at {self.console_log}.")
        return IPv4Interface(output.strip())

    def domain_xml(self, image: GuestImage) -> str:
        """The persistent domain, without a card."""
        domain = bare_domain(self.name, self.uuid, image, MEMORY_MIB, self.console_log)
        domain[-1].append(shell(self._socket))
        return ET.tostring(domain, encoding="unicode")

    @property
    def _socket(self) -> Path:
        return self.host.state_dir / f"{self.name}.serial"

    def _serial_line(self) -> SerialLine:
        try:
            return SerialLine.connect(self._socket)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise LabError(
                f"{self.name} on {self.host.name} is not running.", "Start it with guest.start()."
            ) from error


def bare_domain(
    name: str,
    identity: uuid.UUID,
    image: GuestImage,
    memory: int,
    console_log: Path,
    *,
    kind: Literal["qemu", "kvm"] = "qemu",
    machine: str = "pc",
) -> ET.Element:
    """A domain with a console and nothing else; <devices> comes last. memory: MiB.

    machine: into a `pc` cards can be plugged without spare PCIe ports.
    """
    domain = ET.Element("domain", type=kind)
    ET.SubElement(domain, "name").text = name
    ET.SubElement(domain, "uuid").text = str(identity)
    ET.SubElement(domain, "memory", unit="MiB").text = str(memory)
    ET.SubElement(domain, "vcpu").text = "1"
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type", arch="x86_64", machine=machine).text = "hvm"
    ET.SubElement(system, "kernel").text = str(image.kernel)
    ET.SubElement(system, "initrd").text = str(image.initrd)
    ET.SubElement(system, "cmdline").text = f"{KERNEL_ARGUMENTS} guest.name={name}"
    ET.SubElement(ET.SubElement(domain, "features"), "acpi")  # PCI hotplug goes through ACPI
    devices = ET.SubElement(domain, "devices")
    ET.SubElement(devices, "controller", type="usb", model="none")
    console = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(console, "source", path=str(console_log))
    ET.SubElement(console, "target", port="0")
    ET.SubElement(devices, "memballoon", model="none")
    return domain


def shell(socket: Path) -> ET.Element:
    """The second serial line, behind which a guest's shell answers: see lab/serial_line.py."""
    line = ET.Element("serial", type="unix")
    ET.SubElement(line, "source", mode="bind", path=str(socket))
    ET.SubElement(line, "target", port="1")
    return line
