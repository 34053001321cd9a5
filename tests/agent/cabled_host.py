"""A host at the end of a cable: two network namespaces, and at the other end the rest of its LAN.

The host's eth0 has several addresses, IPv4 and IPv6, routes of several kinds and tables, policy rules, a permanent
neighbour, and a server that answers probes. `spare0` is a second link whose cable leads nowhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from pyroute2 import netns

from kvmagent import snapshot
from kvmagent.snapshot import Snapshot

ROOT = Path(__file__).parents[2]
IPV4, IPV6 = "10.9.0.2", "2001:db8::2"

LAN = """
link add eth0 netns {host} type veth peer name eth0 netns {lan}
-n {lan} address add 10.9.0.1/24 dev eth0
-n {lan} address add 2001:db8::1/64 dev eth0 nodad
-n {lan} link set eth0 up
-n {lan} link set lo up
"""
# The host's two cables lead into one switch, which is the LAN's own link eth0 too.
SWITCH = """
link add eth0 netns {host} type veth peer name port0 netns {lan}
link add eth1 netns {host} type veth peer name port1 netns {lan}
-n {lan} link add eth0 type bridge stp_state 0 forward_delay 0
-n {lan} link set port0 master eth0 up
-n {lan} link set port1 master eth0 up
-n {lan} address add 10.9.0.1/24 dev eth0
-n {lan} address add 2001:db8::1/64 dev eth0 nodad
-n {lan} link set eth0 up
-n {lan} link set lo up
"""
HOST = """
link add spare0 type veth peer name nowhere0
link set spare0 up
link set lo up
address add 10.9.0.2/24 brd + dev eth0
address add 10.9.0.3/24 brd + dev eth0 label eth0:1
address add 10.8.0.2/24 dev eth0 noprefixroute
link set eth0 up
-6 address add 2001:db8::2/64 dev eth0 nodad
-6 address change 2001:db8::2/64 dev eth0
-6 address add 2001:db8:0:7::2/64 dev eth0 noprefixroute nodad
-6 address change 2001:db8:0:7::2/64 dev eth0 noprefixroute
route add default via 10.9.0.1 proto static metric 50 mtu lock 1400
route add 10.20.0.0/16 via 10.9.0.1 src 10.9.0.3 onlink dev eth0
route add 10.21.0.0/16 nexthop via 10.9.0.1 weight 2 nexthop via 10.9.0.9
route add 10.8.0.0/24 dev eth0 proto kernel scope link src 10.8.0.2 metric 100
route add default via 10.9.0.7 table 77 dev eth0
rule add from 10.9.0.3 lookup 77
rule add iif eth0 fwmark 7 lookup 77
-6 rule add iif eth0 lookup 77
-6 route add default via 2001:db8::1 dev eth0 metric 100
-6 route add 2001:db8:9::/64 via fe80::1 dev eth0 metric 300 mtu 1400
neighbour add 10.9.0.77 lladdr 52:54:00:00:00:07 dev eth0
"""


class CabledHost:
    """`with CabledHost(directory) as host: …`. directory: for the agent's state. seconds: of the window. cables: 1,
    or 2 into one switch; the host's end of the second, eth1, is down and carries nothing."""

    def __init__(self, directory: Path, *, seconds: float = 3.0, cables: int = 1) -> None:
        self._cabling = LAN if cables == 1 else SWITCH
        self.name = f"kh{os.getpid()}{next(_numbers)}"
        self.lan = f"{self.name}l"
        self.state = directory / "state"
        self.environment = {
            **os.environ,
            "KVMAGENT_STATE": str(self.state),
            "KVMAGENT_CONFIRM_SECONDS": str(seconds),
        }
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> CabledHost:
        for namespace in (self.name, self.lan):
            subprocess.run(["ip", "netns", "add", namespace], check=True)
        try:
            for line in self._cabling.format(host=self.name, lan=self.lan).split("\n"):
                self._ip(line)
            for line in HOST.split("\n"):
                self._ip(f"-n {self.name} {line}" if line else "")
            self._server = self.start([sys.executable, "-m", "tests.agent.packets", "echo"])
            wait_until(lambda: "tentative" not in self.run(["ip", "-6", "address"]))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def run(self, command: list[str], *, where: str = "", check: bool = True) -> str:
        """What a command on the host (or in the namespace `where`) prints."""
        inside = ["ip", "netns", "exec", where or self.name, *command]
        done = subprocess.run(
            inside, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, command: list[str], *, where: str = "") -> subprocess.Popen[str]:
        """A program that has said "ready"."""
        inside = ["ip", "netns", "exec", where or self.name, *command]
        process = subprocess.Popen(inside, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        return process

    def change(self, *arguments: str) -> list[dict[str, Any]]:
        """The outcomes of `python -m tests.agent.change …`; none when it was killed."""
        told = self.run([sys.executable, "-m", "tests.agent.change", *arguments], check=False)
        return [json.loads(line) for line in told.splitlines() if line.startswith("{")]

    def outcome(self, *arguments: str) -> str:
        (told,) = self.change(*arguments)
        return str(told["outcome"])

    def snapshot(self) -> Snapshot:
        """Of its network: in a thread, which alone enters the namespace and ends there. /sys would be another's."""

        def taken() -> Snapshot:
            netns.setns(self.name)
            return snapshot.take()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(taken).result()

    def differences(self, before: Snapshot) -> list[str]:
        return [str(difference) for difference in snapshot.differences(before, self.snapshot())]

    def probe(self) -> Probes:
        return Probes(self)

    def is_reached(self) -> bool:
        """By somebody who has forgotten all about it: one ping each, IPv4 and IPv6."""
        self.forget_neighbours(self.lan, "eth0")
        return all(
            self.run(["ping", "-c1", "-W1", "-q", address], where=self.lan, check=False).find(" 0% packet loss") > 0
            for address in (IPV4, IPV6)
        )

    def forget_neighbours(self, where: str, *links: str) -> None:
        for link in links:
            self.run(["ip", "neighbour", "flush", "dev", link], where=where, check=False)

    def guard_is_over(self) -> bool:
        return not (self.state / "guard" / "guard.sock").exists()

    def guard_was_late(self) -> float:
        """Seconds from the deadline until all was back."""
        plan, outcome = (
            json.loads((self.state / "guard" / name).read_text()) for name in ("plan.json", "outcome.json")
        )
        return float(outcome["at"] - plan["deadline"])

    def guard_outcome(self) -> str:
        return str(json.loads((self.state / "guard" / "outcome.json").read_text())["state"])

    def pids(self, namespace: str = "") -> list[int]:
        """Of all that runs on the host, or in the namespace."""
        command = ["ip", "netns", "pids", namespace or self.name]
        return [int(pid) for pid in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()]

    def _ip(self, line: str) -> None:
        if line.strip():
            subprocess.run(["ip", *line.split()], check=True)

    def _remove(self) -> None:
        for namespace in (self.name, self.lan):
            for pid in self.pids(namespace):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            subprocess.run(["ip", "netns", "delete", namespace], check=False)
        if self._server is not None:
            self._server.wait()


class Probes:
    """Probes each 5 ms over IPv4 and IPv6, and a TCP session over each, during the `with`; afterwards what was lost."""

    def __init__(self, host: CabledHost) -> None:
        self._host = host
        self._running: list[subprocess.Popen[str]] = []
        self.told: list[dict[str, Any]] = []

    @property
    def sent(self) -> int:
        return sum(one.get("sent", 0) for one in self.told)

    @property
    def lost(self) -> int:
        return sum(one.get("lost", 0) for one in self.told)

    @property
    def sessions_held(self) -> bool:
        return all(one.get("held", True) for one in self.told)

    def __enter__(self) -> Probes:
        for what in ("probe", "session"):
            for address in (IPV4, IPV6):
                command = [sys.executable, "-m", "tests.agent.packets", what, address]
                self._running.append(self._host.start(command, where=self._host.lan))
        time.sleep(0.2)  # so that the first packets are not those of the change
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            said, _ = process.communicate(timeout=60)
            self.told.append(json.loads(said))


def needs_root() -> None:
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("a network namespace needs root")
        pytest.skip("a network namespace needs root")


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> float:
    """How long it took. Raises AssertionError."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - begun


def _count() -> Any:
    number = 0
    while True:
        number += 1
        yield number


_numbers = _count()
