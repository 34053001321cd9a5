"""A bridge is taken out of the host's own configuration only when it has really gone."""

from __future__ import annotations

import pytest

from kvmagent import links
from kvmagent.persist import bridge as lasting
from kvmagent.persist import networkmanager
from kvmagent.persist_verbs import PersistVerbs
from kvmagent.steps import Steps, VerbFailed
from virtnet.configuration import LinkConfiguration
from virtnet.messages import Step


def test_a_bridge_that_its_owner_has_made_again_is_told_and_its_files_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    uplink = LinkConfiguration(link="eth0", owner="networkmanager")
    record = lasting.Record(bridge="br0", mark="", owner="networkmanager", uplink=uplink, changes=())
    monkeypatch.setattr(lasting, "record_of", lambda bridge: record)
    monkeypatch.setattr(lasting, "put_back", lambda record: pytest.fail("its files were taken away"))
    monkeypatch.setattr(links, "kind", lambda link: "bridge")
    told: list[Step] = []
    with pytest.raises(VerbFailed, match="NetworkManager has made br0 again"):
        PersistVerbs(Steps(told.append)).forget_bridge("br0", gone=True)
    assert [step.outcome for step in told] == ["failed"]


def test_a_bridge_that_others_still_need_stays_in_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "record_of", lambda bridge: None)
    told: list[Step] = []
    PersistVerbs(Steps(told.append)).forget_bridge("br0", gone=False)
    assert [step.outcome for step in told] == ["already-so"]


UPLINK = LinkConfiguration(link="eth0", owner="networkmanager")
SECOND = LinkConfiguration(link="eth1", owner="networkmanager")


def test_networkmanager_lets_go_of_bridge_and_ports_before_the_bridge_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _told(monkeypatch, lasting.Record(bridge="br0", mark="", owner="networkmanager", uplink=UPLINK, changes=()))
    with lasting.left_alone("br0"):
        assert told == [f"nmcli device set {link} managed no autoconnect no" for link in ("br0", "eth0")]
        told.clear()
    # Not "autoconnect yes": of its profiles NetworkManager would take the port's, and make the bridge again.
    assert told == ["nmcli device set eth0 managed yes"]


def test_other_owners_are_told_nothing_of_a_bridge_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _told(monkeypatch, lasting.Record(bridge="br0", mark="", owner="networkd", uplink=UPLINK, changes=()))
    with lasting.left_alone("br0"):
        pass
    assert told == []


def test_after_an_undo_networkmanager_has_what_it_let_go_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    record = lasting.Record(bridge="br0", mark="", owner="networkmanager", uplink=UPLINK, second=SECOND, changes=())
    told = _told(monkeypatch, record, autoconnect={"eth0": "no", "eth1": "yes", "br0": "yes"})
    monkeypatch.setattr(lasting, "hand_over", lambda record: told.append(f"hand over {record.bridge}"))
    assert PersistVerbs(Steps(lambda step: None)).finish_undo()
    changes = [line for line in told if not line.startswith("nmcli -g")]
    assert changes == ["nmcli device set eth0 managed yes autoconnect yes", "hand over br0"]


def _told(
    monkeypatch: pytest.MonkeyPatch, record: lasting.Record, autoconnect: dict[str, str] | None = None
) -> list[str]:
    """The commands that NetworkManager is told while only this bridge lasts. autoconnect: of each link."""
    told: list[str] = []

    def ask(command: list[str], timeout: float = 30) -> str:
        told.append(" ".join(command))
        return (autoconnect or {}).get(command[-1], "") + "\n"

    monkeypatch.setattr(networkmanager, "ask", ask)
    monkeypatch.setattr(networkmanager, "is_here", lambda: True)
    monkeypatch.setattr(links, "kind", lambda link: "bridge" if link == "br0" else "veth")
    monkeypatch.setattr(lasting, "record_of", lambda bridge: record)
    monkeypatch.setattr(lasting, "records", lambda: [record])
    return told
