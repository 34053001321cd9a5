"""A person at the panel: asks for changes by its forms, and looks at what becomes of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from uuid import UUID

from lab.browser import Browser
from lab.host import LabHost
from lab.machine import LabMachine
from lab.panel import ADMIN, LabPanel

OPEN = ("queued", "sent", "running", "armed")

_numbers = itertools.count()


class Person:
    """Logged in at the panel as `name`."""

    def __init__(self, panel: LabPanel, name: str = ADMIN, password: str = "") -> None:
        self.panel = panel
        self.browser = Browser(panel.url)
        self.browser.log_in(name, password or panel.password)

    def set_numvfs(self, host: LabMachine, pf: str, numvfs: int) -> UUID:
        """The change; FormRefused when refused, as of each of these."""
        return self._ask(f"/hosts/{host.name}/sriov/{pf}/numvfs/", {"numvfs": str(numvfs)})

    def set_vf(self, host: LabMachine, pf: str, vf: int, **attributes: str) -> UUID:
        return self._ask(f"/hosts/{host.name}/sriov/{pf}/vfs/{vf}/", attributes)

    def make_pool(self, host: LabMachine, name: str, pf: str, numvfs: int, vf: str) -> UUID:
        """A network that hands out one VF of a PF. vf: its PCI address."""
        fields = {"name": name, "pf": pf, "numvfs": str(numvfs), "vfs": vf}
        return self._ask(f"/hosts/{host.name}/networks/new/sriov/", fields)

    def make_passthrough(self, host: LabMachine, name: str, link: str) -> UUID:
        """A network that gives one guest a whole link, by macvtap."""
        fields = {"name": name, "uplink": link, "source_mode": "passthrough"}
        return self._ask(f"/hosts/{host.name}/networks/new/macvtap/", fields)

    def plug_in(self, host: LabMachine, guest: UUID, network: str, mac: str) -> UUID:
        fields = {"source": f"network:{network}", "model": "virtio", "mac": mac}
        return self._ask(f"/hosts/{host.name}/guests/{guest}/attach/", fields)

    def pair(self, host: LabMachine, guest: UUID, vf: str, network: str, mac: str) -> UUID:
        """A VF by its PCI address, and a virtio card, with one MAC address."""
        fields = {"vf": vf, "vlan": "", "network": network, "mac": mac}
        return self._ask(f"/hosts/{host.name}/guests/{guest}/vf/", fields)

    def unplug_the_vf(self, host: LabMachine, guest: UUID, mac: str) -> UUID:
        """Of a pair; its other half stays."""
        return self._ask(f"/hosts/{host.name}/guests/{guest}/detach/{mac}/vf/")

    def make_network(self, host: LabHost, name: str) -> UUID:
        """A host-only network with a bridge and a subnet that no other has. The change; FormRefused when refused."""
        path = f"/hosts/{host.name}/networks/new/host-only/"
        number = next(_numbers)
        fields = {
            "name": name,
            "bridge": f"br-{number}",
            "host_address": f"10.{1 + number // 250}.{number % 250}.1/24",
        }
        return self._ask(path, fields)

    def make_bridge(self, host: LabMachine, name: str, bridge: str, uplink: str) -> UUID:
        """A network on a new bridge that lasts until the host's next start. The change; FormRefused when refused."""
        return self._ask(f"/hosts/{host.name}/networks/new/bridge/", {"name": name, "bridge": bridge, "uplink": uplink})

    def keep(self, change: UUID) -> None:
        self._ask(f"/changes/{change}/keep/")

    def undo(self, change: UUID) -> None:
        self._ask(f"/changes/{change}/undo/")

    def start_network(self, network: UUID) -> UUID:
        return self._ask(f"/networks/{network}/start/")

    def stop_network(self, network: UUID) -> UUID:
        return self._ask(f"/networks/{network}/stop/")

    def undefine_network(self, network: UUID) -> UUID:
        return self._ask(f"/networks/{network}/undefine/")

    def try_again(self, change: UUID) -> UUID:
        return self._ask(f"/changes/{change}/retry/")

    def sees(self, path: str, sentence: str) -> bool:
        """Whether a page shows a sentence now."""
        return sentence in " ".join(self.browser.look(path).page.split())

    def state(self, change: UUID) -> str:
        ((state,),) = self.panel.rows("SELECT state FROM networks_change WHERE id = %s", change)
        return str(state)

    def await_state(self, change: UUID, state: str, *, within: float) -> float:
        """Seconds until a change is so; AssertionError with the state that it is in after `within` seconds."""
        return seconds_until(lambda: self.state(change) == state, within, lambda: f"{change} is {self.state(change)}")

    def await_end(self, change: UUID, *, within: float) -> float:
        """Seconds until a change has ended, well or not."""
        return seconds_until(
            lambda: self.state(change) not in OPEN, within, lambda: f"{change} is {self.state(change)}"
        )

    def network_id(self, host: LabMachine, name: str) -> UUID:
        ((identity,),) = self.panel.rows(
            "SELECT n.id FROM networks_network n JOIN hosts_host h ON h.id = host_id "
            "WHERE h.name = %s AND n.name = %s AND removed_at IS NULL",
            host.name,
            name,
        )
        return UUID(str(identity))

    def await_found(self, network: UUID, *, within: float) -> float:
        """Seconds until the panel has heard from the host that a network is there, so that more can be asked of it."""
        found = "SELECT 1 FROM networks_network WHERE id = %s AND facts IS NOT NULL"
        return seconds_until(lambda: bool(self.panel.rows(found, network)), within, lambda: f"{network} was not found")

    def _ask(self, path: str, fields: dict[str, str] | None = None) -> UUID:
        """Posts a form and gives the change whose page it leads to."""
        where = self.browser.post(path, fields or {})
        return UUID(where.rstrip("/").rpartition("/")[2])


def seconds_until(
    condition: Callable[[], bool],
    within: float,
    otherwise: Callable[[], str] = lambda: "it is not so",
    *,
    every: float = 0.05,
) -> float:
    """Asks `every` so many seconds; AssertionError with what `otherwise` says when it is not so after `within`."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within, f"{otherwise()} after {within:g} s"
        time.sleep(every)
    return time.monotonic() - begun
