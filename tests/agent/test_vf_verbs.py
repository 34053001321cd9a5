"""The verbs on PFs and VFs, on a card that is not there; the real one is in tests/lab."""

from pathlib import Path

import pytest

from kvmagent import guard, numvfs, sriov, vf_attributes, vf_state, vfs
from kvmagent.steps import Steps, VerbFailed
from kvmagent.vf_state import PfState
from kvmagent.vf_verbs import VfVerbs
from tests.agent.sriov_card import FakeCard
from virtnet.messages import Step
from virtnet.vf import VfAttributes

VLAN = VfAttributes(vlan=42, qos=3)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    return FakeCard(tmp_path / "sys").plug_in(monkeypatch)


class Here:
    """The verbs of one action, and what they told."""

    def __init__(self) -> None:
        self.told: list[Step] = []
        self.steps = Steps(self.told.append)
        self.way_back: list[guard.Step] = []
        self.verbs = VfVerbs(self.steps, self.way_back.append)

    @property
    def outcomes(self) -> list[str]:
        return [step.outcome for step in self.told]


def test_vfs_are_made_and_taken_away_again_by_the_undo(card: FakeCard) -> None:
    here = Here()
    here.verbs.set_numvfs("ens1f0", 4)
    assert (sriov.numvfs("ens1f0"), len(vfs.read_vfs("ens1f0"))) == (4, 4)
    here.verbs.set_numvfs("ens1f0", 4)
    assert here.steps.undo()
    assert sriov.numvfs("ens1f0") == 0
    assert here.outcomes == ["done", "already-so", "undone"]


def test_another_number_goes_through_zero(card: FakeCard) -> None:
    card.make(2)
    Here().verbs.set_numvfs("ens1f0", 4)
    assert card.counts == [2, 0, 4]


def test_the_undo_gives_the_former_vfs_their_attributes_back(card: FakeCard) -> None:
    card.make(2)
    card.vfs[1].update(mac="52:54:00:00:00:09", vlan=7, spoofchk=0)
    here = Here()
    here.verbs.set_numvfs("ens1f0", 4)
    assert card.vfs[1]["vlan"] == 0
    assert here.steps.undo()
    assert (len(card.vfs), card.vfs[1]["mac"], card.vfs[1]["vlan"]) == (2, "52:54:00:00:00:09", 7)
    assert card.vfs[1]["spoofchk"] == 0


def test_what_is_wanted_of_vfs_that_stay_is_set_again_and_the_rest_is_dropped(card: FakeCard) -> None:
    card.make(4)
    vf_state.keep("ens1f0", PfState(pci="0000:01:00.0", numvfs=4, vfs={0: VLAN, 3: VLAN}))
    here = Here()
    here.verbs.set_numvfs("ens1f0", 2)
    here.verbs.keep_numvfs("ens1f0", 2)
    assert [vf["vlan"] for vf in card.vfs.values()] == [42, 0]
    assert str(here.told[0].detail) == "What is wanted of the VFs 0 was set again."
    kept = vf_state.read()["ens1f0"]
    assert (kept.numvfs, kept.vfs, kept.pci, kept.mac) == (2, {0: VLAN}, "0000:01:00.0", card.mac)
    assert here.steps.undo()
    assert vf_state.read()["ens1f0"].vfs == {0: VLAN, 3: VLAN}


def test_a_number_that_the_driver_refuses_is_told_and_undone(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    card.make(2)
    real = sriov.write_numvfs

    def refuse(pf: str, wanted: int) -> None:
        if wanted == 4:
            raise OSError(34, "Numerical result out of range")
        real(pf, wanted)

    monkeypatch.setattr(sriov, "write_numvfs", refuse)
    here = Here()
    with pytest.raises(VerbFailed, match="ens1f0 cannot have 4 VFs: its driver takes fewer"):
        here.verbs.set_numvfs("ens1f0", 4)
    assert here.steps.undo()
    assert len(card.vfs) == 2


def test_a_busy_card_is_told_in_plain_words(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_pf: str, _wanted: int) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(sriov, "write_numvfs", busy)
    with pytest.raises(VerbFailed, match="VFs of ens1f0 are in use"):
        Here().verbs.set_numvfs("ens1f0", 4)


def test_vfs_that_do_not_come_in_time_are_told_and_undone(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numvfs, "THERE", 0.05)
    real = sriov.write_numvfs

    def too_few(pf: str, wanted: int) -> None:
        real(pf, wanted)
        if wanted == 4:
            card.remove(3)

    monkeypatch.setattr(sriov, "write_numvfs", too_few)
    here = Here()
    with pytest.raises(VerbFailed, match="has not got its 4 VFs"):
        here.verbs.set_numvfs("ens1f0", 4)
    assert here.steps.undo()
    assert card.vfs == {}


def test_it_waits_until_each_vf_has_its_link(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    real = sriov.functions

    def slowly(pf: str) -> tuple[sriov.Function, ...]:
        looks.append(1)
        if len(looks) == 4:
            card.bind(1, "igbvf")
        return real(pf)

    real_write = sriov.write_numvfs

    def without_driver(pf: str, wanted: int) -> None:
        real_write(pf, wanted)
        card.unbind(1)
        looks.clear()

    monkeypatch.setattr(sriov, "write_numvfs", without_driver)
    monkeypatch.setattr(sriov, "functions", slowly)
    Here().verbs.set_numvfs("ens1f0", 2)
    assert [function.link for function in real("ens1f0")] == ["ens1f0v0", "ens1f0v1"]


def test_a_vf_whose_driver_never_comes_is_enough_for_a_guest(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numvfs, "LINKED", 0.05)
    real = sriov.write_numvfs

    def without_driver(pf: str, wanted: int) -> None:
        real(pf, wanted)
        card.unbind(0)

    monkeypatch.setattr(sriov, "write_numvfs", without_driver)
    here = Here()
    here.verbs.set_numvfs("ens1f0", 1)
    assert here.outcomes == ["done"]


def test_a_link_that_is_no_pf_is_named(card: FakeCard) -> None:
    with pytest.raises(VerbFailed, match="eth0 is not a PF"):
        Here().verbs.set_numvfs("eth0", 1)


def test_attributes_are_set_read_back_kept_and_undone(card: FakeCard) -> None:
    card.make(2)
    wanted = VfAttributes(mac="52:54:00:00:00:07", vlan=42, qos=3, spoofchk=False, max_tx_rate=100)
    here = Here()
    here.verbs.set_vf("ens1f0", 1, wanted)
    here.verbs.keep_vf("ens1f0", 1, wanted)
    found = vf_attributes.read("ens1f0")[1]
    assert (found.mac, found.vlan, found.qos, found.spoofchk) == ("52:54:00:00:00:07", 42, 3, False)
    assert (found.min_tx_rate, found.max_tx_rate) == (0, 100)
    kept = vf_state.read()["ens1f0"]
    assert (kept.numvfs, kept.vfs) == (2, {1: wanted})
    here.verbs.set_vf("ens1f0", 1, wanted)
    here.verbs.keep_vf("ens1f0", 1, wanted)
    assert here.steps.undo()
    assert (card.vfs[1]["mac"], card.vfs[1]["vlan"], card.vfs[1]["spoofchk"]) == ("00:00:00:00:00:00", 0, 1)
    assert vf_state.read() == {}
    assert here.outcomes == ["done", "done", "already-so", "already-so", "undone", "undone"]


def test_what_is_no_longer_wanted_goes_back_to_its_default_and_the_rest_is_left(card: FakeCard) -> None:
    card.make(1)
    before = Here()
    before.verbs.set_vf("ens1f0", 0, VLAN)
    before.verbs.keep_vf("ens1f0", 0, VLAN)
    card.vfs[0]["max_tx_rate"] = 55  # by somebody's hand
    Here().verbs.set_vf("ens1f0", 0, VfAttributes(spoofchk=False))
    assert (card.vfs[0]["vlan"], card.vfs[0]["qos"], card.vfs[0]["spoofchk"]) == (0, 0, 0)
    assert card.vfs[0]["max_tx_rate"] == 55


@pytest.mark.parametrize(
    ("wanted", "name"), [(VfAttributes(trust=True), "trust"), (VfAttributes(link_state="disable"), "link_state")]
)
def test_what_the_driver_cannot_do_is_named_and_what_was_set_before_is_undone(
    card: FakeCard, wanted: VfAttributes, name: str
) -> None:
    card.make(1)
    here = Here()
    with pytest.raises(VerbFailed, match=f"driver igb of ens1f0 cannot set this of a VF: {name}. Leave it empty"):
        here.verbs.set_vf("ens1f0", 0, wanted.model_copy(update={"vlan": 42}))
    assert here.steps.undo()
    assert card.vfs[0]["vlan"] == 0


def test_a_driver_that_can_is_asked_for_trust_and_link_state(card: FakeCard) -> None:
    card.refuses = frozenset()
    card.make(1)
    Here().verbs.set_vf("ens1f0", 0, VfAttributes(trust=True, link_state="disable"))
    assert (card.vfs[0]["trust"], card.vfs[0]["link_state"]) == (1, 2)


def test_a_value_that_did_not_stick_is_told(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    card.make(1)
    monkeypatch.setattr(vf_attributes, "set_values", lambda *_: None)
    with pytest.raises(VerbFailed, match="VF 0 of ens1f0 has vlan 0 after 42 was set"):
        Here().verbs.set_vf("ens1f0", 0, VLAN)


def test_a_vf_that_is_not_there_is_named(card: FakeCard) -> None:
    card.make(1)
    with pytest.raises(VerbFailed, match="ens1f0 has no VF 3"):
        Here().verbs.set_vf("ens1f0", 3, VLAN)


def test_before_and_after_are_told_in_lines(card: FakeCard) -> None:
    assert vfs.described("eth0") == ""
    card.make(1)
    here = Here()
    here.verbs.set_vf("ens1f0", 0, VLAN)
    here.verbs.keep_vf("ens1f0", 0, VLAN)
    assert vfs.described("ens1f0") == (
        "ens1f0 sriov_numvfs 1, kept for the next start 1\n"
        "  vf 0 0000:01:10.0 vlan 42 qos 3 spoofchk on link_state auto min_tx_rate 0 max_tx_rate 0\n"
        "    kept: vlan 42 qos 3\n"
    )


def test_the_guard_is_told_the_way_back_before_the_number_changes(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    card.make(2)
    card.vfs[1].update(vlan=7, qos=1)
    here = Here()
    known: list[int] = []
    real = sriov.write_numvfs

    def write(pf: str, wanted: int) -> None:
        known.append(len(here.way_back))
        real(pf, wanted)

    monkeypatch.setattr(sriov, "write_numvfs", write)
    here.verbs.set_numvfs("ens1f0", 4)
    assert known == [3, 3]
    file = str(sriov.SYS_CLASS_NET / "ens1f0" / "device" / "sriov_numvfs")
    # The last told is the first that the guard does.
    assert here.way_back == [
        {"do": "ip", "options": [], "lines": ["link set ens1f0 vf 1 vlan 7 qos 1"]},
        {"do": "write", "path": file, "value": "2"},
        {"do": "write", "path": file, "value": "0"},
    ]


def test_after_the_guard_has_put_the_number_back_the_undo_still_gives_the_attributes(card: FakeCard) -> None:
    card.make(2)
    card.vfs[1].update(vlan=7)
    here = Here()
    here.verbs.set_numvfs("ens1f0", 4)
    card.make(0)
    card.make(2)
    assert here.steps.undo()
    assert card.vfs[1]["vlan"] == 7
