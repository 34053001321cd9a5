"""What somebody has changed on the host is said, and nothing is said of what is as the panel made it."""

from __future__ import annotations

import pytest

from tests.virtnet.samples import BRIDGE, CASES, NAT, OFFICE, host, host_with, link, office
from virtnet.drift import drift
from virtnet.facts import Filtering, HostFacts
from virtnet.modes.bridge import Bridge
from virtnet.spec import NetworkSpec

TWO = BRIDGE.model_copy(update={"second_uplink": "eth2", "stp": True})


def found(spec: NetworkSpec, **about: object) -> HostFacts:
    """A host on which `spec` is as it was made, but for what is said about it."""
    network = office(spec).model_copy(update={"xml": spec.libvirt_xml(OFFICE)})
    bridge = {"kind": "bridge", "up": True, "made_for": OFFICE.uuid, "made_with": "eth1", "stp": False}
    return host_with(link("br1", **bridge), link("eth1", master="br1"), networks=(network,), **about)


def said(spec: NetworkSpec, facts: HostFacts) -> list[str]:
    return [str(one.text) for one in drift(spec, OFFICE, facts)]


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("bridge")])
def test_nothing_is_said_of_a_network_that_is_as_it_was_made(case: str) -> None:
    assert said(CASES[case], found(CASES[case])) == []


def test_nothing_is_said_of_a_bridge_that_is_as_it_was_made() -> None:
    assert said(BRIDGE, found(BRIDGE)) == []


def test_a_document_that_another_tool_has_changed_is_told_with_the_way_back() -> None:
    facts = found(NAT)
    (network,) = facts.networks
    edited = network.model_copy(update={"xml": network.xml.replace("virbr1", "virbr9")})
    (problem,) = drift(NAT, OFFICE, facts.model_copy(update={"networks": (edited,)}))
    assert str(problem.text) == "Another tool has changed libvirt's document of office."
    assert "Edit the network and update it" in str(problem.fix)


def test_what_libvirt_adds_to_a_document_is_no_change() -> None:
    facts = found(NAT)
    (network,) = facts.networks
    with_mac = network.model_copy(
        update={"xml": network.xml.replace("</network>", "<mac address='52:54:00:0:0:1'/></network>")}
    )
    assert said(NAT, facts.model_copy(update={"networks": (with_mac,)})) == []


def test_rules_that_somebody_flushed_are_told_of_the_networks_that_need_them() -> None:
    flushed = Filtering(rules_in_force=False)
    (sentence,) = said(NAT, found(NAT, filtering=flushed))
    assert "somebody has flushed or changed them" in sentence
    assert said(CASES["macvtap-bridge"], found(CASES["macvtap-bridge"], filtering=flushed)) == []
    assert said(NAT, found(NAT, filtering=Filtering(rules_in_force=True))) == []


@pytest.mark.parametrize(
    ("bridge", "uplinks", "sentences"),
    [
        ({"up": False}, {}, ["The bridge br1 is down."]),
        ({}, {"eth1": None}, ["eth1 is no port of br1 any more."]),
        ({}, {"eth2": None}, ["eth2 is no port of br1 any more."]),
        ({"stp": False}, {}, ["br1 has no STP, and was made with it."]),
        ({"forward_delay": 4.0}, {}, ["The forward delay of br1 is 4 s, and was made 15 s."]),
        ({}, {}, []),
    ],
)
def test_a_bridge_of_which_something_was_changed_by_hand_is_told(
    bridge: dict[str, object], uplinks: dict[str, str | None], sentences: list[str]
) -> None:
    made = {"kind": "bridge", "up": True, "made_for": OFFICE.uuid, "made_with": "eth1", "made_with_second": "eth2"}
    br1 = link("br1", **(made | {"stp": True, "forward_delay": 15.0} | bridge))
    ports = [link(name, master=uplinks.get(name, "br1")) for name in ("eth1", "eth2")]
    facts = host_with(br1, *ports, networks=found(TWO).networks)
    assert said(TWO, facts) == sentences
    # Updating the network mends it: nothing stands in its way.
    assert TWO.problems(facts, OFFICE) == []


def test_stp_that_somebody_turned_on_is_told() -> None:
    facts = found(BRIDGE)
    br1 = facts.link("br1")
    assert br1 is not None
    links = tuple(br1.model_copy(update={"stp": True}) if one.name == "br1" else one for one in facts.links)
    assert said(BRIDGE, facts.model_copy(update={"links": links})) == ["br1 has STP, and was made without it."]


def test_a_bridge_that_is_gone_is_told_and_one_of_others_may_be_as_it_likes() -> None:
    gone = found(BRIDGE)
    without = gone.model_copy(update={"links": tuple(one for one in gone.links if one.name != "br1")})
    assert said(BRIDGE, without) == ["The bridge br1 is gone."]
    on_br0 = Bridge(name="office", bridge="br0")
    network = office(on_br0).model_copy(update={"xml": on_br0.libvirt_xml(OFFICE)})
    facts = host_with(link("br0", kind="bridge", up=True, stp=True, forward_delay=15.0), networks=(network,))
    assert said(on_br0, facts) == []


def test_a_network_that_is_gone_is_said_elsewhere() -> None:
    assert said(NAT, host()) == []
