"""Making and taking away a bridge in a network namespace, and that nothing else of the host changes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from kvmagent import bridges, links, snapshot
from kvmagent.bridge_mark import Found, Mark
from kvmagent.guard_verbs import GuardVerbs, NobodyConfirms
from kvmagent.host import VerbFailed
from kvmagent.link_verbs import LinkVerbs
from kvmagent.snapshot import Snapshot
from kvmagent.steps import Steps
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.messages import Step
from virtnet.refs import NetworkRef
from virtnet.text import text

pytestmark = [pytest.mark.waits, pytest.mark.usefixtures("own_network")]

LAN = NetworkRef(uuid=UUID("00000000-0000-4000-8000-00000000000a"), name="lan")
OTHER = NetworkRef(uuid=UUID("00000000-0000-4000-8000-00000000000b"), name="other")
DEFINED = NetworkFacts(name="lan", uuid=LAN.uuid, active=True, mode="bridge", bridge="br0")
DAD = Path("/proc/sys/net/ipv6/conf/default/dad_transmits")


@pytest.fixture(autouse=True)
def _addresses_are_proved_at_once(own_network: None) -> None:
    DAD.write_text("0")


class Host:
    """The link verbs on this namespace, with what libvirt would tell."""

    def __init__(self, *networks: NetworkFacts, libvirt_error: str = "") -> None:
        error = text(libvirt_error) if libvirt_error else None
        self.told: list[Step] = []
        self.steps = Steps(self.told.append)

        def facts() -> HostFacts:
            return HostFacts(links=links.read_links(), networks=networks, libvirt_error=error)

        self.verbs = LinkVerbs(self.steps, facts, GuardVerbs(self.steps, facts, NobodyConfirms()))

    def make(self, uplink: str | None = "e0", network: NetworkRef = LAN) -> None:
        """The verbs of the mode Bridge."""
        self.verbs.add_bridge("br0", network, uplink)
        if uplink is not None:
            self.verbs.set_master(uplink, "br0")
            self.verbs.set_up(uplink)
        self.verbs.set_up("br0")

    def undo(self) -> bool:
        undone = self.steps.undo()
        return self.verbs.compare_with_before() and undone

    def outcomes(self) -> list[str]:
        return [step.outcome for step in self.told]


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def link(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ip("-j", "-d", "link", "show", name))[0]
    return found


def cable(name: str = "e0", *, up: bool) -> None:
    """A link with a cable to a switch, whose end is called peer-NAME."""
    ip("link", "add", name, "mtu", "1400", "type", "veth", "peer", "name", f"peer-{name}")
    Path(f"/proc/sys/net/ipv6/conf/peer-{name}/disable_ipv6").write_text("1")  # a switch has no addresses
    ip("link", "set", f"peer-{name}", "up")
    ip("link", "set", "lo", "up")
    if up:
        ip("link", "set", name, "up")
        wait_until(lambda: proved(name))


def proved(name: str) -> bool:
    """Whether the link has its link-local address, and the kernel has found nobody else with it."""
    shown = ip("-6", "address", "show", name)
    return "fe80::" in shown and "tentative" not in shown


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def differences(before: Snapshot) -> list[str]:
    """Once the kernel has proved all addresses."""
    wait_until(lambda: "tentative" not in ip("-6", "address"))
    return [str(difference) for difference in snapshot.differences(before, snapshot.take())]


def test_the_bridge_has_the_uplink_s_mac_and_mtu_and_forwards_at_once() -> None:
    cable(up=True)
    host = Host()
    host.make()
    made, uplink = link("br0"), link("e0")
    assert (made["address"], made["mtu"]) == (uplink["address"], 1400)
    assert (made["linkinfo"]["info_data"]["stp_state"], made["linkinfo"]["info_data"]["forward_delay"]) == (0, 0)
    assert (uplink["master"], links.is_up("br0"), links.is_up("e0")) == ("br0", True, True)
    assert host.outcomes() == ["done", "done", "already-so", "done"]
    found = {one.name: one for one in links.read_links()}["br0"]
    assert (found.made_for, found.made_with) == (LAN.uuid, "e0")


def test_the_bridge_keeps_its_mac_when_a_tap_with_a_lower_one_joins() -> None:
    cable(up=True)
    Host().make()
    mac = link("br0")["address"]
    ip("link", "add", "tap0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "guest0")
    ip("link", "set", "tap0", "master", "br0")
    assert link("br0")["address"] == mac


def test_a_port_has_no_ipv6_address_of_its_own() -> None:
    DAD.write_text("1")
    cable(up=True)
    Host().make()
    wait_until(lambda: proved("br0"))  # the same MAC: it would find the port's address in its way
    assert ip("-6", "address", "show", "e0") == ""


def test_a_bridge_without_an_uplink_is_one_of_its_own() -> None:
    host = Host()
    host.make(None)
    assert links.is_up("br0")
    assert bridges.mark("br0") == Mark(LAN.uuid)
    assert host.undo()
    assert links.kind("br0") is None


def test_twice_is_once() -> None:
    cable(up=True)
    Host().make()
    wait_until(lambda: proved("br0"))
    before = snapshot.take()
    again = Host(DEFINED)
    again.make()
    assert again.outcomes() == ["already-so"] * 4
    assert again.undo()
    assert differences(before) == []


@pytest.mark.parametrize("up", [True, False])
def test_undo_leaves_everything_as_it_was(up: bool) -> None:
    cable(up=up)
    before = snapshot.take()
    host = Host()
    host.make()
    assert differences(before)
    assert host.undo()
    assert differences(before) == []


@pytest.mark.parametrize("up", [True, False])
def test_removal_by_another_order_leaves_everything_as_it_was_and_its_undo_brings_it_back(up: bool) -> None:
    cable(up=up)
    before = snapshot.take()
    Host().make()
    wait_until(lambda: proved("br0"))
    ip("link", "set", "br0", "type", "bridge", "ageing_time", "12300", "hello_time", "100", "max_age", "1200")
    ip("link", "set", "e0", "type", "bridge_slave", "cost", "77", "hairpin", "on")
    made = snapshot.take()
    host = Host(DEFINED)
    host.verbs.delete_bridge("br0", LAN)
    assert host.outcomes() == ["done"]
    assert differences(before) == []
    assert host.undo()
    assert differences(made) == []


def test_a_bridge_of_others_is_used_and_never_changed() -> None:
    cable(up=True)
    cable("e5", up=True)
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "set", "br0", "up")
    ip("link", "set", "e0", "master", "br0")
    wait_until(lambda: "tentative" not in ip("-6", "address"))
    before = snapshot.take()
    host = Host()
    host.make()
    with pytest.raises(VerbFailed, match="its ports stay as they are"):
        host.verbs.set_master("e5", "br0")
    host.verbs.delete_bridge("br0", LAN)
    assert host.outcomes() == ["already-so"] * 4 + ["failed", "already-so"]
    assert str(host.told[-1].detail) == "br0 stays: the panel did not make it."
    assert host.undo()
    assert differences(before) == []


def test_a_link_of_that_name_is_no_bridge() -> None:
    cable(up=True)
    with pytest.raises(VerbFailed, match="e0 is a link, but no bridge"):
        Host().verbs.add_bridge("e0", LAN, None)


def test_an_uplink_that_is_gone_is_named_and_nothing_is_made() -> None:
    before = snapshot.take()
    with pytest.raises(VerbFailed, match="no link e7"):
        Host().verbs.add_bridge("br0", LAN, "e7")
    assert differences(before) == []


def test_it_stays_while_another_network_stands_on_it_and_goes_with_the_last() -> None:
    cable(up=True)
    before = snapshot.take()
    Host().make()
    other = NetworkFacts(name="other", uuid=OTHER.uuid, active=True, mode="bridge", bridge="br0")
    first = Host(DEFINED, other)
    first.verbs.delete_bridge("br0", LAN)
    assert first.outcomes() == ["already-so"]
    assert str(first.told[0].detail) == "br0 stays: other stands on it."
    last = Host(other)
    last.verbs.delete_bridge("br0", OTHER)
    assert last.outcomes() == ["done"]
    assert differences(before) == []


def test_it_stays_while_a_foreign_port_hangs_on_it() -> None:
    cable(up=True)
    Host().make()
    ip("link", "add", "c0", "type", "veth", "peer", "name", "container0")
    ip("link", "set", "c0", "master", "br0")
    host = Host(DEFINED)
    host.verbs.delete_bridge("br0", LAN)
    assert str(host.told[0].detail) == "br0 stays: c0 stands on it."
    assert link("e0")["master"] == "br0"


def test_it_is_not_taken_away_while_libvirt_does_not_say_who_uses_it() -> None:
    Host().make(None)
    with pytest.raises(VerbFailed, match="libvirtd is down"):
        Host(libvirt_error="libvirtd is down.").verbs.delete_bridge("br0", LAN)
    assert links.kind("br0") == "bridge"


def test_an_uplink_that_was_moved_elsewhere_meanwhile_is_left_there() -> None:
    cable(up=True)
    Host().make()
    ip("link", "add", "br9", "type", "bridge")
    ip("link", "set", "e0", "master", "br9")
    host = Host(DEFINED)
    host.verbs.delete_bridge("br0", LAN)
    assert (links.kind("br0"), link("e0")["master"]) == (None, "br9")


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("verbs_done", [1, 2, 3])
def test_a_try_that_was_killed_is_finished_or_taken_back_by_the_next(verbs_done: int, up: bool) -> None:
    cable(up=up)
    before = snapshot.take()

    def killed() -> None:
        first = Host().verbs
        first.add_bridge("br0", LAN, "e0")
        if verbs_done > 1:
            first.set_master("e0", "br0")
        if verbs_done > 2:
            first.set_up("e0")

    killed()
    second = Host()
    second.make()
    assert second.undo()
    assert differences(before) == []
    killed()
    Host().make()
    Host(DEFINED).verbs.delete_bridge("br0", LAN)
    assert differences(before) == []


def test_a_bridge_that_never_got_its_mark_is_removed_by_the_next() -> None:
    ip("link", "add", bridges.UNMARKED, "type", "bridge")
    Host().make(None)
    assert links.kind(bridges.UNMARKED) is None


def test_an_undo_that_leaves_the_host_otherwise_is_told_with_the_difference() -> None:
    cable(up=True)
    host = Host()
    host.make()
    ip("link", "set", "e0", "mtu", "1300")
    assert not host.undo()
    assert host.outcomes()[-1] == "undo-failed"
    said = str(host.told[-1].detail)
    assert said.startswith("e0 link was mac ")
    assert "mtu 1400" in said.split(" and is now ")[0]
    assert "mtu 1300" in said.split(" and is now ")[1]


def test_what_others_do_meanwhile_to_other_links_is_no_failed_undo() -> None:
    cable(up=True)
    host = Host()
    host.make()
    ip("link", "add", "vnet9", "type", "veth", "peer", "name", "guest9")
    assert host.undo()


@pytest.mark.parametrize(
    "alias",
    ["", "uplink to rack 3", "kvmpanel", "kvmpanel:", "kvmpanel:me", f"kvmpanel:{LAN.uuid}:e0", f"x:{LAN.uuid}"],
)
def test_an_alias_of_others_is_no_mark(alias: str) -> None:
    assert Mark.read(alias) is None


@pytest.mark.parametrize(
    "mark",
    [
        Mark(LAN.uuid),
        Mark(LAN.uuid, (Found("e0", True, False),)),
        Mark(LAN.uuid, (Found("e0.5", False, True), Found("e1", True, True))),
    ],
)
def test_a_mark_reads_back_the_same(mark: Mark) -> None:
    assert Mark.read(mark.alias()) == mark
