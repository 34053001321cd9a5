"""Links, addresses and routes of a network namespace, and the verbs on them."""

import subprocess
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_interface
from uuid import UUID

import pytest

from kvmagent import bridge_move, carried, links, snapshot
from kvmagent.guard_verbs import GuardVerbs, NobodyConfirms
from kvmagent.host import LinuxHost, VerbFailed
from kvmagent.libvirt_connection import Libvirt
from kvmagent.link_verbs import LinkVerbs
from kvmagent.steps import Steps
from kvmagent.way_to_panel import link_to
from tests.agent.cabled_host import wait_until
from virtnet.facts import HostFacts
from virtnet.link_facts import Route, Rule
from virtnet.messages import Step
from virtnet.modes.bridge import Bridge
from virtnet.refs import NetworkRef

pytestmark = pytest.mark.usefixtures("own_network")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def verbs_here(steps: list[Step]) -> tuple[LinkVerbs, Steps]:
    kept = Steps(steps.append)
    return LinkVerbs(kept, HostFacts, GuardVerbs(kept, HostFacts, NobodyConfirms())), kept


def test_it_reads_kind_master_mac_mtu_and_addresses() -> None:
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "add", "e0", "address", "52:54:00:00:00:07", "mtu", "1400", "type", "veth", "peer", "name", "e1")
    ip("link", "set", "e0", "master", "br0", "up")
    ip("address", "add", "10.1.0.1/24", "dev", "br0")
    ip("address", "add", "fd00::1/64", "dev", "br0")
    found = {link.name: link for link in links.read_links()}
    assert (found["br0"].kind, found["br0"].up, found["br0"].master) == ("bridge", False, None)
    assert found["br0"].addresses == (ip_interface("10.1.0.1/24"), ip_interface("fd00::1/64"))
    port = found["e0"]
    assert (port.kind, port.master, port.mac, port.mtu, port.up) == ("veth", "br0", "52:54:00:00:00:07", 1400, True)
    assert found["lo"].kind == ""
    assert [link.index for link in links.read_links()] == sorted(link.index for link in links.read_links())


def test_it_reads_each_table_but_the_kernel_s_own_of_addresses() -> None:
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "set", "br0", "up")
    ip("address", "add", "10.1.0.1/24", "dev", "br0")
    ip("route", "add", "default", "via", "10.1.0.9", "metric", "50", "proto", "static", "src", "10.1.0.1")
    ip("route", "add", "10.9.0.0/16", "via", "10.1.0.9", "table", "99")
    ip("route", "add", "blackhole", "10.8.0.0/16")
    found = links.read_routes(links.read_links())
    ours = IPv4Address("10.1.0.1")
    assert found[0] == Route(
        dst=IPv4Network("0.0.0.0/0"),
        gateway=IPv4Address("10.1.0.9"),
        dev="br0",
        metric=50,
        proto="static",
        scope="global",
        prefsrc=ours,
    )
    connected = Route(dst=IPv4Network("10.1.0.0/24"), dev="br0", proto="kernel", scope="link", prefsrc=ours)
    assert connected in found
    assert IPv4Network("10.8.0.0/16") in [route.dst for route in found]
    assert [route.table for route in found if route.dst == IPv4Network("10.9.0.0/16")] == [99]
    assert not [route for route in found if route.table == 255]


def test_it_reads_the_rules_that_somebody_added() -> None:
    assert links.read_rules() == ()
    ip("rule", "add", "from", "10.1.0.0/24", "iif", "eth7", "fwmark", "7", "lookup", "99", "priority", "90")
    ip("-6", "rule", "add", "oif", "eth7", "lookup", "98", "priority", "91")
    first, second = links.read_rules()
    assert first == Rule(version=4, priority=90, selector="from 10.1.0.0/24 fwmark 0x7 iif eth7", table=99, iif="eth7")
    assert second == Rule(version=6, priority=91, selector="from all oif eth7", table=98, oif="eth7")


def test_it_tells_addresses_that_end_by_themselves_and_bridges_that_speak_stp() -> None:
    ip("link", "add", "br0", "type", "bridge", "stp_state", "1")
    ip("link", "add", "br1", "type", "bridge")
    ip("address", "add", "10.1.0.1/24", "dev", "br0")
    ip("address", "add", "10.2.0.1/24", "dev", "br0", "valid_lft", "900", "preferred_lft", "600")
    found = {link.name: link for link in links.read_links()}
    assert found["br0"].dynamic == (ip_interface("10.2.0.1/24"),)
    assert (found["br0"].stp, found["br1"].stp, found["lo"].stp) == (True, False, None)


def test_the_link_to_an_address_is_the_one_that_the_kernel_would_take() -> None:
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "set", "br0", "up")
    ip("address", "add", "10.1.0.1/24", "dev", "br0")
    assert link_to("10.1.0.7") == "br0"
    assert link_to("10.9.0.1") is None
    assert link_to("fd07::1") is None
    ip("-6", "route", "add", "fd07::/64", "dev", "br0")
    assert link_to("fd07::1") == "br0"


def test_a_route_of_two_paths_is_two() -> None:
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "set", "br0", "up")
    ip("address", "add", "10.1.0.1/24", "dev", "br0")
    ip("route", "add", "10.2.0.0/16", "nexthop", "via", "10.1.0.8", "nexthop", "via", "10.1.0.9")
    gateways = [
        route.gateway for route in links.read_routes(links.read_links()) if route.dst == IPv4Network("10.2.0.0/16")
    ]
    assert gateways == [IPv4Address("10.1.0.8"), IPv4Address("10.1.0.9")]


def test_ipv6_routes_are_there_too() -> None:
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "set", "br0", "up")
    ip("-6", "route", "add", "fd07::/64", "dev", "br0")
    assert IPv6Network("fd07::/64") in [route.dst for route in links.read_routes(links.read_links())]


def test_a_neighbour_is_found_by_its_mac_and_a_failed_one_is_not() -> None:
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "set", "br0", "up")
    ip("neighbour", "add", "10.1.0.5", "lladdr", "52:54:00:00:00:05", "dev", "br0")
    ip("neighbour", "add", "10.1.0.6", "lladdr", "52:54:00:00:00:06", "nud", "failed", "dev", "br0")
    assert links.read_neighbours() == {"52:54:00:00:00:05": [IPv4Address("10.1.0.5")]}


def test_set_up_sets_up_and_its_undo_sets_down() -> None:
    ip("link", "add", "e0", "type", "veth", "peer", "name", "e1")
    steps: list[Step] = []
    here, kept = verbs_here(steps)
    here.set_up("e0")
    assert links.is_up("e0")
    here.set_up("e0")
    assert kept.undo()
    assert here.compare_with_before()
    assert not links.is_up("e0")
    assert [step.outcome for step in steps] == ["done", "already-so", "undone"]


def test_a_link_that_is_not_there_is_named() -> None:
    steps: list[Step] = []
    with pytest.raises(VerbFailed, match="no link gone0"):
        verbs_here(steps)[0].set_up("gone0")
    assert [step.outcome for step in steps] == ["failed"]


def test_libvirt_s_test_driver_touches_no_link_of_this_kernel() -> None:
    ip("link", "add", "e0", "type", "veth", "peer", "name", "e1")
    before = snapshot.take()
    steps: list[Step] = []
    ref = NetworkRef(uuid=UUID(int=1, version=4), name="lan")
    Bridge(name="lan", bridge="br0", uplink="e0").apply(LinuxHost(Libvirt("test:///default"), steps.append), ref)
    assert [step.outcome for step in steps[:4]] == ["already-so"] * 4
    assert snapshot.differences(before, snapshot.take()) == []


def test_a_route_that_ends_by_itself_is_there_though_its_seconds_have_gone_on(own_network: None) -> None:
    for line in ("link add d0 type bridge", "link set d0 up", "-6 route add 2001:db8::/64 dev d0 expires 900"):
        subprocess.run(["ip", *line.split()], check=True)
    what = carried.read("d0")
    assert any(" expires " in route for route in what.routes)
    wait_until(lambda: carried.read("d0").routes != what.routes)
    assert bridge_move.why_not_moved(what, "d0") is None
    subprocess.run(["ip", "-6", "route", "delete", "2001:db8::/64", "dev", "d0"], check=True)
    assert bridge_move.why_not_moved(what, "d0") is not None
