"""A host that is restarted, and what a test asks of it: its network, its files, and the agent's work on it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass, field

from lab import Lab
from lab.disk_machine import DiskMachine
from lab.system_container import SystemContainer
from virtnet.actions import AnyAction

# Imported and compiled by an emulated processor, the agent needs its time.
AGENT_SECONDS = 400.0
CONFIRM_SECONDS = 900  # of the agent's window: nothing here waits for its end
CONFIGURATION = "/etc/network /etc/systemd/network /etc/netplan /etc/NetworkManager/system-connections"
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

    def begin(self, action: AnyAction) -> None:
        """The agent begins, in a unit of its own; it may come to wait for the word that the change stays."""
        path = self.machine.give("action.json", action.model_dump_json())
        self.machine.run(
            "systemctl reset-failed agent.service 2>/dev/null; rm -f /run/agent.log; "
            f"systemd-run --quiet --unit=agent --setenv=KVMAGENT_CONFIRM_SECONDS={CONFIRM_SECONDS} "
            f"--property=StandardOutput=file:/run/agent.log --property=StandardError=file:/run/agent.log "
            f"kvmagent apply {path}"
        )

    def await_change(self) -> None:
        """Until the change is made and waits."""
        self.machine.await_true("grep -q 'kvmagent keep' /run/agent.log", AGENT_SECONDS)

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

    def await_address(self, link: str, timeout: float = 120) -> None:
        self.machine.await_true(f"ip -4 -o address show dev {link} | grep -q 'scope global'", timeout)


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
