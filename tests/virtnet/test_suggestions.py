"""What a form offers for an empty field would work on the host."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from uuid import uuid4

import pytest

from virtnet import suggestions
from virtnet.configuration import LinkConfiguration
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.link_facts import Link, Route
from virtnet.modes import MODES
from virtnet.refs import NetworkRef


def network(name: str, *, bridge: str | None = None, subnet: str | None = None) -> NetworkFacts:
    subnets = (IPv4Interface(subnet),) if subnet else ()
    return NetworkFacts(name=name, uuid=uuid4(), active=True, mode="nat", bridge=bridge, subnets=subnets)


def test_a_name_that_is_taken_gets_a_number() -> None:
    facts = HostFacts(networks=(network("nat"), network("nat-2")))
    assert suggestions.free_name(facts, "nat") == "nat-3"
    assert suggestions.free_name(facts, "lan") == "lan"


def test_a_bridge_is_taken_by_a_link_or_by_a_network_that_does_not_run() -> None:
    facts = HostFacts(links=(Link(name="virbr1", index=1),), networks=(network("nat", bridge="virbr2"),))
    assert suggestions.free_bridge(facts) == "virbr3"


def test_a_bridge_of_the_hosts_own_comes_before_a_new_one() -> None:
    libvirts = network("default", bridge="virbr0", subnet="192.168.122.1/24")
    links = (Link(name="virbr0", index=1, kind="bridge"), Link(name="br7", index=2, kind="bridge"))
    assert suggestions.host_bridge(HostFacts(links=links, networks=(libvirts,))) == "br7"
    assert suggestions.host_bridge(HostFacts(links=links[:1], networks=(libvirts,))) == "br0"


def test_a_subnet_overlaps_no_link_no_network_and_no_route() -> None:
    facts = HostFacts(
        links=(Link(name="eth0", index=1, addresses=(IPv4Interface("192.168.100.9/24"),)),),
        networks=(network("nat", subnet="192.168.101.1/24"),),
        routes=(Route(dst=IPv4Network("192.168.102.0/23")), Route(dst=IPv4Network("0.0.0.0/0"))),
    )
    assert suggestions.free_subnet(facts) == IPv4Network("192.168.104.0/24")


def test_no_subnet_is_offered_when_all_are_taken() -> None:
    facts = HostFacts(routes=(Route(dst=IPv4Network("192.168.0.0/16")),))
    assert suggestions.free_subnet(facts) is None
    assert suggestions.served_subnet(facts, "gateway") == {}


@pytest.mark.parametrize("mode", ["nat", "host-only", "bridge"])
def test_what_is_suggested_is_a_spec_that_nothing_stands_in_the_way_of(mode: str) -> None:
    facts = HostFacts(
        links=(Link(name="eth0", index=1, addresses=(IPv4Interface("192.168.100.9/24"),)),),
        networks=(network("nat", bridge="virbr1", subnet="192.168.101.1/24"),),
        configurations=(LinkConfiguration(link="", owner="networkd"),),
    )
    spec = MODES[mode].model_validate(MODES[mode].suggest(facts))
    assert spec.problems(facts, NetworkRef(uuid=uuid4(), name=spec.name)) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_suggestion_names_fields_of_its_mode(mode: str) -> None:
    facts = HostFacts(links=(Link(name="eth0", index=1, totalvfs=8),), iommu=True)
    assert MODES[mode].suggest(facts).keys() <= MODES[mode].model_fields.keys()


@pytest.mark.parametrize("mode", MODES)
def test_the_examples_of_a_mode_are_of_that_mode_and_differ_in_title(mode: str) -> None:
    examples = MODES[mode].examples()
    assert {example.mode for example in examples} == {mode}
    assert len({str(example.title()) for example in examples}) == len(examples) >= 1
    assert all(str(example.effect()) for example in examples)
