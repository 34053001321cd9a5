"""What the facts say of PFs and VFs."""

from pathlib import Path

import pytest

from kvmagent import links, sriov, vf_attributes, vf_state, vfs
from kvmagent.vf_attributes import Found
from kvmagent.vf_state import PfState
from tests.agent.sriov_card import FakeCard
from virtnet.link_facts import Link
from virtnet.vf import VfAttributes

PF = Link(name="ens1f0", index=7, totalvfs=8, numvfs=2, pci_address="0000:01:00.0")


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    made = FakeCard(tmp_path / "sys").plug_in(monkeypatch)
    made.make(2)
    return made


def test_each_vf_says_where_it_is_who_drives_it_and_what_it_has(card: FakeCard) -> None:
    card.vfs[1].update(mac="52:54:00:00:00:09", vlan=42, qos=3, spoofchk=0, max_tx_rate=100)
    card.bind(1, "vfio-pci")
    first, second = vfs.read_vfs("ens1f0")
    assert (first.index, first.pci_address, first.driver, first.link) == (0, "0000:01:10.0", "igbvf", "ens1f0v0")
    assert (first.mac, first.vlan, first.spoofchk, first.trust) == ("", 0, True, None)
    assert (first.iommu_group, first.group_devices) == (20, 1)
    assert (second.driver, second.link) == ("vfio-pci", None)
    assert (second.mac, second.vlan, second.qos, second.spoofchk) == ("52:54:00:00:00:09", 42, 3, False)
    assert (second.link_state, second.min_tx_rate, second.max_tx_rate) == ("auto", 0, 100)


def test_devices_that_share_an_iommu_group_are_counted_without_pci_bridges(card: FakeCard) -> None:
    card.join_groups(0, 1)
    assert [(vf.iommu_group, vf.group_devices) for vf in vfs.read_vfs("ens1f0")] == [(99, 2), (99, 2)]


def test_a_pf_without_vfs_has_none(card: FakeCard) -> None:
    card.make(0)
    assert vfs.read_vfs("ens1f0") == ()
    assert vf_attributes.read("ens1f0") == {}


def test_the_numa_node_is_told_and_minus_one_is_no_node(card: FakeCard) -> None:
    assert sriov.numa_node("ens1f0") == 1
    (card.device / "numa_node").write_text("-1\n")
    assert sriov.numa_node("ens1f0") is None


def test_a_driver_that_tells_no_attributes_still_has_its_vfs(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pf: str) -> dict[int, Found]:
        raise links.NoSuchLink(pf)

    monkeypatch.setattr(vf_attributes, "read", gone)
    assert [(vf.index, vf.mac, vf.spoofchk) for vf in vfs.read_vfs("ens1f0")] == [(0, "", None), (1, "", None)]


def test_what_is_wanted_stands_beside_what_is(card: FakeCard) -> None:
    wanted = VfAttributes(vlan=42, trust=True)
    vf_state.keep("ens1f0", PfState(pci="0000:01:00.0", numvfs=4, vfs={1: wanted}))
    (pf,) = vfs.with_vfs([PF])
    assert pf.wanted_numvfs == 4
    assert [vf.wanted for vf in pf.vfs] == [None, wanted]


def test_a_link_that_is_no_pf_is_left_as_it_is(card: FakeCard) -> None:
    veth = Link(name="eth0", index=2)
    assert vfs.with_vfs([veth]) == (veth,)


def test_attributes_are_set_in_one_message_and_read_back(card: FakeCard) -> None:
    values: dict[str, vf_attributes.Value] = {"mac": "52:54:00:00:00:07", "vlan": 5, "qos": 1, "spoofchk": False}
    vf_attributes.set_values("ens1f0", 1, values)
    assert card.asked == [
        {"vf": 1, "mac": "52:54:00:00:00:07", "spoofchk": 0, "vlan": {"vlan": 5, "qos": 1}},
    ]
    found = vf_attributes.read("ens1f0")
    assert found[1] == Found(
        mac="52:54:00:00:00:07",
        vlan=5,
        qos=1,
        spoofchk=False,
        link_state="auto",
        min_tx_rate=0,
        max_tx_rate=0,
    )
    assert found[0].vlan == 0


def test_the_state_of_a_pf_is_found_by_its_pci_address_when_its_link_was_renamed() -> None:
    vf_state.keep("ens1f0", PfState(pci="0000:01:00.0", numvfs=4))
    states = vf_state.read()
    assert vf_state.of(states, "lan0", "0000:01:00.0") == states["ens1f0"]
    assert vf_state.of(states, "ens1f0", "0000:05:00.0") is None
    assert vf_state.of(states, "ens1f0", None) == states["ens1f0"]


def test_a_renamed_pf_is_kept_once() -> None:
    vf_state.keep("ens1f0", PfState(pci="0000:01:00.0", numvfs=4))
    vf_state.keep("lan0", PfState(pci="0000:01:00.0", numvfs=2))
    assert {name: state.numvfs for name, state in vf_state.read().items()} == {"lan0": 2}


def test_a_pf_without_wanted_vfs_is_forgotten() -> None:
    vf_state.keep("ens1f0", PfState(numvfs=4, vfs={0: VfAttributes(vlan=3)}))
    vf_state.keep("ens1f0", PfState(numvfs=0))
    assert vf_state.read() == {}
    vf_state.keep("ens1f0", None)
    assert vf_state.read() == {}


@pytest.mark.parametrize("content", ["", "[]", '{"ens1f0": {"numvfs": "many"}}', "\x00"])
def test_a_state_file_that_is_damaged_breaks_nothing(content: str) -> None:
    vf_state.keep("ens1f0", PfState(numvfs=1))
    vf_state.path().write_text(content)
    assert vf_state.read() == {}
