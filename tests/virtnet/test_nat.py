from __future__ import annotations

from ipaddress import IPv4Interface

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import NAT, OFFICE, OTHER, host, host_with, link, network, office, said
from virtnet.facts import HostFacts
from virtnet.modes.nat import Nat

TAKEN = network("lab", "nat", bridge="virbr1", subnets=(IPv4Interface("192.168.77.129/25"),))


def test_nothing_stands_in_the_way_on_a_free_host() -> None:
    assert NAT.problems(host(), OFFICE) == []


def test_it_refuses_a_name_that_another_network_has() -> None:
    facts = host(networks=(network("office", "bridge"),))
    assert said(NAT.problems(facts, OFFICE)) == [("name", "This host has a network office already.")]


def test_it_refuses_another_network_s_bridge_and_subnet() -> None:
    assert said(NAT.problems(host(networks=(TAKEN,)), OFFICE)) == [
        ("bridge", "virbr1 is the bridge of the network lab."),
        ("gateway", "192.168.77.0/24 overlaps 192.168.77.128/25 of the network lab."),
    ]


def test_it_refuses_the_name_of_a_link_for_its_bridge() -> None:
    facts = host_with(link("virbr1", kind="dummy"))
    assert said(NAT.problems(facts, OFFICE)) == [("bridge", "This host has a link virbr1 already.")]


def test_it_refuses_the_host_s_own_subnet() -> None:
    spec = NAT.model_copy(update={"gateway": IPv4Interface("10.0.0.1/8")})
    assert said(spec.problems(host(), OFFICE)) == [
        ("gateway", "10.0.0.0/8 overlaps 10.0.0.0/24 of the host's link eth0.")
    ]


def test_it_is_never_in_its_own_way() -> None:
    facts = host_with(
        link("virbr1", kind="bridge", addresses=(IPv4Interface("192.168.77.1/24"),)), networks=(office(NAT),)
    )
    assert NAT.problems(facts, OFFICE) == []


def test_a_public_range_is_noted_and_stands_in_nobody_s_way() -> None:
    spec = NAT.model_copy(update={"gateway": IPv4Interface("8.8.8.1/24")})
    assert spec.problems(host(), OFFICE) == []
    assert said(spec.notes(host(), OFFICE)) == [
        (
            "gateway",
            "8.8.8.0/24 is a public range: guests do not reach the machines on the Internet that have these addresses.",
        )
    ]


@pytest.mark.parametrize("gateway", ["192.168.77.1/24", "10.9.0.1/16", "172.16.0.1/12", "100.64.0.1/24"])
def test_a_private_range_needs_no_note(gateway: str) -> None:
    assert NAT.model_copy(update={"gateway": IPv4Interface(gateway)}).notes(host(), OFFICE) == []


def test_each_problem_has_a_remedy() -> None:
    facts = host_with(networks=(TAKEN, network("office", "nat", uuid=OTHER)))
    found = NAT.problems(facts, OFFICE)
    assert len(found) == 3
    assert all(problem.fix is not None for problem in found)


def test_it_works_over_wi_fi_and_on_a_host_that_told_nothing() -> None:
    assert NAT.problems(HostFacts(), OFFICE) == []


def test_who_reaches_whom() -> None:
    assert {cell: answer.reachable for cell, answer in NAT.reachability().rows()} == {
        "guest_to_internet": "yes",
        "guest_to_host": "yes",
        "guest_to_lan": "yes",
        "lan_to_guest": "no",
        "guest_to_guest": "yes",
    }


def test_its_rules_hide_its_own_subnet_behind_the_host() -> None:
    assert NAT.firewall_rules().model_dump(mode="json") == {
        "bridge": "virbr1",
        "subnet": "192.168.77.0/24",
        "masquerade": True,
    }


@pytest.mark.parametrize("gateway", ["192.168.77.1", "192.168.77.0/24", "2001:db8::1/64", "127.0.0.1/24", "x"])
def test_it_refuses_a_gateway_that_is_none(gateway: str) -> None:
    with pytest.raises(ValidationError):
        Nat.model_validate({"name": "office", "bridge": "virbr1", "gateway": gateway})
