from __future__ import annotations

from ipaddress import IPv4Interface

from tests.virtnet.samples import HOST_ONLY, OFFICE, host, host_with, link, network, office, said


def test_nothing_stands_in_the_way_on_a_free_host() -> None:
    assert HOST_ONLY.problems(host(), OFFICE) == []


def test_it_refuses_what_is_taken_each_beside_its_field() -> None:
    facts = host_with(
        link("virbr1", kind="bridge", addresses=(IPv4Interface("192.168.77.1/24"),)),
        networks=(network("office", "nat", bridge="virbr9"),),
    )
    assert said(HOST_ONLY.problems(facts, OFFICE)) == [
        ("name", "This host has a network office already."),
        ("bridge", "This host has a link virbr1 already."),
        ("host_address", "192.168.77.0/24 overlaps 192.168.77.0/24 of the host's link virbr1."),
    ]


def test_a_public_range_is_noted_beside_its_field() -> None:
    spec = HOST_ONLY.model_copy(update={"host_address": IPv4Interface("8.8.8.1/24")})
    assert [note.field for note in spec.notes(host(), OFFICE)] == ["host_address"]
    assert HOST_ONLY.notes(host(), OFFICE) == []


def test_it_is_never_in_its_own_way() -> None:
    facts = host_with(
        link("virbr1", kind="bridge", addresses=(IPv4Interface("192.168.77.1/24"),)), networks=(office(HOST_ONLY),)
    )
    assert HOST_ONLY.problems(facts, OFFICE) == []


def test_who_reaches_whom() -> None:
    assert {cell: answer.reachable for cell, answer in HOST_ONLY.reachability().rows()} == {
        "guest_to_internet": "no",
        "guest_to_host": "yes",
        "guest_to_lan": "no",
        "lan_to_guest": "no",
        "guest_to_guest": "yes",
    }


def test_its_rules_let_nothing_out() -> None:
    assert HOST_ONLY.firewall_rules().masquerade is False
