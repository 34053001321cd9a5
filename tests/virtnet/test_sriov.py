from __future__ import annotations

from ipaddress import ip_interface

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import OFFICE, SRIOV, host, host_with, link, network, office, owner, pf, said, vf
from virtnet.facts import HostFacts
from virtnet.modes.sriov import Sriov


def with_(**changes: object) -> Sriov:
    return SRIOV.model_copy(update=changes)


def test_a_pf_without_vfs_takes_it() -> None:
    assert SRIOV.problems(host(), OFFICE) == []


def test_a_host_without_a_pf_lacks_a_card_whatever_is_typed() -> None:
    assert Sriov.lacks(host()) == []
    (problem,) = Sriov.lacks(HostFacts(links=(link("eth0"),)))
    assert str(problem.text) == "No card of this host offers VFs (SR-IOV)."
    assert problem.fix is not None


def test_a_pf_takes_as_many_vfs_as_it_can_have() -> None:
    assert with_(numvfs=8).problems(host(), OFFICE) == []


def test_it_refuses_a_host_whose_iommu_is_off_and_names_the_boot_parameter() -> None:
    (problem,) = SRIOV.problems(host(iommu=False, cpu="GenuineIntel"), OFFICE)
    assert str(problem.text) == "The IOMMU is off, so a guest cannot own a VF."
    assert "intel_iommu=on" in str(problem.fix)


@pytest.mark.parametrize(
    ("change", "field", "sentence", "fix"),
    [
        ({"pf": "eth9"}, "pf", "This host has no link eth9.", "Choose a link from the host's list."),
        (
            {"pf": "eth1"},
            "pf",
            "eth1 is not a PF: its card or driver has no SR-IOV.",
            "Choose another card, or turn on SR-IOV in the firmware of the card and of the host.",
        ),
        ({"pf": "ens1f0v0"}, "pf", "ens1f0v0 is a VF of ens1f0.", "Choose ens1f0."),
        ({"numvfs": 9}, "numvfs", "ens1f0 has at most 8 VFs (sriov_totalvfs).", "Choose 8 or fewer."),
    ],
)
def test_it_refuses_a_pf_or_a_number_and_says_what_to_do(
    change: dict[str, object], field: str, sentence: str, fix: str
) -> None:
    (problem,) = with_(**change).problems(host(), OFFICE)
    assert (problem.field, str(problem.text), str(problem.fix)) == (field, sentence, fix)


def test_another_number_of_vfs_is_fine_while_nobody_uses_them() -> None:
    assert SRIOV.problems(host_with(pf(vf(0), vf(1))), OFFICE) == []


def test_it_refuses_another_number_while_a_guest_owns_a_vf() -> None:
    facts = host_with(pf(vf(0), vf(1)), domains=(owner("db1", "0000:01:10.2", type="network", source="old"),))
    assert said(SRIOV.problems(facts, OFFICE)) == [
        ("numvfs", "Guests own VFs of ens1f0, and another number destroys all of them: db1 (VF 1)."),
    ]


def test_it_takes_the_vfs_that_are_there() -> None:
    assert SRIOV.problems(host_with(link("ens1f0", totalvfs=8, numvfs=4)), OFFICE) == []


def test_it_refuses_a_pf_whose_vfs_another_network_hands_out() -> None:
    facts = host(networks=(network("telecom", "sriov", devs=("ens1f0",), pfs=("ens1f0",)),))
    assert said(SRIOV.problems(facts, OFFICE)) == [("pf", "The network telecom hands out VFs of ens1f0 already.")]


FOUR = pf(vf(0), vf(1), vf(2), vf(3))


def test_two_networks_may_share_a_pf_when_each_lists_vfs_of_its_own() -> None:
    telecom = network("telecom", "sriov", vfs=("0000:01:10.0", "0000:01:10.2"))
    facts = host_with(FOUR, networks=(telecom,))
    assert with_(vfs=("0000:01:10.4", "0000:01:10.6")).problems(facts, OFFICE) == []
    for others in ((), ("0000:01:10.2", "0000:01:10.4")):
        (problem,) = with_(vfs=others).problems(facts, OFFICE)
        assert str(problem.text) == "The network telecom hands out VFs of ens1f0 already."
        assert problem.field == ("vfs" if others else "pf")


def test_it_refuses_a_vf_that_the_pf_does_not_have() -> None:
    facts = host_with(FOUR)
    (problem,) = with_(vfs=("0000:01:10.0", "0000:05:10.0")).problems(facts, OFFICE)
    assert (problem.field, str(problem.text)) == ("vfs", "ens1f0 has no such VFs: 0000:05:10.0.")


def test_it_refuses_a_listed_vf_that_a_lower_number_would_take_away() -> None:
    facts = host_with(FOUR)
    assert said(with_(numvfs=2, vfs=("0000:01:10.6",)).problems(facts, OFFICE)) == [
        ("vfs", "ens1f0 has no such VFs: 0000:01:10.6."),
    ]


def test_it_refuses_a_vf_that_is_a_guest_s_card_on_its_own() -> None:
    facts = host_with(FOUR, domains=(owner("db1", "0000:01:10.2", live=False),))
    assert said(SRIOV.problems(facts, OFFICE)) == [("pf", "VFs are cards of guests on their own: db1 (VF 1).")]
    assert with_(vfs=("0000:01:10.0",)).problems(facts, OFFICE) == []


def test_it_refuses_a_vf_that_the_host_uses_itself() -> None:
    used = link("ens1f0v1", pf="ens1f0", addresses=(ip_interface("10.5.0.1/24"),))
    facts = host_with(pf(vf(0, link="ens1f0v0"), vf(1, link="ens1f0v1"), vf(2), vf(3)), used)
    assert said(SRIOV.problems(facts, OFFICE)) == [("pf", "This host uses VFs itself: ens1f0v1.")]
    assert with_(vfs=("0000:01:10.0",)).problems(facts, OFFICE) == []


def test_a_macvtap_network_on_the_pf_is_not_in_its_way() -> None:
    assert SRIOV.problems(host(networks=(network("voip", "macvtap", devs=("ens1f0",)),)), OFFICE) == []


def test_it_refuses_a_name_that_another_network_has() -> None:
    facts = host(networks=(network("office", "nat"),))
    assert said(SRIOV.problems(facts, OFFICE)) == [("name", "This host has a network office already.")]


def test_it_is_never_in_its_own_way() -> None:
    facts = host_with(link("ens1f0", totalvfs=8, numvfs=4), networks=(office(SRIOV),))
    assert SRIOV.problems(facts, OFFICE) == []


def test_a_host_that_told_nothing_has_neither_iommu_nor_pf() -> None:
    assert [problem.field for problem in SRIOV.problems(HostFacts(), OFFICE)] == ["", "pf"]


def test_who_reaches_whom() -> None:
    assert {cell: answer.reachable for cell, answer in SRIOV.reachability().rows()} == {
        "guest_to_internet": "depends",
        "guest_to_host": "depends",
        "guest_to_lan": "yes",
        "lan_to_guest": "yes",
        "guest_to_guest": "depends",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"numvfs": 0},
        {"numvfs": -1},
        {"numvfs": 65536},
        {"vlan": 0},
        {"vlan": 4095},
        {"vfs": ["0000:01:10.8"]},
        {"vfs": ["0000:01:10.0\n"]},
        {"vfs": ["../../etc"]},
    ],
)
def test_it_refuses_what_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Sriov.model_validate({"name": "office", "pf": "ens1f0", "numvfs": 4, **wrong})
