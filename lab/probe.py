"""A probe: a guest's packets without the guest, from a namespace of its own.

Its card is one end of a veth whose other end is a port of a host's bridge; or a macvlan over a link of the host.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from lab import links, namespaces, processes
from lab.errors import LabError
from lab.host import LabHost
from lab.machine import LabMachine

LEASE_SCRIPT = Path(__file__).parent / "probe_lease"


@dataclass
class Probe(LabMachine):
    """Use it with `with`: inside, it has its lease. name: of its link on the host, so at most 15 characters.

    link: the bridge, or with a source_mode (bridge, vepa, private, passthrough) the link under the macvlan.
    address: leased. mac: of its card. patience: seconds to wait for a lease (libvirt's own networks take 7 s: their
    bridge forwards after 4 s, their dnsmasq probes the address for 3 s).
    """

    host: LabHost = field(kw_only=True)
    link: str = field(kw_only=True)
    source_mode: str | None = field(kw_only=True, default=None)
    mac: str = field(default="", init=False)
    patience: int = field(default=40, init=False)

    def __enter__(self) -> "Probe":
        namespaces.add(self.state, self.namespace)
        try:
            self._plug_in()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _plug_in(self) -> None:
        self.state_dir.mkdir(parents=True)
        if self.source_mode is None:
            links.add_cable((self.host.namespace, self.name), (self.namespace, "eth0"), master=self.link)
        else:
            links.add_macvlan((self.host.namespace, self.link), (self.namespace, "eth0"), mode=self.source_mode)
        self.mac = links.mac_address(self.namespace, "eth0")
        command = [
            "busybox",
            "udhcpc",
            "-f",
            "-n",
            "-q",
            "-t",
            str(self.patience),
            "-T",
            "1",
            "-i",
            "eth0",
            "-s",
            str(LEASE_SCRIPT),
        ]
        client = self.run(command, check=False, timeout=60)
        addresses = links.addresses(self.namespace, "eth0")
        if client.returncode != 0 or not addresses:
            raise LabError(
                f"Nobody on {self.link} of {self.host.name} gave {self.name} a lease: {client.stderr.strip()}",
                "Check that the network is started and has a DHCP range.",
            )
        self.address = addresses[0].ip

    def _remove(self) -> None:
        inode = namespaces.path(self.namespace).stat().st_ino
        # The kernel takes a namespace's links apart some time after its deletion; the host must lose this one now.
        links.delete(self.namespace, "eth0")
        processes.end_all(inodes={inode}, mark=None)
        namespaces.delete(self.state, self.namespace)
        shutil.rmtree(self.state_dir, ignore_errors=True)
