"""A KVM host of the lab: its own network, mounts, hostname, machine-id, libvirtd and guests on the shared kernel."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import libvirt

from lab import libvirtd, links, mounts, namespaces
from lab.errors import LabError
from lab.guest import LabGuest
from lab.machine import LabMachine
from lab.processes import ProcessId, is_alive

LAN_BRIDGE = "br0"
UPLINK = "eth0"
FREE_UPLINK = "eth1"


@dataclass
class LabHost(LabMachine):
    """guests: defined when the lab goes up, off until started."""

    guests: list[LabGuest] = field(default_factory=list)
    uri: str = "qemu:///system"

    @property
    def switch(self) -> str:
        """The namespace of the LAN's switch; this host's port there has the host's name."""
        return f"{self.state.prefix}-lan"

    def entering(self) -> list[str]:
        anchor = self.anchor()
        return [
            "nsenter",
            f"--net={namespaces.path(self.namespace)}",
            f"--mount=/proc/{anchor.pid}/ns/mnt",
            f"--uts=/proc/{anchor.pid}/ns/uts",
            f"--wdns={_visible(Path.cwd())}",
            "--",
        ]

    def anchor(self) -> ProcessId:
        """The process whose namespaces are this host's."""
        anchor = self.state.anchors.get(self.name)
        if anchor is None or not is_alive(anchor):
            raise LabError(f"{self.name} is not up.", f"Run: python -m lab up --prefix {self.state.prefix}")
        return anchor

    def up(self, lan: IPv4Interface, gateway: IPv4Address, names: str) -> None:
        """Make the host. lan: its address and the LAN's prefix. names: text of /etc/hosts."""
        namespaces.add(self.state, self.namespace)
        links.add_cable((self.switch, self.name), (self.namespace, UPLINK), master=LAN_BRIDGE)
        links.add_address(self.namespace, UPLINK, lan)
        links.add_default_route(self.namespace, gateway)
        # A second cable into the same LAN, without an address and down, as an installer leaves a card that nobody uses.
        links.add_cable((self.switch, f"{self.name}-{FREE_UPLINK}"), (self.namespace, FREE_UPLINK), master=LAN_BRIDGE)
        links.set_state(self.namespace, FREE_UPLINK, "down")
        machine_id = hashlib.sha256(f"{self.state.mark} {self.name}".encode()).hexdigest()[:32]
        files = {
            "/etc/hostname": f"{self.name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n{names}",
            "/etc/machine-id": f"{machine_id}\n",
            "/etc/resolv.conf": f"nameserver {self.resolver(lan)}\n",
        }
        mounts.fill(self.state_dir, self.name, files)
        libvirtd.configure(self.state_dir)
        libvirtd.take_capabilities(self.state_dir)
        anchor = mounts.start_anchor(namespaces.path(self.namespace), self.name, self.environment())
        self.state.anchors[self.name] = anchor
        self.state.save()
        mounts.mount(self.state_dir, self.run)
        libvirtd.start(self.state_dir, "virtlogd", self.run)
        self.start_libvirtd()
        connection = self.libvirt()
        libvirtd.define_stock_network(connection)
        connection.close()

    @staticmethod
    def resolver(lan: IPv4Interface) -> IPv4Address:
        """The LAN's DNS server answers at the last address of its prefix."""
        return lan.network.broadcast_address - 1

    def libvirt(self) -> libvirt.virConnect:
        """A new connection to this host's libvirtd, through its socket in `state_dir`."""
        return libvirtd.connect(self.state_dir, self.name)

    def start_libvirtd(self) -> None:
        libvirtd.start(self.state_dir, "libvirtd", self.run)

    def stop_libvirtd(self) -> None:
        libvirtd.stop(self.state_dir, "libvirtd")

    def restart_libvirtd(self) -> None:
        self.stop_libvirtd()
        self.start_libvirtd()

    @contextmanager
    def reflecting_switch(self) -> Iterator[None]:
        """The LAN's switch sends frames back to where they came from (hairpin), at both cables of this host."""
        ports = (self.name, f"{self.name}-{FREE_UPLINK}")
        for port in ports:
            links.set_hairpin(self.switch, port, True)
        try:
            yield
        finally:
            for port in ports:
                links.set_hairpin(self.switch, port, False)

    def cut_off(self) -> None:
        """Pull the cable out of eth0: its other end goes down, so the host sees no carrier."""
        links.set_state(self.switch, self.name, "down")

    def reconnect(self) -> None:
        links.set_state(self.switch, self.name, "up")


def _visible(directory: Path) -> Path:
    """The working directory for commands on the host: this process's own, unless it is in the /run of the machine."""
    return Path("/") if directory.is_relative_to("/run") else directory
