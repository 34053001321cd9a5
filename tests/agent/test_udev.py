"""VFs are ready once udev has done with them: it loads their driver, and gives their links the names that they keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kvmagent import links, numvfs, sriov, vf_keepers, vf_restore, vf_state
from kvmagent.sriov import Function
from kvmagent.vf_state import PfState
from tests.agent.fake_udev import FakeUdev
from tests.agent.sriov_card import FakeCard
from virtnet.link_facts import Link

PCI = "0000:01:00.0"
FOR_EVER = 3600.0  # what waits that long is ended by pytest, as a failure


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    return FakeCard(tmp_path / "sys").plug_in(monkeypatch)


@pytest.fixture
def fake_udev(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> FakeUdev:
    return FakeUdev(card, monkeypatch)


def at_each_look(monkeypatch: pytest.MonkeyPatch, *happens: Callable[[], None]) -> list[Callable[[], None]]:
    """Before one look at the VFs after the other; what has not happened yet."""
    real, left = sriov.functions, list(happens)

    def look(pf: str) -> tuple[Function, ...]:
        if sriov.numvfs(pf) and left:
            left.pop(0)()
        return real(pf)

    monkeypatch.setattr(sriov, "functions", look)
    return left


def nothing() -> None:
    """Time goes by."""


def test_a_vf_is_ready_once_udev_has_given_its_link_the_name_that_it_keeps(
    card: FakeCard, fake_udev: FakeUdev, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_udev.begin()
    left = at_each_look(
        monkeypatch,
        nothing,
        nothing,
        lambda: fake_udev.say("ens1f0v0", 9),
        lambda: fake_udev.say("ens1f0v0", 9, "I:42", "E:ID_RENAMING=1"),
        nothing,
        lambda: fake_udev.rename(0, "enp1s16", 9),
    )
    monkeypatch.setattr(numvfs, "DRIVEN", FOR_EVER)
    numvfs.change("ens1f0", 1)
    assert left == []
    assert [function.link for function in sriov.functions("ens1f0")] == ["enp1s16"]


def test_a_driver_is_waited_for_while_udev_is_at_work(
    card: FakeCard, fake_udev: FakeUdev, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bind() -> None:
        card.bind(0, "igbvf")
        fake_udev.say("ens1f0v0", 9, "I:42")

    fake_udev.begin()
    left = at_each_look(monkeypatch, nothing, lambda: card.unbind(0), *[nothing] * 5, bind)
    monkeypatch.setattr(numvfs, "DRIVEN", FOR_EVER)
    monkeypatch.setattr(numvfs, "LINKED", 0)
    numvfs.change("ens1f0", 1)
    assert left == []


def test_a_driver_that_has_not_come_once_udev_is_done_is_not_waited_for(
    card: FakeCard, fake_udev: FakeUdev, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_udev.begin()
    at_each_look(monkeypatch, nothing, lambda: card.unbind(0), nothing, fake_udev.end)
    for name in ("DRIVEN", "LINKED"):
        monkeypatch.setattr(numvfs, name, FOR_EVER)
    numvfs.change("ens1f0", 1)
    assert [function.driver for function in sriov.functions("ens1f0")] == [None]


def test_a_driver_that_makes_its_link_by_and_by_is_waited_for_when_udev_is_done(
    card: FakeCard, fake_udev: FakeUdev, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_the_link_away() -> None:
        (card.device.parent / card.address(0) / "net" / "ens1f0v0").rmdir()

    def make_it() -> None:
        card.bind(0, "iavf")
        fake_udev.say("ens1f0v0", 9, "I:42")

    left = at_each_look(monkeypatch, nothing, take_the_link_away, *[nothing] * 12, make_it)
    monkeypatch.setattr(numvfs, "LINKED", FOR_EVER)
    numvfs.change("ens1f0", 1)
    assert left == []


def test_after_a_start_the_pf_is_used_once_it_has_its_name(
    card: FakeCard, fake_udev: FakeUdev, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under its old one the VFs would be asked of a link that is not there any more."""
    looks: list[str] = []

    def read_links() -> tuple[Link, ...]:
        looks.append("eth0" if len(looks) < 3 else "ens1f0")
        fake_udev.say(looks[-1], 7, "I:42", *(["E:ID_RENAMING=1"] if looks[-1] == "eth0" else []))
        return (Link(name=looks[-1], index=7, totalvfs=8, pci_address=PCI),)

    monkeypatch.setattr(links, "read_links", read_links)
    monkeypatch.setattr(links, "pci_address", lambda link: PCI)
    monkeypatch.setattr(links, "set_state", lambda link, *, up: None)
    monkeypatch.setattr(vf_restore, "CARD_SECONDS", FOR_EVER)
    monkeypatch.setattr(vf_keepers, "RUN", tmp_path / "run")
    monkeypatch.setenv("KVMAGENT_RUN", str(tmp_path / "run-kvmagent"))
    vf_state.keep("ens1f0", PfState(pci=PCI, numvfs=1))
    at_each_look(monkeypatch, lambda: fake_udev.say("ens1f0v0", 9, "I:42"))
    assert vf_restore.restore(lambda step: None).restored == 1
    assert looks[:4] == ["eth0", "eth0", "eth0", "ens1f0"]
