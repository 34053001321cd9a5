"""What the form foresees of links, addresses, routes and rules is what the kernel has after the change."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.cabled_host import CabledHost, needs_root, wait_until
from tests.agent.change import LAN, spec
from virtnet.actions import Action, DefineNetwork, UndefineNetwork
from virtnet.facts import HostFacts
from virtnet.forecast import changed, forecast, listing

# name -> (what is added to the host before, the uplink, whether there is a second one)
UPLINKS: dict[str, tuple[list[str], str, bool]] = {
    "the host's own": ([], "eth0", False),
    "the host's own and a second": ([], "eth0", True),
    "free and down": ([], "eth1", False),
    "free and up": (["link set eth1 up"], "eth1", False),
    "with an address that leads nowhere else": (
        ["link set eth1 mtu 1400 up", "address add 192.0.2.5/24 dev eth1", "-6 address add 2001:db8:2::5/64 dev eth1"],
        "eth1",
        False,
    ),
    "none": ([], "", False),
}

pytestmark = pytest.mark.waits


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CabledHost]:
    needs_root()
    with CabledHost(tmp_path, seconds=30, cables=2) as host:
        yield host


def facts(host: CabledHost) -> HostFacts:
    return HostFacts.model_validate_json(host.run([sys.executable, "-m", "tests.agent.change", "facts"]))


@pytest.mark.parametrize("uplink", UPLINKS)
def test_what_is_foreseen_is_what_the_kernel_has(host: CabledHost, uplink: str) -> None:
    added, name, two = UPLINKS[uplink]
    for line in added:
        host.run(["ip", *line.split()])
    wait_until(lambda: "tentative" not in host.run(["ip", "-6", "address"]))
    options = ["--uplink", name, *(["--two"] if two else [])]
    wanted = spec(name, two=two)
    carried_out(host, DefineNetwork(network=LAN, spec=wanted), "make", *options)
    carried_out(host, UndefineNetwork(network=LAN, spec=wanted), "remove", *options)


def carried_out(host: CabledHost, action: Action, what: str, *options: str) -> None:
    before = facts(host)
    seen = forecast(action, before)
    assert host.outcome(what, *options) == "applied"
    wait_until(lambda: "tentative" not in host.run(["ip", "-6", "address"]))
    after = facts(host)
    names = changed(before, after)
    assert seen.before == plain(listing(before, names), seen.before)
    assert seen.after == plain(listing(after, names), seen.after)
    assert ("br0" in seen.after) == (what == "make")


def plain(found: str, foreseen: str) -> str:
    """Without the MAC address that the kernel draws for a bridge without an uplink: nobody foresees it."""
    if "link br0 type bridge mtu" not in foreseen:
        return found
    return re.sub(r"(link br0 type bridge) [0-9a-f:]{17}", r"\1", found)
