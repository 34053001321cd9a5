from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import OFFICE, SRIOV, host, host_with, link, network, office, said
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
    (problem,) = SRIOV.problems(host(iommu=False), OFFICE)
    assert str(problem.text) == "The IOMMU is off, so a guest cannot own a VF."
    assert "intel_iommu=on" in str(problem.fix)
    assert "amd_iommu=on" in str(problem.fix)


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


def test_it_refuses_a_new_number_that_would_destroy_the_vfs_that_are_there() -> None:
    facts = host_with(link("ens1f0", totalvfs=8, numvfs=2))
    (problem,) = SRIOV.problems(facts, OFFICE)
    assert problem.field == "numvfs"
    assert str(problem.text) == "ens1f0 has 2 VFs now; another number destroys them all, also those in use."
    assert str(problem.fix) == (
        "Choose 2, or free the VFs and then remove them: echo 0 > /sys/class/net/ens1f0/device/sriov_numvfs"
    )


def test_it_takes_the_vfs_that_are_there() -> None:
    assert SRIOV.problems(host_with(link("ens1f0", totalvfs=8, numvfs=4)), OFFICE) == []


def test_it_refuses_a_pf_whose_vfs_another_network_hands_out() -> None:
    facts = host(networks=(network("telecom", "sriov", devs=("ens1f0",)),))
    assert said(SRIOV.problems(facts, OFFICE)) == [("pf", "The network telecom hands out the VFs of ens1f0 already.")]


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


@pytest.mark.parametrize("wrong", [{"numvfs": 0}, {"numvfs": -1}, {"numvfs": 65536}, {"vlan": 0}, {"vlan": 4095}])
def test_it_refuses_numbers_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Sriov.model_validate({"name": "office", "pf": "ens1f0", "numvfs": 4, **wrong})
