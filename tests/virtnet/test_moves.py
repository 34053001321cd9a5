"""The move of what a link carries, and which changes are at risk: the lines, and what the preview shows of them."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface, ip_network

import pytest

from tests.virtnet.samples import BRIDGE, OFFICE, OTHER, host, host_with, link, network, office
from virtnet import guarding, moves
from virtnet.actions import DefineNetwork, UndefineNetwork, UpdateNetwork
from virtnet.facts import HostFacts
from virtnet.link_facts import Link, Route, Rule
from virtnet.modes.bridge import Bridge
from virtnet.moves import Address, Carried
from virtnet.plan import plan

CARRIED = Carried(
    link="eth0",
    addresses=(
        Address("10.0.0.5/24 brd 10.0.0.255", False),
        Address("10.0.0.6/24 label eth0:1", False),
        Address("2001:db8::5/64", True),
    ),
    routes=("0.0.0.0/0 via 10.0.0.1 dev eth0 proto static metric 50", "2001:db8::/64 dev eth0 proto kernel metric 256"),
    rules=((4, "priority 90 from all iif eth0 lookup 77"),),
    neighbours=("10.0.0.1 lladdr 52:54:00:00:00:01 nud stale",),
)
OVER_ETH0 = Bridge(name="office", bridge="br1", uplink="eth0")


def test_into_a_bridge_the_addresses_come_first_and_leave_the_uplink_last() -> None:
    assert moves.into_bridge(CARRIED, "br0") == [
        "address replace 10.0.0.5/24 brd 10.0.0.255 dev br0",
        "address replace 10.0.0.6/24 label br0:1 dev br0",
        "address replace 2001:db8::5/64 dev br0 nodad",
        "neighbour replace 10.0.0.1 lladdr 52:54:00:00:00:01 nud stale dev br0",
        "link set dev eth0 master br0",
        "route append 0.0.0.0/0 via 10.0.0.1 dev br0 proto static metric 50",
        "route delete 0.0.0.0/0 via 10.0.0.1 dev eth0 proto static metric 50",
        "route append 2001:db8::/64 dev br0 proto kernel metric 256",
        "route delete 2001:db8::/64 dev eth0 proto kernel metric 256",
        "address delete 2001:db8::5/64 dev eth0",
        "address delete 10.0.0.6/24 dev eth0",
        "address delete 10.0.0.5/24 dev eth0",
        "address change 2001:db8::5/64 dev br0",
    ]


def test_out_of_a_bridge_the_uplink_leaves_it_once_all_packets_go_by_the_uplink() -> None:
    lines = moves.out_of_bridge(Carried(**{**CARRIED.__dict__, "link": "br0"}), "eth0")
    leaves = lines.index("link set dev eth0 nomaster")
    assert all(line.split()[:2] != ["route", "append"] for line in lines[leaves:])
    assert all(line.split()[:2] != ["address", "delete"] for line in lines[:leaves])
    assert lines[-1] == "link delete dev br0"


def test_rules_that_name_the_link_name_the_other() -> None:
    assert moves.rules_of(CARRIED, "br0") == {
        4: [
            "rule add priority 90 from all iif br0 lookup 77",
            "rule delete priority 90 from all iif eth0 lookup 77",
        ],
        6: [],
    }


def test_only_the_link_is_renamed_never_a_word_that_happens_to_be_the_same() -> None:
    route = "10.9.0.0/16 nexthop via 10.0.0.1 dev eth0 weight 1 nexthop via 10.1.0.1 dev eth1 weight 1"
    assert moves.renamed(route, "eth0", "br0") == route.replace("eth0", "br0")
    assert moves.renamed("10.9.0.0/16 dev static proto static", "static", "br0") == "10.9.0.0/16 dev br0 proto static"


def test_a_route_that_a_router_announced_stands_behind_the_one_that_the_kernel_makes_again() -> None:
    route = "::/0 via fe80::1 dev eth0 proto ra metric 1024 expires 1700 pref medium"
    assert moves.handed_over(route) == route.replace("1024", "1025")
    assert moves.handed_over(CARRIED.routes[0]) == CARRIED.routes[0]


def texts(action: DefineNetwork | UndefineNetwork | UpdateNetwork, facts: HostFacts) -> list[str]:
    return [str(verb.text) for verb in plan(action, facts)]


def test_the_preview_of_a_bridge_over_the_host_s_own_uplink_arms_moves_and_waits() -> None:
    (arms, makes, sets_up, moves_in, _, waits, *rest) = plan(DefineNetwork(network=OFFICE, spec=OVER_ETH0), host())
    assert str(arms.text) == (
        "Arm the guard: unless the change is confirmed in time, it puts eth0, br1 back as it is now. "
        "eth0 holds this host's address 10.0.0.5/24, 2001:db8::5/64."
    )
    assert makes.command.startswith("ip link add name br1")
    assert sets_up.command == "ip link set br1 up"
    assert moves_in.document.splitlines()[:3] == [
        "address replace 10.0.0.5/24 dev br1",
        "address replace 2001:db8::5/64 dev br1 nodad",
        "link set dev eth0 master br1",
    ]
    assert "route append 0.0.0.0/0 via 10.0.0.1 dev br1" in moves_in.document
    assert "a person says that it stays" in str(waits.text)
    # What lasts, and libvirt's part, come after the confirmation.
    assert [verb.command.split()[0] for verb in rest] == ["networkctl", "virsh", "virsh", "virsh"]


def test_the_preview_of_a_free_uplink_arms_nothing() -> None:
    told = texts(DefineNetwork(network=OFFICE, spec=BRIDGE), host())
    assert not [sentence for sentence in told if "guard" in sentence or "Wait" in sentence]


def moved(*more: Link, **about: object) -> HostFacts:
    """The host once br1 has taken over what eth0 carried."""
    eth0 = host().link("eth0")
    assert eth0 is not None
    bridge = link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth0", addresses=eth0.addresses)
    routes = tuple(route.model_copy(update={"dev": "br1"}) for route in host().routes)
    return host_with(bridge, link("eth0", master="br1"), *more, routes=routes, way_to_panel="br1", **about)


def test_taking_the_host_s_own_bridge_away_is_guarded_too_and_comes_before_libvirt_s_part() -> None:
    facts = moved(networks=(office(OVER_ETH0),))
    arms, moves_out, waits, *rest = plan(UndefineNetwork(network=OFFICE, spec=OVER_ETH0), facts)
    assert "it puts br1, eth0 back" in str(arms.text)
    assert moves_out.document.splitlines()[-1] == "link delete dev br1"
    assert "Wait" in str(waits.text)
    assert [verb.command.split()[1] for verb in rest] == ["net-destroy", "net-undefine"]


def test_a_bridge_that_stays_for_others_is_not_at_risk() -> None:
    facts = moved(networks=(office(OVER_ETH0), network("second", "bridge", bridge="br1", uuid=OTHER)))
    told = texts(UndefineNetwork(network=OFFICE, spec=OVER_ETH0), facts)
    assert [sentence for sentence in told if "guard" in sentence] == []


def test_an_update_of_a_network_on_it_moves_nothing_and_asks_nobody() -> None:
    told = texts(UpdateNetwork(network=OFFICE, spec=OVER_ETH0), moved(networks=(office(OVER_ETH0),)))
    assert [sentence for sentence in told if "guard" in sentence or "Wait" in sentence] == []


WITH_ADDRESS = host_with(link("eth1", addresses=(IPv4Interface("10.8.0.1/24"),)))
WITH_ROUTE = host(routes=(Route(dst=ip_network("10.9.0.0/16"), dev="eth1", table=7),))
WITH_RULE = host(rules=(Rule(version=4, priority=9, selector="", table=7, oif="eth1"),))


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (host(way_to_panel="eth1"), "eth1 carries the way to the panel."),
        (WITH_ADDRESS, "eth1 holds this host's address 10.8.0.1/24."),
        (host(routes=(Route(dst=ip_network("::/0"), dev="eth1"),)), "eth1 carries this host's default route."),
        (WITH_ROUTE, "eth1 carries routes of this host."),
        (WITH_RULE, "Policy rules of this host name eth1."),
    ],
)
def test_a_link_that_carries_something_of_the_host_is_at_risk(facts: HostFacts, why: str) -> None:
    assert str(guarding.why_risky(facts, ("eth1",))) == why


def test_a_link_with_its_own_link_local_address_alone_is_not_at_risk() -> None:
    facts = host(routes=(*host().routes, Route(dst=ip_network("fe80::/64"), dev="eth1")))
    assert guarding.why_risky(facts, ("eth1", "gone0")) is None


def test_the_facts_tell_what_a_link_carries() -> None:
    rules = (
        Rule(version=4, priority=90, selector="from all iif eth0", table=77, iif="eth0"),
        Rule(version=6, priority=91, selector="from all iif eth1", table=77, iif="eth1"),
    )
    found = host(rules=rules)
    eth0 = found.link("eth0")
    assert eth0 is not None
    carried = moves.carried_on(found, eth0)
    assert [address.words for address in carried.addresses] == ["10.0.0.5/24", "2001:db8::5/64"]
    assert carried.routes == ("10.0.0.0/24 dev eth0", "2001:db8::/64 dev eth0", "0.0.0.0/0 via 10.0.0.1 dev eth0")
    assert carried.rules == ((4, "priority 90 from all iif eth0 lookup 77"),)
    assert not moves.carried_on(host(), link("eth1", addresses=(IPv6Interface("fe80::6/64"),)))
    assert IPv4Interface("10.0.0.5/24") in eth0.addresses


def test_a_route_that_a_gateway_needs_comes_before_the_gateway_s() -> None:
    shown = (
        "0.0.0.0/0 via 10.0.0.1 dev eth0",
        "10.0.0.0/24 dev eth0 proto kernel",
        "10.9.0.0/16 via 10.0.0.9 dev eth0",
    )
    assert moves.on_link_first(shown) == (shown[1], shown[0], shown[2])
