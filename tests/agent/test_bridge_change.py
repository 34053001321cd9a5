"""A bridge that the panel made is changed: a second uplink comes or goes, STP and its forward delay; and back again.

That no packet is lost meanwhile is in test_stp.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.cabled_host import CabledHost, needs_root, wait_until
from tests.agent.test_stp import BLOCKING, FORWARDING, ports

SOAK = os.environ.get("KVMPANEL_SOAK") == "1"

pytestmark = [pytest.mark.waits, pytest.mark.timeout(120)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CabledHost]:
    needs_root()
    with CabledHost(tmp_path, seconds=3, cables=2) as host:
        yield host


# (as it is, as it is to be)
CHANGES = {
    "a second cable": ([], ["--two"]),
    "no second cable any more": (["--two"], []),
}
if SOAK:
    CHANGES["another delay"] = (["--two"], ["--two", "--stp", "4"])


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_that_is_taken_back_leaves_the_bridge_as_it_was(host: CabledHost, what: str) -> None:
    former, wanted = CHANGES[what]
    assert host.outcome("make", *former) == "applied"
    if former:
        wait_until(lambda: ports(host) == {"eth0": FORWARDING, "eth1": BLOCKING})
    before = host.snapshot()
    assert host.outcome("change", *wanted, "--verdict", "undo") == "undone"
    assert host.differences(before) == []
    assert host.is_reached()
    assert host.guard_outcome() == "restored"
    if former:
        wait_until(lambda: ports(host) == {"eth0": FORWARDING, "eth1": BLOCKING})


if SOAK:

    def test_a_blocked_first_cable_forwards_at_once_when_the_second_goes_with_stp(host: CabledHost) -> None:
        lan_s = ["ip", "link", "set", "eth0", "type", "bridge"]
        host.run([*lan_s, "forward_delay", "200", "stp_state", "1", "priority", "0"], where=host.lan)
        host.run(["ip", "link", "set", "port1", "type", "bridge_slave", "priority", "1"], where=host.lan)
        assert host.outcome("make", "--two", "--stp", "2") == "applied"
        wait_until(lambda: ports(host) == {"eth0": BLOCKING, "eth1": FORWARDING}, 40)
        host.run([*lan_s, "stp_state", "0"], where=host.lan)
        assert host.outcome("change") == "applied"
        assert ports(host) == {"eth0": FORWARDING}


STAYS = [("--stp", "2")] if SOAK else []  # STP


@pytest.mark.parametrize("wanted", [(), *STAYS])
def test_a_first_cable_that_was_the_worse_one_forgets_it_when_the_second_goes(
    host: CabledHost, wanted: tuple[str, ...]
) -> None:
    assert host.outcome("make", "--two") == "applied"
    host.run(["ip", "link", "set", "eth1", "type", "bridge_slave", "priority", "1"])  # as after a host's start
    wait_until(lambda: ports(host) == {"eth0": BLOCKING, "eth1": FORWARDING}, 30)
    before = host.snapshot()
    assert host.outcome("change", *wanted, "--verdict", "undo") == "undone"
    assert host.differences(before) == []
    wait_until(lambda: ports(host) == {"eth0": BLOCKING, "eth1": FORWARDING}, 30)
    assert host.outcome("change", *wanted) == "applied"
    wait_until(lambda: ports(host) == {"eth0": FORWARDING}, 12)  # far less than the 20 s until what it heard is too old
    assert host.is_reached()


def test_an_agent_that_was_killed_goes_on_with_the_change_in_the_same_window(host: CabledHost) -> None:
    assert host.outcome("make") == "applied"
    assert host.change("change", "--two", "--kill", "17", "--owner", "the order") == []  # the second cable is in
    plan = (host.state / "guard" / "plan.json").read_bytes()
    assert host.outcome("change", "--two", "--owner", "the order") == "applied"
    assert (host.state / "guard" / "plan.json").read_bytes() == plan
    assert host.guard_outcome() == "kept"
    wait_until(lambda: ports(host) == {"eth0": FORWARDING, "eth1": BLOCKING})
    assert host.is_reached()


if SOAK:

    @pytest.mark.parametrize("point", range(1, 25))
    @pytest.mark.parametrize("what", ["a second cable", "no second cable any more"])
    def test_killed_at_any_point_the_bridge_is_the_old_or_the_new_one(host: CabledHost, what: str, point: int) -> None:
        former, wanted = CHANGES[what]
        assert host.outcome("make", *former) == "applied"
        before = host.snapshot()
        assert host.change("change", *wanted, "--kill", str(point)) == []
        assert host.is_reached()
        wait_until(host.guard_is_over, 50)
        assert host.is_reached()
        kept = (host.state / "guard" / "outcome.json").exists() and host.guard_outcome() == "kept"
        assert (host.differences(before) != []) == kept


def test_a_bridge_that_carries_nothing_is_changed_without_a_guard_and_back(host: CabledHost) -> None:
    host.run(["ip", "link", "set", "nowhere0", "up"])
    assert host.outcome("make", "--uplink", "spare0") == "applied"
    wait_until(lambda: has_proved_its_own_address(host, "br0"))
    before = host.snapshot()
    assert host.outcome("change", "--uplink", "spare0", "--two") == "applied"
    assert host.snapshot()["eth1", "link"].find("master br0") > 0
    assert host.outcome("change", "--uplink", "spare0") == "applied"
    assert host.differences(before) == []
    assert not (host.state / "guard" / "plan.json").exists()


def has_proved_its_own_address(host: CabledHost, link: str) -> bool:
    said = host.run(["ip", "-6", "address", "show", "dev", link])
    return "fe80::" in said and "tentative" not in said


def mtus(host: CabledHost) -> dict[str, int]:
    return {one["ifname"]: one["mtu"] for one in json.loads(host.run(["ip", "-j", "link"]))}


@pytest.fixture
def jumbo_lan(host: CabledHost) -> CabledHost:
    """Where the LAN takes such packets, and the bridge has a guest's tap."""
    for link in ("port0", "port1", "eth0"):
        host.run(["ip", "link", "set", link, "mtu", "9000"], where=host.lan)
    assert host.outcome("make") == "applied"
    host.run(["ip", "tuntap", "add", "vnet7", "mode", "tap"])
    host.run(["ip", "link", "set", "vnet7", "master", "br0", "up"])
    return host


def test_bridge_uplink_and_tap_get_another_mtu_and_the_uplink_its_own_again(jumbo_lan: CabledHost) -> None:
    host = jumbo_lan
    assert host.outcome("change", "--mtu", "9000") == "applied"
    assert [mtus(host)[name] for name in ("br0", "eth0", "vnet7")] == [9000] * 3
    assert host.run(["ping", "-c1", "-W2", "-Mdo", "-s", "8972", "10.9.0.1"]).find(" 0% packet loss") > 0
    lower = host.snapshot()
    assert host.outcome("change", "--mtu", "1400", "--verdict", "undo") == "undone"
    assert host.differences(lower) == []
    assert host.outcome("change", "--mtu", "1400") == "applied"
    assert [mtus(host)[name] for name in ("br0", "eth0", "vnet7")] == [1400] * 3
    host.run(["ip", "link", "delete", "vnet7"])
    assert host.outcome("remove") == "applied"
    assert mtus(host)["eth0"] == 1500


def test_another_mtu_is_taken_back_by_the_guard_alone_from_the_tap_too(jumbo_lan: CabledHost) -> None:
    host = jumbo_lan
    before = host.snapshot()
    assert host.outcome("change", "--mtu", "9000", "--verdict", "undo") == "undone"
    assert host.differences(before) == []
    assert host.change("change", "--mtu", "9000", "--kill", "16") == []  # it is set
    assert mtus(host)["vnet7"] == 9000
    wait_until(host.guard_is_over)
    assert host.differences(before) == []
