from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, ip_network
from typing import get_args

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import CASES, MAC, MACVTAP, OFFICE, guest, host, host_with, link, network, office, said
from virtnet.direct import SourceMode
from virtnet.facts import HostFacts, InterfaceFacts
from virtnet.link_facts import Route
from virtnet.modes import MODES
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
    ("source_mode", "with_the_host", "between_guests"),
    [
        ("bridge", "no", "yes"),
        ("vepa", "depends", "depends"),
        ("private", "no", "no"),
        ("passthrough", "depends", "depends"),
    ],
)
def test_who_reaches_whom(source_mode: SourceMode, with_the_host: str, between_guests: str) -> None:
    reachability = MACVTAP.model_copy(update={"source_mode": source_mode}).reachability()
    assert {cell: answer.reachable for cell, answer in reachability.rows()} == {
        "guest_to_internet": "depends",
        "guest_to_host": with_the_host,
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


@pytest.mark.parametrize("source_mode", SOURCE_MODES)
def test_it_says_before_the_choice_that_host_and_guest_cannot_talk_and_what_makes_up_for_it(
    source_mode: SourceMode,
) -> None:
    spec = MACVTAP.model_copy(update={"source_mode": source_mode})
    assert str(Macvtap.bad[0]).startswith("Host and guest cannot talk")
    assert "second card on a host-only network" in str(spec.caution())
    assert spec.made_up_by() in MODES


@pytest.mark.parametrize("source_mode", SOURCE_MODES)
def test_a_found_network_or_card_is_like_the_example_of_its_source_mode(source_mode: SourceMode) -> None:
    found = network("voip", "macvtap", xml=f"<network><forward mode='{source_mode}' dev='eth1'/></network>")
    card = InterfaceFacts(mac=MAC, type="direct", source="eth1", source_mode=source_mode)
    for like in (Macvtap.like(found), Macvtap.like_card(card)):
        assert like is not None
        assert like.source_mode == source_mode
    assert Macvtap.like(network("voip", "macvtap")) is None
    assert Macvtap.like_card(card.model_copy(update={"type": "bridge"})) is None


def test_passthrough_refuses_the_way_to_the_panel_and_a_link_with_a_route_or_a_vlan() -> None:
    way = host(way_to_panel="eth1")
    routed = host(
        routes=(Route(dst=ip_network("10.9.0.0/16"), dev="eth1"), Route(dst=ip_network("fe80::/64"), dev="eth1"))
    )
    vlan = host_with(link("eth1.7", kind="vlan", parent="eth1"))
    assert [said(PASSTHROUGH.problems(facts, OFFICE)) for facts in (way, routed, vlan)] == [
        [("uplink", "eth1 is this host's way to the panel: a guest that owns it would cut the host off.")],
        [("uplink", "eth1 carries this host's route to 10.9.0.0/16, and passthrough gives the link to one guest.")],
        [("uplink", "eth1.7 stands on eth1, and passthrough gives the link to one guest.")],
    ]
    assert [MACVTAP.problems(facts, OFFICE) for facts in (way, routed, vlan)] == [[], [], []]


def test_it_refuses_a_bridge_and_leads_to_the_mode_for_it() -> None:
    (problem,) = on("br0").problems(host(), OFFICE)
    assert str(problem.text) == "br0 is a bridge."
    assert str(problem.fix) == "Choose a Bridge network on it: by that the guests reach the host too."


def test_a_vf_is_a_good_link_for_passthrough_unless_a_pool_hands_it_out() -> None:
    spec = PASSTHROUGH.model_copy(update={"uplink": "ens1f0v0"})
    assert spec.problems(host(), OFFICE) == []
    xml = "<network><forward mode='hostdev' managed='yes'><pf dev='ens1f0'/></forward></network>"
    facts = host(networks=(network("fast", "sriov", devs=("ens1f0",), xml=xml),))
    assert said(spec.problems(facts, OFFICE)) == [
        ("uplink", "ens1f0v0 is a VF of ens1f0, and the network fast hands those out.")
    ]


def test_a_vf_that_a_guest_or_a_pool_of_listed_vfs_takes_is_refused() -> None:
    spec = PASSTHROUGH.model_copy(update={"uplink": "ens1f0v0"})
    vf = link("ens1f0v0", pf="ens1f0", pci_address="0000:01:10.0")
    card = InterfaceFacts(mac=MAC, type="hostdev", source="0000:01:10.0", vf="0000:01:10.0", live=False)
    held = host_with(vf, domains=(guest("db1").model_copy(update={"interfaces": (card,)}),))
    xml = "<network><forward mode='hostdev' managed='yes'/></network>"
    listed = host_with(vf, networks=(network("fast", "sriov", vfs=("0000:01:10.0",), xml=xml),))
    assert [said(spec.problems(facts, OFFICE)) for facts in (held, listed)] == [
        [("uplink", "ens1f0v0 is a VF that a card of db1 takes.")],
        [("uplink", "ens1f0v0 is a VF of ens1f0, and the network fast hands those out.")],
    ]
    assert spec.problems(host_with(vf), OFFICE) == []


@pytest.mark.parametrize("kind", ["macvlan", "ipvlan"])
def test_passthrough_refuses_a_link_under_somebody_else_s_macvlan(kind: str) -> None:
    facts = host_with(link("mac0", kind=kind, parent="eth1"))
    assert said(PASSTHROUGH.problems(facts, OFFICE)) == [
        ("uplink", "mac0 stands on eth1, and passthrough needs a link for itself.")
    ]


def test_libvirt_s_default_is_not_ours() -> None:
    assert Macvtap(name="office", uplink="eth1").source_mode == "bridge"


def test_it_refuses_a_source_mode_that_is_none() -> None:
    with pytest.raises(ValidationError):
        Macvtap.model_validate({"name": "office", "uplink": "eth1", "source_mode": "hub"})
