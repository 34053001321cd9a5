from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from typing import get_args

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import CASES, MACVTAP, OFFICE, host, host_with, link, network, office, said
from virtnet.direct import SourceMode
from virtnet.facts import HostFacts, Route
from virtnet.modes.macvtap import Macvtap

SOURCE_MODES: tuple[SourceMode, ...] = get_args(SourceMode)
PASSTHROUGH = MACVTAP.model_copy(update={"source_mode": "passthrough"})


def on(uplink: str) -> Macvtap:
    return MACVTAP.model_copy(update={"uplink": uplink})


def test_there_are_four_source_modes_and_each_is_explained() -> None:
    assert set(SOURCE_MODES) == {"bridge", "vepa", "private", "passthrough"}
    assert set(Macvtap.source_modes) == set(SOURCE_MODES)


@pytest.mark.parametrize("source_mode", SOURCE_MODES)
def test_each_takes_a_free_uplink(source_mode: SourceMode) -> None:
    assert MACVTAP.model_copy(update={"source_mode": source_mode}).problems(host(), OFFICE) == []


@pytest.mark.parametrize("source_mode", ["bridge", "vepa", "private"])
def test_the_shared_modes_may_sit_on_the_host_s_own_way_out(source_mode: SourceMode) -> None:
    spec = MACVTAP.model_copy(update={"source_mode": source_mode, "uplink": "eth0"})
    assert spec.problems(host(), OFFICE) == []


@pytest.mark.parametrize(
    ("uplink", "sentence", "fix"),
    [
        ("eth9", "This host has no link eth9.", "Choose a link from the host's list."),
        (
            "wlan0",
            "wlan0 is a Wi-Fi link: its frames have 3 addresses, so the access point drops those of a guest with a MAC "
            "address of its own.",
            "Use a cable, or choose NAT.",
        ),
        ("eth2", "eth2 is a port of br0 already.", "Choose another link, or a Bridge network on br0."),
        ("lo", "lo leads to no LAN.", "Choose a network card, a bond or a VLAN."),
    ],
)
def test_it_refuses_an_uplink_and_says_why_and_what_to_do(uplink: str, sentence: str, fix: str) -> None:
    (problem,) = on(uplink).problems(host(), OFFICE)
    assert (problem.field, str(problem.text), str(problem.fix)) == ("uplink", sentence, fix)


def test_passthrough_refuses_the_link_of_the_default_route() -> None:
    (problem,) = PASSTHROUGH.model_copy(update={"uplink": "eth0"}).problems(host(), OFFICE)
    assert str(problem.text) == "eth0 carries this host's default route: a guest that owns it would cut the host off."
    assert str(problem.fix) == "Choose a link that the host does not use, or the source mode bridge."


def test_passthrough_refuses_a_link_that_holds_an_address_of_the_host() -> None:
    facts = host_with(link("eth1", addresses=(IPv4Interface("10.8.0.5/24"),)))
    assert said(PASSTHROUGH.problems(facts, OFFICE)) == [
        ("uplink", "eth1 holds this host's address 10.8.0.5/24, and passthrough gives the link to one guest.")
    ]
    assert MACVTAP.problems(facts, OFFICE) == []


def test_passthrough_refuses_a_link_that_serves_another_macvtap_network() -> None:
    xml = "<network><forward mode='bridge'><interface dev='eth1'/></forward></network>"
    facts = host(networks=(network("voip", "macvtap", devs=("eth1",), xml=xml),))
    assert said(PASSTHROUGH.problems(facts, OFFICE)) == [
        ("uplink", "eth1 serves the macvtap network voip, and passthrough needs a link for itself.")
    ]
    assert MACVTAP.problems(facts, OFFICE) == []


@pytest.mark.parametrize(
    ("xml", "fields"),
    [
        ("<network><forward mode='passthrough' dev='eth1'/></network>", ["uplink"]),
        ("<network><forward mode='vepa' dev='eth1'/></network>", []),
        ("<network><forward mode='passthrough'", []),
    ],
)
def test_a_link_in_passthrough_serves_no_other_network(xml: str, fields: list[str]) -> None:
    facts = host(networks=(network("voip", "macvtap", devs=("eth1",), xml=xml),))
    assert [problem.field for problem in MACVTAP.problems(facts, OFFICE)] == fields


def test_a_routed_network_over_the_link_is_not_in_its_way() -> None:
    assert PASSTHROUGH.problems(host(networks=(network("lab", "route", devs=("eth1",)),)), OFFICE) == []


def test_it_refuses_a_name_that_another_network_has() -> None:
    facts = host(networks=(network("office", "nat"),))
    assert said(MACVTAP.problems(facts, OFFICE)) == [("name", "This host has a network office already.")]


@pytest.mark.parametrize("source_mode", SOURCE_MODES)
def test_it_is_never_in_its_own_way(source_mode: SourceMode) -> None:
    spec = MACVTAP.model_copy(update={"source_mode": source_mode})
    assert spec.problems(host(networks=(office(spec),)), OFFICE) == []


def test_odd_facts_are_no_obstacle() -> None:
    facts = HostFacts(links=(link("eth1"), link("a\nb", master="../..")), routes=(Route(dst=IPv4Network("0.0.0.0/0")),))
    assert PASSTHROUGH.problems(facts, OFFICE) == []


@pytest.mark.parametrize(
    ("source_mode", "between_guests"),
    [("bridge", "yes"), ("vepa", "depends"), ("private", "no"), ("passthrough", "depends")],
)
def test_who_reaches_whom(source_mode: SourceMode, between_guests: str) -> None:
    reachability = MACVTAP.model_copy(update={"source_mode": source_mode}).reachability()
    assert {cell: answer.reachable for cell, answer in reachability.rows()} == {
        "guest_to_internet": "depends",
        "guest_to_host": "no",
        "guest_to_lan": "yes",
        "lan_to_guest": "yes",
        "guest_to_guest": between_guests,
    }


def test_each_source_mode_gives_its_own_reason_between_guests() -> None:
    reasons = {
        str(spec.reachability().guest_to_guest.because)
        for case, spec in CASES.items()
        if case.removeprefix("macvtap-") in SOURCE_MODES
    }
    assert len(reasons) == 4


def test_vepa_names_the_switch_as_the_reason_towards_the_host() -> None:
    assert "switch" in str(CASES["macvtap-vepa"].reachability().guest_to_host.because)


def test_it_says_before_the_choice_that_host_and_guest_cannot_talk() -> None:
    assert str(Macvtap.bad[0]).startswith("Host and guest cannot talk")


def test_libvirt_s_default_is_not_ours() -> None:
    assert Macvtap(name="office", uplink="eth1").source_mode == "bridge"


def test_it_refuses_a_source_mode_that_is_none() -> None:
    with pytest.raises(ValidationError):
        Macvtap.model_validate({"name": "office", "uplink": "eth1", "source_mode": "hub"})
