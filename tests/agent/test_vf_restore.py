"""After a start of the host: the VFs that the panel keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmagent import links, numvfs, vf_keepers, vf_restore, vf_state
from kvmagent.vf_state import PfState
from tests.agent.sriov_card import FakeCard
from virtnet.facts import VfsRestored
from virtnet.link_facts import Link
from virtnet.messages import Step
from virtnet.vf import VfAttributes

PCI, MAC = "0000:01:00.0", "52:54:00:aa:00:01"
TAGGED = VfAttributes(mac="52:54:00:00:00:09", vlan=42)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    """A card with its PF up, on a host without udev, that has just started."""
    made = FakeCard(tmp_path / "sys").plug_in(monkeypatch)
    pf = Link(name=made.pf, index=7, mac=MAC, totalvfs=8, pci_address=PCI)
    monkeypatch.setattr(links, "read_links", lambda: (pf,))
    monkeypatch.setattr(links, "pci_address", lambda link: PCI)
    monkeypatch.setattr(links, "set_state", lambda link, *, up: None)
    monkeypatch.setattr(vf_keepers, "RUN", tmp_path / "run")
    monkeypatch.setattr(vf_restore, "CARD_SECONDS", 0.1)
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KVMAGENT_RUN", str(tmp_path / "run-kvmagent"))
    return made


def restore() -> tuple[VfsRestored, list[Step]]:
    steps: list[Step] = []
    return vf_restore.restore(steps.append), steps


def test_the_vfs_and_their_attributes_are_back_and_the_facts_say_so(card: FakeCard) -> None:
    vf_state.keep(card.pf, PfState(mac=MAC, pci=PCI, numvfs=3, vfs={1: TAGGED}))
    found, steps = restore()
    assert found == VfsRestored(wanted=3, restored=3)
    assert card.counts == [3]
    assert (card.vfs[1]["mac"], card.vfs[1]["vlan"]) == ("52:54:00:00:00:09", 42)
    assert vf_restore.read() == found
    assert [step.outcome for step in steps] == ["done", "already-so"]


def test_a_second_run_finds_all_as_it_should_be(card: FakeCard) -> None:
    vf_state.keep(card.pf, PfState(mac=MAC, pci=PCI, numvfs=3, vfs={1: TAGGED}))
    restore()
    found, steps = restore()
    assert found == VfsRestored(wanted=3, restored=3)
    assert {step.outcome for step in steps} == {"already-so"}
    assert card.counts == [3]


def test_a_card_whose_link_has_another_name_is_known_by_its_slot(card: FakeCard) -> None:
    vf_state.keep("eno9", PfState(mac="52:54:00:00:00:ff", pci=PCI, numvfs=2))
    assert restore()[0].restored == 2


def test_a_card_in_another_slot_is_known_by_its_mac(card: FakeCard) -> None:
    vf_state.keep(card.pf, PfState(mac=MAC, pci="0000:5e:00.0", numvfs=2))
    assert restore()[0].restored == 2


def test_a_card_that_is_gone_is_named_and_does_not_stop_the_others(card: FakeCard) -> None:
    vf_state.keep("ens9", PfState(mac="52:54:00:00:00:ff", pci="0000:5e:00.0", numvfs=4))
    vf_state.keep(card.pf, PfState(mac=MAC, pci=PCI, numvfs=2))
    found, _ = restore()
    assert (found.restored, found.wanted) == (2, 6)
    assert [str(problem) for problem in found.problems] == [
        "ens9 (PCI 0000:5e:00.0, MAC 52:54:00:00:00:ff) is not there."
    ]


def test_a_vf_that_cannot_have_what_is_wanted_is_not_counted(card: FakeCard) -> None:
    vf_state.keep(card.pf, PfState(mac=MAC, pci=PCI, numvfs=2, vfs={0: VfAttributes(trust=True)}))
    found, _ = restore()
    assert (found.restored, found.wanted) == (1, 2)
    assert "trust" in str(found.problems[0])


def test_a_count_that_the_driver_refuses_is_told(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pf: str, wanted: int) -> None:
        raise OSError(34, "Numerical result out of range")

    monkeypatch.setattr(numvfs, "change", refuse)
    vf_state.keep(card.pf, PfState(mac=MAC, pci=PCI, numvfs=7))
    found, _ = restore()
    assert (found.restored, found.wanted) == (0, 7)
    assert str(found.problems[0]) == "ens1f0 cannot have 7 VFs: its driver takes fewer."


def test_what_an_earlier_boot_left_is_not_told(card: FakeCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vf_state.keep(card.pf, PfState(mac=MAC, pci=PCI, numvfs=2))
    restore()
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(vf_restore, "BOOT_ID", boot)
    assert vf_restore.read() is None


def test_a_damaged_file_is_no_facts(card: FakeCard) -> None:
    vf_restore.path().parent.mkdir(parents=True)
    vf_restore.path().write_text("{")
    assert vf_restore.read() is None


def test_udev_and_networkd_are_told_to_keep_off_before_there_are_vfs_and_no_more_once_there_are_none(
    card: FakeCard, tmp_path: Path
) -> None:
    (tmp_path / "run/udev").mkdir(parents=True)
    rules, network = tmp_path / "run" / vf_keepers.RULES, tmp_path / "run" / vf_keepers.NETWORK
    vf_state.keep(card.pf, PfState(mac=MAC, pci=PCI, numvfs=2))
    restore()
    assert f'ATTR{{device/physfn/uevent}}=="*PCI_SLOT_NAME={PCI}*"' in rules.read_text()
    assert 'ENV{NM_UNMANAGED}="1"' in rules.read_text()
    assert "Unmanaged=yes" in network.read_text()
    vf_state.keep(card.pf, None)
    restore()
    assert not rules.exists()
    assert not network.exists()
