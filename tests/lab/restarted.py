"""A host that is restarted, and what a test asks of it: its network, its files, and the agent's work on it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from uuid import UUID

from lab import Lab
from lab.disk_machine import DiskMachine
from lab.inner_guest import InnerGuest, Lease
from lab.network_owners import Owner
from lab.system_container import SystemContainer
from virtnet.actions import AnyAction, DefineNetwork
from virtnet.modes.bridge import Bridge
from virtnet.refs import NetworkRef

SUBNET = IPv4Network("10.79.0.0/24")
STATIC = "10.79.0.50/24"
OWNERS: tuple[Owner, ...] = ("networkd", "ifupdown", "netplan", "networkmanager")
REF = NetworkRef(uuid=UUID("11111111-2222-4333-8444-555555555555"), name="lan")
SPEC = Bridge(name="lan", bridge="br0", uplink="eth0")
DEFINE = DefineNetwork(network=REF, spec=SPEC)

# Imported and compiled by an emulated processor, the agent needs its time.
AGENT_SECONDS = 400.0
CONFIRM_SECONDS = 900  # of the agent's window: nothing here waits for its end
CONFIGURATION = "/etc/network /etc/systemd/network /etc/netplan /etc/NetworkManager/system-connections"
# One that has failed stays until it is forgotten, and is not forgotten while it ends.
GONE = "until [ $(systemctl show --value --property=LoadState agent.service) = not-found ]; do "
GONE += "systemctl reset-failed agent.service 2>/dev/null; sleep 0.1; done"
PORTS = "ip -o link show master br0 | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/'"


@dataclass(frozen=True)
class Network:
    """As iproute2 shows it: link -> IPv4 addresses; IPv4 routes without their metrics."""

    addresses: dict[str, list[str]] = field(default_factory=dict)
    routes: list[str] = field(default_factory=list)


@dataclass
class Restarted:
    lab: Lab
    machine: DiskMachine | SystemContainer

    def network(self) -> Network:
        found = json.loads(self.machine.run("ip -j -4 address show up"))
        addresses = {
            link["ifname"]: [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]] for link in found
        }
        # networkd makes the connected route of a lease anew when it takes it over, and leaves its metric out.
        routes = [re.sub(r" metric \d+", "", line).strip() for line in self.machine.run("ip -4 route").splitlines()]
        return Network({name: held for name, held in addresses.items() if held and name != "lo"}, sorted(routes))

    def files(self) -> str:
        """Digest, mode and name of each file of the host's configuration, and the directories."""
        return self.machine.run(
            f"find {CONFIGURATION} -printf '%m %U %p\\n' 2>/dev/null | sort; "
            f"find {CONFIGURATION} -type f 2>/dev/null | sort | xargs sha256sum"
        )

    def kept(self) -> list[str]:
        """What the agent has on the disk of bridges, now and for the next start."""
        return self.machine.run(
            "find /var/lib/kvmagent/bridges -type f -name '*.json' 2>/dev/null", check=False
        ).split()

    def begin(self, action: AnyAction, apply: str = "kvmagent apply") -> None:
        """The agent begins, in a unit of its own; it may come to wait for the word that the change stays.

        apply: another command that ends with the action's file."""
        path = self.machine.give("action.json", action.model_dump_json())
        self.machine.run(
            f"{GONE}; rm -f /run/agent.log; "
            f"systemd-run --quiet --unit=agent --setenv=KVMAGENT_CONFIRM_SECONDS={CONFIRM_SECONDS} "
            f"--property=StandardOutput=file:/run/agent.log --property=StandardError=file:/run/agent.log "
            f"{apply} {path}"
        )

    def await_change(self) -> None:
        """Until the change is made and waits."""
        over = "! systemctl is-active --quiet agent.service"
        self.machine.await_true(f"grep -q 'kvmagent keep' /run/agent.log || {over}", AGENT_SECONDS)
        said = self.machine.read("/run/agent.log")
        assert "kvmagent keep" in said, said

    def keep(self) -> None:
        """The word, given over a new connection: what `kvmagent keep` says."""
        self.machine.run("kvmagent keep", AGENT_SECONDS)

    def await_end(self, outcome: str = "applied.") -> str:
        """What the agent said, once it is done. outcome: its last word."""
        self.machine.await_true("! systemctl is-active --quiet agent.service", AGENT_SECONDS)
        said = self.machine.read("/run/agent.log")
        assert said.rstrip().endswith(outcome), said
        return said

    def answers(self, address: str) -> bool:
        """Whether the panel's machine reaches it."""
        ping = self.lab.panel.run(["ping", "-c", "3", "-i", "0.2", "-W", "5", address], check=False, timeout=30)
        return ping.returncode == 0

    def await_answer(self, address: str, timeout: float = 60) -> None:
        """A bridge with STP forwards only after a while."""
        deadline = time.monotonic() + timeout
        while not self.answers(address):
            assert time.monotonic() < deadline, f"{address} does not answer"

    def await_network(self, *wanted: Network, timeout: float = 120) -> None:
        """One of these: an owner sets addresses, then routes, some moments after the start."""
        deadline = time.monotonic() + timeout
        while (found := self.network()) not in wanted:
            assert time.monotonic() < deadline, f"{found} after {timeout:g} s, not {wanted}"
            time.sleep(0.5)

    def stays(self, *wanted: Network) -> None:
        """It is one of these, once its owner says that there is nothing more to come: NetworkManager's bridge has its
        addresses some seconds after its card has."""
        self.machine.run("! systemctl is-active --quiet NetworkManager || nm-online -q -s -t 100", 120)
        found = self.network()
        assert found in wanted, f"{found}, not {wanted}"

    def await_guest(self, guest: InnerGuest, before: Lease | None, timeout: float) -> Lease:
        """Until it is back by itself: a port of the bridge beside the uplink, and it has asked the LAN for a lease and
        got one. before: its last lease from before the start."""
        lease = guest.await_lease(before, timeout)
        assert self.machine.run("virsh list --name").split() == [guest.name]
        assert self.machine.run(PORTS).split() == [SPEC.uplink, "vnet0"]
        return lease

    def await_address(self, link: str, timeout: float = 120) -> None:
        self.machine.await_true(f"ip -4 -o address show dev {link} | grep -q 'scope global'", timeout)


@contextmanager
def started(lab: Lab, machine: DiskMachine | SystemContainer) -> Iterator[Restarted]:
    with machine:
        host = Restarted(lab, machine)
        try:
            host.await_address("eth0")
            yield host
        except BaseException:
            print(last_words(host))
            raise


def on_the_bridge(former: Network) -> Network:
    return Network(
        {"br0": former.addresses["eth0"]}, sorted(route.replace("dev eth0", "dev br0") for route in former.routes)
    )


def last_words(host: Restarted) -> str:
    """For a test that failed."""
    try:
        return host.machine.run(
            "cat /run/agent.log; ip -d address; ip route; networkctl list --no-pager; nmcli device; "
            "journalctl -b --no-pager -n 80 -o short-monotonic",
            check=False,
        )
    except (OSError, TimeoutError, subprocess.CalledProcessError) as error:
        return f"it does not answer any more: {error}"
