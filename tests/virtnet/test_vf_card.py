"""A VF as a guest's card, alone and as half of a pair: what stands in the way."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.virtnet.samples import (
    MAC,
    OTHER,
    PAIR,
    WEB,
    guest,
    host_with,
    link,
    network,
    owner,
    pf,
    said,
    vf,
)
from virtnet.actions import AnyAction, AttachInterface
from virtnet.facts import HostFacts, InterfaceFacts, NetworkFacts, Versions
from virtnet.interface import InterfaceSpec
from virtnet.plan import plan
from virtnet.vf_card import HostdevSource
from virtnet.vf_pair import DetachVfOfPair

GIVE = AttachInterface(domain=WEB, interface=InterfaceSpec(source=HostdevSource(vf="0000:01:10.2"), mac=MAC))


def facts(*vfs: Any, **about: Any) -> HostFacts:
    """A host with VFIO and IOMMU, two VFs, and the guest."""
    known: dict[str, Any] = {"vfio": True, "domains": (guest(),)}
    return host_with(pf(*(vfs or (vf(0), vf(1)))), **(known | about))


def test_a_free_vf_may_be_given() -> None:
    assert GIVE.problems(facts()) == []
    assert str(GIVE.title()) == "Give web1 the VF 0000:01:10.2"
    (verb,) = plan(GIVE, facts())
    assert str(verb.text) == f"Give web1 the VF 0000:01:10.2 as the card {MAC}."


def test_the_host_needs_an_iommu_and_vfio() -> None:
    assert [str(problem.text) for problem in GIVE.problems(facts(iommu=False, vfio=False))] == [
        "The IOMMU is off, so a guest cannot own a VF.",
        "VFIO is not loaded, and without it libvirt gives no VF to a guest.",
    ]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (facts(vf(0)), "This host has no VF 0000:01:10.2."),
        (facts(domains=(guest(), owner("db1", "0000:01:10.2", uuid=OTHER))), "VF 1 is a card of db1."),
        (facts(domains=(guest(), owner("db1", "0000:01:10.2", live=False, uuid=OTHER))), "VF 1 is a card of db1."),
        (facts(networks=(network("fast", "sriov", pfs=("ens1f0",)),)), "The network fast hands out VF 1."),
        (
            facts(vf(0), vf(1, group_devices=3)),
            "VF 1 shares an IOMMU group with other devices, and a guest gets a whole group or none.",
        ),
    ],
)
def test_a_vf_that_cannot_be_given_is_told_beside_the_field(found: HostFacts, sentence: str) -> None:
    assert said(GIVE.problems(found)) == [("vf", sentence)]


def test_a_vf_that_the_host_uses_is_not_given() -> None:
    used = link("ens1f0v1", pf="ens1f0", addresses=(ip_interface("10.5.0.1/24"),))
    found = host_with(pf(vf(0), vf(1, link="ens1f0v1")), used, vfio=True, domains=(guest(),))
    assert said(GIVE.problems(found)) == [("vf", "This host uses VFs itself: ens1f0v1.")]


def test_an_address_of_another_vf_is_refused_and_that_of_this_very_one_is_right() -> None:
    assert said(GIVE.problems(facts(vf(0, mac=MAC), vf(1)))) == [("mac", f"{MAC} belongs to VF 0 of ens1f0.")]
    assert GIVE.problems(facts(vf(0), vf(1, mac=MAC))) == []


def test_the_card_that_an_earlier_try_plugged_in_is_not_in_its_own_way() -> None:
    mine = owner("web1", "0000:01:10.2", mac=MAC)
    assert GIVE.problems(facts(domains=(mine,))) == []


OFFICE = NetworkFacts(name="office", uuid=OTHER, active=True, mode="bridge", bridge="br0")


def test_a_pair_is_two_cards_the_one_that_stays_first() -> None:
    found = facts(networks=(OFFICE,))
    assert PAIR.problems(found) == []
    standby, primary = plan(PAIR, found)
    assert '<teaming type="persistent" />' in standby.document
    assert '<teaming type="transient" persistent="ua-525400123456" />' in primary.document


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (facts(), ("network", "This host has no network office.")),
        (
            facts(networks=(OFFICE.model_copy(update={"active": False}),)),
            ("network", "The network office is not running."),
        ),
        (
            facts(networks=(OFFICE.model_copy(update={"bridge": None}),)),
            ("network", "A card in office does not stay with a guest that migrates."),
        ),
        (
            facts(networks=(OFFICE,), domains=(guest().model_copy(update={"machine": "pc-i440fx-7.2"}),)),
            (
                "",
                "web1 is a machine of type pc-i440fx-7.2, and QEMU pairs a VF with another card on PCI Express only.",
            ),
        ),
        (
            facts(networks=(OFFICE,), versions=Versions(libvirt="7.0.9")),
            ("", "libvirt 7.0.9 cannot pair a VF with another card."),
        ),
        (
            facts(networks=(OFFICE,), domains=(guest(), owner("db1", "0000:09:00.0", mac=MAC, uuid=OTHER))),
            ("mac", f"{MAC} is a card of db1 already."),
        ),
    ],
)
def test_what_stands_in_the_way_of_a_pair(found: HostFacts, wanted: tuple[str, str]) -> None:
    assert said(PAIR.problems(found)) == [wanted]


def test_a_pair_that_is_there_is_not_in_its_own_way() -> None:
    standby = InterfaceFacts(mac=MAC, type="network", source="office", teaming="persistent")
    primary = InterfaceFacts(mac=MAC, type="hostdev", source="0000:01:10.2", vf="0000:01:10.2", teaming="transient")
    mine = guest().model_copy(update={"interfaces": (standby, primary)})
    assert PAIR.problems(facts(networks=(OFFICE,), domains=(mine,))) == []


@pytest.mark.parametrize("action", [GIVE, PAIR, DetachVfOfPair(domain=WEB, mac=MAC)], ids=lambda action: action.action)
def test_both_cross_the_wire(action: AnyAction) -> None:
    adapter: TypeAdapter[AnyAction] = TypeAdapter(AnyAction)
    assert adapter.validate_json(action.model_dump_json()) == action
