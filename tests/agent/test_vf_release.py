"""A VF that a guest has let go of has what the panel wants of it, else its defaults; no other VF is touched."""

import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from kvmagent import vf_state, vfs
from kvmagent.alone import alone
from kvmagent.vf_release import VfRelease
from kvmagent.vf_state import PfState
from tests.agent.sriov_card import FakeCard
from virtnet.facts import DomainFacts, HostFacts, InterfaceFacts
from virtnet.link_facts import Link
from virtnet.text import text
from virtnet.vf import VfAttributes

PF = Link(name="ens1f0", index=7, totalvfs=8, numvfs=2, pci_address="0000:01:00.0")
STALE = {"mac": "52:54:00:00:00:42", "vlan": 7, "spoofchk": 0, "max_tx_rate": 50}


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    made = FakeCard(tmp_path / "sys").plug_in(monkeypatch)
    made.make(2)
    return made


def facts(owner_of: int | None = None, *, live: bool = True) -> HostFacts:
    """The host as it is, with a guest that owns a VF."""
    cards = []
    if owner_of is not None:
        vf = FakeCard.address(owner_of)
        cards = [InterfaceFacts(mac="52:54:00:00:00:42", type="hostdev", source=vf, vf=vf, live=live)]
    guest = DomainFacts(name="web1", uuid=UUID(int=1), state="running", interfaces=tuple(cards))
    return HostFacts(links=vfs.with_vfs([PF]), domains=(guest,))


def following(path: Path | None = None, again: Callable[[], None] = lambda: None) -> Callable[..., HostFacts]:
    """What follows the host as it is at each call, which says who owns a VF then."""
    release = VfRelease(again, path)
    return lambda owner_of=None, *, live=True: release.follow(lambda: facts(owner_of, live=live))


def test_what_the_guest_left_goes_back_to_the_driver_s_defaults(card: FakeCard) -> None:
    follow = following()
    card.bind(1, "vfio-pci")
    card.vfs[1].update(STALE)
    follow(1)
    card.bind(1, "igbvf")
    follow()
    assert (card.vfs[1]["mac"], card.vfs[1]["vlan"]) == ("00:00:00:00:00:00", 0)
    assert (card.vfs[1]["spoofchk"], card.vfs[1]["max_tx_rate"]) == (1, 0)


def test_what_the_panel_wants_is_set_again(card: FakeCard) -> None:
    vf_state.keep("ens1f0", PfState(numvfs=2, vfs={1: VfAttributes(vlan=42, max_tx_rate=100)}))
    follow = following()
    card.vfs[1].update(STALE)
    follow(1)
    follow(1, live=False)
    assert (card.vfs[1]["vlan"], card.vfs[1]["max_tx_rate"], card.vfs[1]["spoofchk"]) == (42, 100, 1)


def test_nothing_is_touched_while_a_guest_has_it_or_before_the_host_has_it_back(card: FakeCard) -> None:
    follow = following()
    card.bind(1, "vfio-pci")
    card.vfs[1].update(STALE)
    follow(1)
    follow(1)
    follow()  # let go of, and still bound to VFIO
    assert card.asked == []
    card.bind(1, "igbvf")
    follow()
    assert card.vfs[1]["vlan"] == 0


def test_a_vf_that_no_guest_has_had_is_somebody_s_own(card: FakeCard) -> None:
    card.vfs[0].update(STALE)
    following()()
    assert card.asked == []


def test_a_guest_that_stopped_while_no_agent_ran_is_remembered(card: FakeCard) -> None:
    card.vfs[1].update(STALE)
    following()(1)
    following()()
    assert card.vfs[1]["vlan"] == 0


def test_while_libvirtd_is_down_nothing_is_known_and_nothing_done(card: FakeCard) -> None:
    release = VfRelease(lambda: None)
    card.vfs[1].update(STALE)
    release.follow(lambda: facts(1))
    release.follow(lambda: facts().model_copy(update={"libvirt_error": text("libvirtd does not answer.")}))
    assert card.asked == []


def test_what_the_driver_refuses_does_not_keep_the_rest(card: FakeCard, caplog: pytest.LogCaptureFixture) -> None:
    card.refuses = frozenset({"trust", "link_state", "spoofchk"})
    follow = following()
    card.vfs[1].update(STALE)
    follow(1)
    follow()
    assert (card.vfs[1]["vlan"], card.vfs[1]["spoofchk"]) == (0, 0)
    assert "VF 1 of ens1f0 keeps other values than {'spoofchk': True}" in caplog.text


def test_a_vf_that_is_gone_is_forgotten(card: FakeCard, tmp_path: Path) -> None:
    file = tmp_path / "owned.json"
    follow = following(file)
    follow(1)
    assert file.read_text() == '{"0000:01:10.2": "52:54:00:00:00:42"}'
    card.make(0)
    follow()
    assert file.read_text() == "{}"


@pytest.mark.parametrize("content", ["", "{", "7", "[]"])
def test_a_damaged_file_is_no_reason_to_stop(card: FakeCard, tmp_path: Path, content: str) -> None:
    file = tmp_path / "owned.json"
    file.write_text(content)
    following(file)()


def test_the_address_that_the_host_s_driver_had_drawn_is_left_to_it(card: FakeCard) -> None:
    follow = following()
    card.vfs[1].update(STALE)
    follow(1)
    card.vfs[1]["mac"] = "c2:24:d1:77:93:e3"  # libvirt has put it back
    follow()
    assert (card.vfs[1]["mac"], card.vfs[1]["vlan"]) == ("c2:24:d1:77:93:e3", 0)


def test_beside_an_order_nothing_is_reset_and_what_it_leaves_is_once_it_has_ended(card: FakeCard) -> None:
    ended = threading.Event()
    follow = following(again=ended.set)
    card.vfs[1].update(STALE)
    follow(1)
    with alone():
        assert follow().links, "the facts wait for the order"
        follow()
        assert (card.asked, ended.is_set()) == ([], False)
        vf_state.keep("ens1f0", PfState(numvfs=2, vfs={1: VfAttributes(vlan=42)}))
    assert ended.wait(30)
    assert card.asked == []
    follow()
    assert (card.vfs[1]["vlan"], card.vfs[1]["max_tx_rate"]) == (42, 0)


def test_what_an_order_has_changed_since_the_facts_were_read_counts(card: FakeCard) -> None:
    release = VfRelease(lambda: None)
    card.vfs[1].update(STALE)
    release.follow(lambda: facts(1))

    def an_order_ends_meanwhile() -> HostFacts:
        found = facts()
        vf_state.keep("ens1f0", PfState(numvfs=2, vfs={1: VfAttributes(vlan=42)}))
        return found

    release.follow(an_order_ends_meanwhile)
    assert [asked["vlan"]["vlan"] for asked in card.asked if "vlan" in asked] == [42]
