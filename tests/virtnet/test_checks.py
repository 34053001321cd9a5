"""What may stand in the way of more than one mode."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Network, ip_interface

import pytest

from tests.virtnet.samples import OFFICE, OTHER, host, host_with, link, network, said
from virtnet import checks
from virtnet.facts import HostFacts
from virtnet.link_facts import Route

SUBNET = IPv4Network("192.168.77.0/24")


def overlaps(facts: HostFacts) -> list[tuple[str, str]]:
    return said(checks.subnet_overlaps(facts, OFFICE, SUBNET, field="gateway"))


def test_a_name_is_taken_by_another_network_and_not_by_itself() -> None:
    assert said(checks.name_is_taken(host(networks=(network("office", "nat"),)), OFFICE)) == [
        ("name", "This host has a network office already.")
    ]
    assert checks.name_is_taken(host(networks=(network("office", "nat", uuid=OFFICE.uuid),)), OFFICE) == []
    assert checks.name_is_taken(host(networks=(network("Office", "nat"),)), OFFICE) == []


def test_a_bridge_is_taken_by_another_network_even_while_its_link_is_not_there() -> None:
    facts = host(networks=(network("lab", "nat", bridge="virbr1"),))
    assert said(checks.bridge_is_taken(facts, OFFICE, "virbr1")) == [
        ("bridge", "virbr1 is the bridge of the network lab.")
    ]


def test_a_bridge_is_taken_by_any_link() -> None:
    assert said(checks.bridge_is_taken(host(), OFFICE, "eth0")) == [("bridge", "This host has a link eth0 already.")]


def test_its_own_bridge_is_not_taken() -> None:
    facts = host_with(
        link("virbr1", kind="bridge"), networks=(network("office", "nat", uuid=OFFICE.uuid, bridge="virbr1"),)
    )
    assert checks.bridge_is_taken(facts, OFFICE, "virbr1") == []
    assert [problem.field for problem in checks.bridge_is_taken(facts, OFFICE, "br0")] == ["bridge"]


@pytest.mark.parametrize("address", ["192.168.77.1/24", "192.168.77.130/25", "192.168.0.1/16", "192.168.77.5/32"])
def test_a_subnet_overlaps_another_network_s_larger_or_smaller_one(address: str) -> None:
    facts = host(networks=(network("lab", "nat", subnets=(ip_interface(address),)),))
    ((field, sentence),) = overlaps(facts)
    assert field == "gateway"
    assert sentence == f"192.168.77.0/24 overlaps {ip_interface(address).network} of the network lab."


@pytest.mark.parametrize("address", ["192.168.76.1/24", "192.168.78.1/23", "2001:db8::1/64", "::/0"])
def test_a_neighbouring_or_ipv6_subnet_does_not_overlap(address: str) -> None:
    facts = host_with(
        link("eth7", addresses=(ip_interface(address),)),
        networks=(network("lab", "nat", subnets=(ip_interface(address),)),),
    )
    assert overlaps(facts) == []


def test_a_subnet_overlaps_a_route_through_a_gateway_and_never_the_default_route() -> None:
    to_branch = Route(dst=IPv4Network("192.168.64.0/18"), dev="eth0")
    assert overlaps(host(routes=(*host().routes, to_branch))) == [
        ("gateway", "192.168.77.0/24 overlaps the host's route to 192.168.64.0/18.")
    ]
    assert overlaps(host()) == []


def test_one_overlap_is_told_once_though_network_link_and_route_all_have_it() -> None:
    address = IPv4Interface("192.168.77.1/24")
    facts = host_with(
        link("virbr5", kind="bridge", addresses=(address,)),
        networks=(network("lab", "nat", bridge="virbr5", subnets=(address,)),),
        routes=(Route(dst=address.network, dev="virbr5"),),
    )
    assert len(overlaps(facts)) == 1


def test_its_own_bridge_and_route_are_no_overlap() -> None:
    address = IPv4Interface("192.168.77.1/24")
    facts = host_with(
        link("virbr1", kind="bridge", addresses=(address,)),
        networks=(network("office", "nat", uuid=OFFICE.uuid, bridge="virbr1", subnets=(address,)),),
        routes=(Route(dst=address.network, dev="virbr1"),),
    )
    assert overlaps(facts) == []


def test_odd_facts_never_make_a_check_fail() -> None:
    facts = HostFacts(
        links=(
            link(".", kind="?"),
            link("../../etc", master="\n"),
            link("x" * 1000, addresses=(ip_interface("::1/0"),)),
        ),
        routes=(Route(dst=IPv6Network("::/0")), Route(dst=IPv4Network("0.0.0.0/0"), dev=None)),
        networks=(
            network("..", "open"),
            network("a\nb %(x)s", "", uuid=OTHER, subnets=(ip_interface("fe80::1%7/64"),), devs=("",)),
            network("😀", "route", bridge="", subnets=(IPv4Interface("0.0.0.0/0"),)),
        ),
    )
    assert checks.name_is_taken(facts, OFFICE) == []
    assert checks.bridge_is_taken(facts, OFFICE, "virbr1") == []
    assert overlaps(facts) == [("gateway", "192.168.77.0/24 overlaps 0.0.0.0/0 of the network 😀.")]
