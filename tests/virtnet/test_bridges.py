"""Bridges of the host: which uplink is free, what keeps its ports, and what keeps a bridge from being taken away."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

import pytest

from tests.virtnet.samples import BRIDGE, OFFICE, OTHER, WEB, host, host_with, link, network, office, said
from virtnet.bridges import why_it_stays
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts
from virtnet.link_facts import Link
from virtnet.modes.bridge import Bridge

STAYS = "br1 is there already, and its ports stay as they are."


def with_bridge(*more: Link, made_for: object = OFFICE.uuid, made_with: str = "eth1", **about: object) -> HostFacts:
    """br1 with eth1 as its port, made for the network office."""
    bridge = link("br1", kind="bridge", made_for=made_for, made_with=made_with)
    return host_with(bridge, link("eth1", master="br1"), *more, **about)


def test_a_vlan_belongs_to_what_made_it() -> None:
    facts = host_with(link("eth1.5", kind="vlan", parent="eth1"))
    (problem,) = Bridge(name="office", bridge="br1", uplink="eth1.5").problems(facts, OFFICE)
    assert (problem.field, str(problem.text)) == ("uplink", "eth1.5 is a VLAN of eth1.")
    assert "choose that bridge here" in str(problem.fix)


@pytest.mark.parametrize("kind", ["vlan", "macvlan", "ipvlan"])
def test_an_uplink_that_carries_other_links_is_not_free(kind: str) -> None:
    facts = host_with(link("above0", kind=kind, parent="eth1"))
    assert said(BRIDGE.problems(facts, OFFICE)) == [("uplink", "above0 stands on eth1.")]


def test_the_other_end_of_a_veth_does_not_stand_on_it() -> None:
    assert BRIDGE.problems(host_with(link("peer0", kind="veth", parent="eth1")), OFFICE) == []


def test_a_bridge_that_is_there_gets_no_new_port() -> None:
    assert said(BRIDGE.problems(host_with(link("br1", kind="bridge")), OFFICE)) == [("uplink", STAYS)]
    of_another = host_with(link("br1", kind="bridge", made_for=OTHER, made_with="eth1"))
    assert said(BRIDGE.problems(of_another, OFFICE)) == [("uplink", STAYS)]


def test_the_uplink_that_it_has_already_may_be_named() -> None:
    assert BRIDGE.problems(with_bridge(made_for=OTHER), OFFICE) == []


def test_a_try_that_was_interrupted_before_the_uplink_joined_may_go_on() -> None:
    facts = host_with(link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth1"))
    assert BRIDGE.problems(facts, OFFICE) == []


def test_a_second_uplink_is_refused_also_where_the_panel_made_the_bridge() -> None:
    second = Bridge(name="office", bridge="br1", uplink="eth3")
    assert said(second.problems(with_bridge(link("eth3"), networks=(office(BRIDGE),)), OFFICE)) == [("uplink", STAYS)]


def test_a_network_is_not_moved_to_another_bridge() -> None:
    moved = Bridge(name="office", bridge="br5")
    assert said(moved.problems(with_bridge(networks=(office(BRIDGE),)), OFFICE)) == [
        ("bridge", "The network office stands on the bridge br1.")
    ]


def test_a_bridge_that_is_gone_after_a_restart_may_be_made_again() -> None:
    assert BRIDGE.problems(host(networks=(office(BRIDGE),)), OFFICE) == []


def test_it_goes_when_the_panel_made_it_and_nobody_else_stands_on_it() -> None:
    assert why_it_stays(with_bridge(networks=(office(BRIDGE),)), "br1", OFFICE) is None
    made_for_another = with_bridge(made_for=OTHER, networks=(office(BRIDGE),))
    assert why_it_stays(made_for_another, "br1", OFFICE) is None


def test_it_stays_when_the_panel_did_not_make_it() -> None:
    facts = host_with(link("br1", kind="bridge"))
    assert str(why_it_stays(facts, "br1", OFFICE)) == "br1 stays: the panel did not make it."


def guest_on_the_bridge(card_type: str) -> DomainFacts:
    card = InterfaceFacts(mac="52:54:00:00:00:09", type=card_type, source="br1")
    return DomainFacts(name="web1", uuid=WEB.uuid, state="shut off", interfaces=(card,))


@pytest.mark.parametrize(
    ("facts", "user"),
    [
        (with_bridge(networks=(network("second", "bridge", bridge="br1"),)), "second"),
        (with_bridge(link("vnet3", kind="tun", master="br1")), "vnet3"),
        (with_bridge(link("eth3", master="br1")), "eth3"),
        (with_bridge(link("br1.5", kind="vlan", parent="br1")), "br1.5"),
        (with_bridge(domains=(guest_on_the_bridge("bridge"),)), "web1"),
    ],
)
def test_it_stays_while_another_stands_on_it(facts: HostFacts, user: str) -> None:
    assert str(why_it_stays(facts, "br1", OFFICE)) == f"br1 stays: {user} stands on it."


ADDRESSES = (IPv4Interface("10.8.0.1/24"), IPv6Interface("fe80::6/64"))


def test_it_stays_while_the_host_has_an_address_on_it_that_has_nowhere_to_go() -> None:
    bridge = link("br1", kind="bridge", made_for=OFFICE.uuid, addresses=ADDRESSES)
    assert str(why_it_stays(host_with(bridge), "br1", OFFICE)) == "br1 stays: 10.8.0.1/24 stands on it."
    former = link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth1", addresses=ADDRESSES)
    assert str(why_it_stays(host_with(former), "br1", OFFICE)) == "br1 stays: 10.8.0.1/24 stands on it."


def test_it_goes_with_the_host_s_address_on_it_which_its_uplink_takes_back() -> None:
    bridge = link("br1", kind="bridge", made_for=OFFICE.uuid, made_with="eth1", addresses=ADDRESSES)
    assert why_it_stays(host_with(bridge, link("eth1", master="br1")), "br1", OFFICE) is None


def test_a_network_that_happens_to_have_the_bridge_s_name_is_no_user() -> None:
    assert why_it_stays(with_bridge(domains=(guest_on_the_bridge("network"),)), "br1", OFFICE) is None
