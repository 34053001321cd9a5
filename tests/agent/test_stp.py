"""Two cables of one host into one switch: STP keeps them from being a loop, and the host is reached all the time.

The first uplink carries the host, and is its only way; without STP the same two cables are a storm.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.cabled_host import IPV4, CabledHost, needs_root, wait_until

pytestmark = pytest.mark.timeout(120)

FORWARDING, BLOCKING = "forwarding", "blocking"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CabledHost]:
    needs_root()
    with CabledHost(tmp_path, seconds=3, cables=2) as host:
        yield host


def ports(host: CabledHost, where: str = "") -> dict[str, str]:
    """Port -> its state in the spanning tree."""
    shown = json.loads(host.run(["bridge", "-j", "link", "show"], where=where))
    return {port["ifname"]: port["state"] for port in shown}


def broadcasts(host: CabledHost, seconds: float) -> int:
    """How many packets come by the first cable while the LAN asks once for nobody."""

    def seen() -> int:
        (shown,) = json.loads(host.run(["ip", "-j", "-s", "link", "show", "eth0"]))
        return int(shown["stats64"]["rx"]["packets"])

    before = seen()
    host.run(["ping", "-c1", "-W1", "10.9.0.200"], where=host.lan, check=False)
    time.sleep(seconds)
    return seen() - before


def stp(host: CabledHost) -> tuple[int, int]:
    (shown,) = json.loads(host.run(["ip", "-j", "-d", "link", "show", "br0"]))
    about = shown["linkinfo"]["info_data"]
    return about["stp_state"], about["forward_delay"]


@pytest.mark.quiet
def test_a_loop_of_two_cables_is_blocked_and_the_host_is_reached_all_the_time(host: CabledHost) -> None:
    before = host.snapshot()
    with host.probe() as probes:
        assert host.outcome("make", "--two") == "applied"
        # By then a second port that did not hear the bridge's own BPDUs would forward.
        wait_until(lambda: ports(host) == {"eth0": FORWARDING, "eth1": BLOCKING})
    print(f"{probes.lost} of {probes.sent} probes lost")
    assert ports(host) == {"eth0": FORWARDING, "eth1": BLOCKING}
    assert stp(host) == (1, 200)
    assert probes.lost == 0, probes.told
    assert probes.sessions_held
    assert broadcasts(host, seconds=3) < 200
    assert ports(host) == {"eth0": FORWARDING, "eth1": BLOCKING}
    assert host.outcome("remove", "--two") == "applied"
    assert host.differences(before) == []


@pytest.mark.quiet
def test_without_stp_the_same_two_cables_are_a_storm(host: CabledHost) -> None:
    host.run(["ip", "link", "add", "loop0", "type", "bridge", "stp_state", "0", "forward_delay", "0"])
    for link in ("eth0", "eth1"):
        host.run(["ip", "link", "set", link, "up", "master", "loop0"])
    try:
        host.run(["ip", "link", "set", "loop0", "up"])
        assert broadcasts(host, seconds=0.3) > 1000
    finally:
        host.run(["ip", "link", "delete", "loop0"])


@pytest.mark.waits
@pytest.mark.parametrize("what", ["make", "remove"])
@pytest.mark.parametrize("verdict", ["undo", "never"])
def test_without_a_good_word_all_is_as_before(tmp_path: Path, what: str, verdict: str) -> None:
    needs_root()
    with CabledHost(tmp_path, seconds=3, cables=2) as host:
        if what == "remove":
            assert host.outcome("make", "--two") == "applied"
        before = host.snapshot()
        with host.probe() as probes:
            assert host.outcome(what, "--two", "--verdict", verdict) == "undone"
        assert host.differences(before) == []
        assert probes.sessions_held
        assert host.is_reached()


@pytest.mark.quiet
def test_the_second_cable_comes_and_goes_again_while_the_host_is_reached(host: CabledHost) -> None:
    assert host.outcome("make") == "applied"
    before = host.snapshot()
    with host.probe() as probes:
        assert host.outcome("change", "--two") == "applied"
        wait_until(lambda: ports(host) == {"eth0": FORWARDING, "eth1": BLOCKING})
        assert stp(host) == (1, 200)
        assert host.guard_outcome() == "kept"
        assert host.outcome("change", "--stp", "4") == "applied"
        assert (ports(host), stp(host)) == ({"eth0": FORWARDING}, (1, 400))
        assert host.outcome("change") == "applied"
    assert host.differences(before) == []
    assert probes.lost == 0, probes.told
    assert probes.sessions_held
    plan = (host.state / "guard" / "plan.json").read_bytes()
    assert host.outcome("change") == "applied"
    assert (host.state / "guard" / "plan.json").read_bytes() == plan  # nothing was to be changed, so no guard was armed


def test_who_knows_the_host_by_the_second_cable_is_told_of_the_bridge_when_that_joins(host: CabledHost) -> None:
    assert host.outcome("make") == "applied"
    host.run(["ip", "link", "set", "eth1", "up"])
    macs = {one["ifname"]: one["address"] for one in json.loads(host.run(["ip", "-j", "link", "show"]))}
    learned = ["ip", "neighbour", "replace", IPV4, "lladdr", macs["eth1"], "nud", "reachable", "dev", "eth0"]
    host.run(learned, where=host.lan)
    assert host.outcome("change", "--two") == "applied"
    (known,) = json.loads(host.run(["ip", "-j", "neighbour", "show", IPV4], where=host.lan))
    assert known["lladdr"] == macs["br0"] != macs["eth1"]


@pytest.mark.waits
def test_a_window_under_stp_is_longer_than_the_usual_and_than_the_time_that_a_port_is_mute(host: CabledHost) -> None:
    assert host.outcome("make", "--two", "--verdict", "undo") == "undone"
    plan = json.loads((host.state / "guard" / "plan.json").read_text())
    outcome = json.loads((host.state / "guard" / "outcome.json").read_text())
    assert plan["deadline"] - outcome["at"] > 40


@pytest.mark.waits
def test_the_second_cable_takes_over_when_the_first_fails(host: CabledHost) -> None:
    assert host.outcome("make", "--two") == "applied"
    wait_until(lambda: ports(host) == {"eth0": FORWARDING, "eth1": BLOCKING})
    host.run(["ip", "link", "set", "br0", "type", "bridge", "max_age", "600"])  # s/100, else 20 s
    host.run(["ip", "link", "set", "port0", "down"], where=host.lan)
    seconds = wait_until(host.is_reached, 30)
    print(f"reached by the second cable after {seconds:.1f} s")
    assert ports(host)["eth1"] == FORWARDING


@pytest.mark.waits
def test_where_the_switch_is_the_root_its_delay_is_in_force_and_the_bridge_s_own_is_known(host: CabledHost) -> None:
    host.run(["ip", "link", "set", "eth0", "type", "bridge", "forward_delay", "400", "stp_state", "1"], where=host.lan)
    host.run(["ip", "link", "set", "eth0", "type", "bridge", "priority", "0"], where=host.lan)
    assert host.outcome("make", "--two") == "applied"
    wait_until(lambda: stp(host) == (1, 400), 15)
    assert host.snapshot()["br0", "stp"] == "on forward_delay 2 hello_time 2 max_age 20"
    wait_until(lambda: ports(host)["eth0"] == FORWARDING, 15)
    wait_until(lambda: BLOCKING in {*ports(host).values(), *ports(host, where=host.lan).values()}, 15)
