"""What stands in the way of another number of VFs and of other attributes, and how both are done."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.virtnet.samples import host, host_with, link, network, owner, pf, said, vf
from virtnet import sriov_needs
from virtnet.actions import AnyAction
from virtnet.facts import HostFacts
from virtnet.plan import plan
from virtnet.vf import VfAttributes
from virtnet.vf_actions import SetNumvfs, SetVfAttributes

TWO = pf(vf(0, link="ens1f0v0"), vf(1, link="ens1f0v1"))


def count(numvfs: int) -> SetNumvfs:
    return SetNumvfs(pf="ens1f0", numvfs=numvfs)


def attributes(index: int = 0, **wanted: Any) -> SetVfAttributes:
    return SetVfAttributes(pf="ens1f0", vf=index, attributes=VfAttributes(**wanted))


@pytest.mark.parametrize("numvfs", [0, 1, 2, 8])
def test_any_number_is_fine_while_nobody_uses_a_vf(numvfs: int) -> None:
    assert count(numvfs).problems(host_with(TWO)) == []


@pytest.mark.parametrize(
    ("pf_name", "numvfs", "field", "sentence"),
    [
        ("eth9", 1, "pf", "This host has no link eth9."),
        ("eth1", 1, "pf", "eth1 is not a PF: its card or driver has no SR-IOV."),
        ("ens1f0v0", 1, "pf", "ens1f0v0 is a VF of ens1f0."),
        ("ens1f0", 9, "numvfs", "ens1f0 has at most 8 VFs (sriov_totalvfs)."),
    ],
)
def test_what_cannot_be_is_said_beside_its_field(pf_name: str, numvfs: int, field: str, sentence: str) -> None:
    assert said(SetNumvfs(pf=pf_name, numvfs=numvfs).problems(host())) == [(field, sentence)]


def test_every_guest_network_and_link_in_the_way_is_named() -> None:
    facts = host_with(
        TWO,
        link("ens1f0v1", pf="ens1f0", addresses=(ip_interface("10.5.0.1/24"),)),
        networks=(network("fast", "sriov", pfs=("ens1f0",)),),
        domains=(owner("web1", "0000:01:10.0"),),
    )
    assert [str(problem.text) for problem in count(4).problems(facts)] == [
        "Guests own VFs of ens1f0, and another number destroys all of them: web1 (VF 0).",
        "Networks hand out the VFs of ens1f0: fast.",
        "This host uses VFs itself: ens1f0v1.",
    ]


def test_the_number_that_is_there_disturbs_nobody() -> None:
    facts = host_with(TWO, domains=(owner("web1", "0000:01:10.0"),))
    assert count(2).problems(facts) == []


def test_a_stopped_network_on_the_pf_is_not_in_the_way() -> None:
    stopped = network("fast", "sriov", pfs=("ens1f0",)).model_copy(update={"active": False})
    assert count(4).problems(host_with(TWO, networks=(stopped,))) == []


def test_cards_and_networks_that_name_a_vf_that_would_be_gone_are_named() -> None:
    stopped = network("some", "sriov", vfs=("0000:01:10.2",)).model_copy(update={"active": False})
    facts = host_with(TWO, networks=(stopped,), domains=(owner("db1", "0000:01:10.2", live=False),))
    assert [str(problem.text) for problem in count(1).problems(facts)] == [
        "Cards of guests are VFs that would be gone: db1 (VF 1).",
        "Networks list VFs that would be gone: some.",
    ]
    assert count(3).problems(facts) == []


def test_raising_and_lowering_go_through_zero_with_the_pf_up_first() -> None:
    assert [verb.command for verb in plan(count(4), host_with(TWO))] == [
        "ip link set ens1f0 up",
        "echo 0 > /sys/class/net/ens1f0/device/sriov_numvfs; echo 4 > /sys/class/net/ens1f0/device/sriov_numvfs",
        "",
    ]
    assert [str(verb.text) for verb in plan(count(0), host_with(TWO))] == [
        "Take the VFs of ens1f0 away.",
        "Make no VFs on ens1f0 at the host's next start.",
    ]


def test_a_pf_that_carries_the_host_s_own_network_is_guarded_where_its_number_changes() -> None:
    carrying = pf(vf(0), addresses=(ip_interface("10.9.0.5/24"),))
    texts = [str(verb.text) for verb in plan(count(4), host_with(carrying))]
    assert len(texts) == 5
    assert "10.9.0.5/24" in texts[0]
    assert texts[3].startswith("Wait")
    assert texts[4] == "Keep 4 VFs on ens1f0 for the host's next start."
    assert len(plan(count(1), host_with(carrying))) == 3


def test_the_attributes_are_one_command_in_iproute2_s_words() -> None:
    wanted = attributes(1, mac="52:54:00:00:00:07", vlan=42, qos=3, trust=True, link_state="enable", max_tx_rate=100)
    assert [verb.command for verb in plan(wanted, host_with(TWO))] == [
        "ip link set ens1f0 vf 1 mac 52:54:00:00:00:07 vlan 42 qos 3 trust on state enable min_tx_rate 0 "
        "max_tx_rate 100",
        "",
    ]


def test_what_is_no_longer_wanted_goes_back_to_its_default() -> None:
    before = VfAttributes(mac="52:54:00:00:00:07", vlan=42, spoofchk=False)
    facts = host_with(pf(vf(0, wanted=before)))
    assert plan(attributes(spoofchk=False), facts)[0].command == (
        "ip link set ens1f0 vf 0 mac 00:00:00:00:00:00 vlan 0 qos 0 spoofchk off"
    )


def test_a_vf_that_is_not_there_is_named() -> None:
    assert said(attributes(5, vlan=1).problems(host_with(TWO))) == [("vf", "ens1f0 has no VF 5.")]
    assert said(SetVfAttributes(pf="eth9", vf=0, attributes=VfAttributes()).problems(host())) == [
        ("pf", "This host has no link eth9.")
    ]


def test_the_guest_that_owns_a_vf_decides_its_mac_and_vlan_and_nothing_else() -> None:
    facts = host_with(TWO, domains=(owner("web1", "0000:01:10.0"),))
    wanted = attributes(mac="52:54:00:00:00:07", vlan=3, trust=True, max_tx_rate=10)
    assert said(wanted.problems(facts)) == [
        ("mac", "web1 owns the VF, and its card has the MAC address 52:54:00:00:00:42."),
        ("vlan", "web1 owns the VF, and its card or network names the VLAN."),
    ]
    assert attributes(trust=True, max_tx_rate=10).problems(facts) == []


def test_a_mac_of_a_guest_or_of_another_vf_is_refused() -> None:
    facts = host_with(
        pf(vf(0), vf(1, mac="52:54:00:00:00:08"), vf(2, wanted=VfAttributes(mac="52:54:00:00:00:09"))),
        domains=(owner("db1", "0000:09:00.0"),),
    )
    for mac, sentence in (
        ("52:54:00:00:00:42", "52:54:00:00:00:42 is a card of db1 already."),
        ("52:54:00:00:00:08", "52:54:00:00:00:08 belongs to VF 1 of ens1f0."),
        ("52:54:00:00:00:09", "52:54:00:00:00:09 belongs to VF 2 of ens1f0."),
    ):
        assert said(attributes(mac=mac).problems(facts)) == [("mac", sentence)]
    assert attributes(1, mac="52:54:00:00:00:08").problems(facts) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"mac": "01:00:00:00:00:00"},
        {"mac": "00:00:00:00:00:00"},
        {"vlan": 0},
        {"vlan": 4095},
        {"vlan": 1, "qos": 8},
        {"qos": 3},
        {"max_tx_rate": -1},
        {"min_tx_rate": 20, "max_tx_rate": 10},
        {"link_state": "up"},
        {"mtu": 1500},
    ],
)
def test_attributes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VfAttributes.model_validate(wrong)


@pytest.mark.parametrize("action", [count(4), attributes(1, vlan=42)], ids=lambda action: action.action)
def test_both_cross_the_wire(action: AnyAction) -> None:
    adapter: TypeAdapter[AnyAction] = TypeAdapter(AnyAction)
    assert adapter.validate_json(action.model_dump_json()) == action


@pytest.mark.parametrize(
    ("cpu", "words"),
    [("GenuineIntel", "intel_iommu=on iommu=pt"), ("AuthenticAMD", "AMD-Vi"), ("", "SMMU")],
)
def test_what_turns_the_iommu_on_is_said_for_this_cpu(cpu: str, words: str) -> None:
    (problem,) = sriov_needs.iommu_is_off(HostFacts(cpu=cpu))
    assert words in str(problem.fix)


def test_all_that_is_missing_is_told_in_the_order_of_repair() -> None:
    assert [str(problem.text) for problem in sriov_needs.missing(HostFacts())] == [
        "No card of this host offers VFs (SR-IOV).",
        "The IOMMU is off, so a guest cannot own a VF.",
        "VFIO is not loaded, and without it libvirt gives no VF to a guest.",
    ]
    assert sriov_needs.missing(host_with(TWO, vfio=True)) == []


def test_vfs_that_share_an_iommu_group_are_named() -> None:
    facts = host_with(pf(vf(0, group_devices=2), vf(1), vf(2, group_devices=2)), vfio=True)
    (problem,) = sriov_needs.missing(facts)
    assert str(problem.text) == (
        "VFs 0, 2 of ens1f0 share an IOMMU group with other devices, and a guest gets a whole group or none."
    )
