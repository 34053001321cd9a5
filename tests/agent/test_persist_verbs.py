"""A bridge is written into the host's own configuration and taken out of it, and an undo leaves the files and their
owner as they were found."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from kvmagent import bridges, links
from kvmagent.bridge_mark import Found, Mark
from kvmagent.persist import bridge as lasting
from kvmagent.persist import configuration, networkd, networkmanager
from kvmagent.persist.owners import OwnerFailed
from kvmagent.persist_verbs import PersistVerbs
from kvmagent.steps import Steps, VerbFailed
from virtnet.bridges import Wiring
from virtnet.configuration import ConfigurationFile, FileChange, LinkConfiguration
from virtnet.messages import Step
from virtnet.persist import networkd as networkd_files
from virtnet.refs import NetworkRef
from virtnet.text import text


def test_a_bridge_that_its_owner_has_made_again_is_told_and_its_files_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    uplink = LinkConfiguration(link="eth0", owner="networkmanager")
    record = lasting.Record(bridge="br0", mark="", owner="networkmanager", uplink=uplink, changes=())
    monkeypatch.setattr(lasting, "record_of", lambda bridge: record)
    monkeypatch.setattr(lasting, "put_back", lambda record: pytest.fail("its files were taken away"))
    monkeypatch.setattr(links, "kind", lambda link: "bridge")
    told: list[Step] = []
    with pytest.raises(VerbFailed, match="NetworkManager has made br0 again"):
        PersistVerbs(Steps(told.append), "this order").forget_bridge("br0", gone=True)
    assert [step.outcome for step in told] == ["failed"]


def test_a_bridge_that_others_still_need_stays_in_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "record_of", lambda bridge: None)
    told: list[Step] = []
    PersistVerbs(Steps(told.append), "this order").forget_bridge("br0", gone=False)
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
    assert PersistVerbs(Steps(lambda step: None), "this order").finish_undo()
    changes = [line for line in told if not line.startswith("nmcli -g")]
    assert changes == ["nmcli device set eth0 managed yes autoconnect yes", "hand over br0"]


@pytest.mark.parametrize("own", ["run", "etc"])
def test_after_a_removal_the_profile_that_was_modified_for_a_moment_goes_and_the_link_s_own_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: str
) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    (tmp_path / "etc").mkdir()
    for name, uuid in (("lan", "a1"), ("vpn", "b2")):
        (runtime / f"{name}.nmconnection").write_text(f"[connection]\nuuid={uuid}\n")
    profile = tmp_path / own / "lan.nmconnection"
    profile.write_text("[connection]\nuuid=a1\n")
    files = (ConfigurationFile(path=str(profile), text=profile.read_text()),)
    uplink = LinkConfiguration(link="eth0", owner="networkmanager", files=files)
    told = _told(monkeypatch, lasting.Record(bridge="br0", mark="", owner="networkmanager", uplink=uplink, changes=()))
    monkeypatch.setattr(networkmanager, "RUNTIME_PROFILES", runtime)
    networkmanager.take_back("br0", uplink)
    assert profile.is_file()
    stay = ["lan.nmconnection", "vpn.nmconnection"] if own == "run" else ["vpn.nmconnection"]
    assert sorted(path.name for path in runtime.iterdir()) == stay
    assert told.count("nmcli connection reload") == (1 if own == "run" else 2)


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


LAN = NetworkRef(uuid=UUID("00000000-0000-4000-8000-00000000000a"), name="lan")
OTHER = NetworkRef(uuid=UUID("00000000-0000-4000-8000-00000000000b"), name="other")


class Order:
    """One order's verbs on br0, which is in this kernel, and on files that systemd-networkd would read."""

    def __init__(self, name: str) -> None:
        self.told: list[Step] = []
        self.steps = Steps(self.told.append)
        self.verbs = PersistVerbs(self.steps, name)

    def persist(self, *, forward_delay: int = 0, network: NetworkRef = LAN) -> list[str]:
        self.verbs.persist_bridge(network, Wiring("br0", forward_delay=forward_delay))
        return [step.outcome for step in self.told]

    def forget(self) -> None:
        bridges.delete("br0")
        self.verbs.forget_bridge("br0", gone=True)

    def undo(self) -> bool:
        undone = self.steps.undo()
        return self.verbs.finish_undo() and undone


@pytest.fixture
def etc(tmp_path: Path, own_network: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are; networkctl is told nothing, and said to have been told in `etc/told`."""
    directory = tmp_path / "etc"
    directory.mkdir()

    def ask(command: list[str], timeout: float = 30) -> str:
        with (directory / "told").open("a") as file:
            print(*command, "with" if links.kind("br0") else "without", "br0", file=file)
        return ""

    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(networkd_files, "DIRECTORY", str(directory))
    monkeypatch.setattr(networkd, "ask", ask)
    monkeypatch.setattr(networkd, "_reload", lambda *names: ask(["networkctl", "reload"]))
    found = LinkConfiguration(link="", owner="networkd")
    monkeypatch.setattr(configuration, "read", lambda link: found)
    make_bridge()
    return directory


def make_bridge() -> None:
    bridges.add("br0", bridges.settings_for(LAN))


def files_in(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(directory.iterdir()) if path.name != "told"}


def told_in(directory: Path) -> list[str]:
    """What networkd was told, and whether the bridge was there then; it is forgotten."""
    file = directory / "told"
    told = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return told


def test_an_undo_takes_out_what_its_own_order_has_written(etc: Path) -> None:
    order = Order("the first")
    assert order.persist() == ["done"]
    assert list(files_in(etc)) == ["0-kvmpanel-br0.netdev", "0-kvmpanel-br0.network"]
    assert order.undo()
    assert files_in(etc) == {}
    assert lasting.records() == []


def test_an_undo_leaves_a_bridge_in_the_files_that_an_earlier_order_has_written(etc: Path) -> None:
    Order("the first").persist()
    written, records = files_in(etc), lasting.records()
    told_in(etc)
    order = Order("the second")
    assert order.persist() == ["already-so"]
    assert order.undo()
    assert (files_in(etc), lasting.records()) == (written, records)
    assert told_in(etc) == []


def test_a_bridge_that_is_another_now_is_written_as_it_is(etc: Path) -> None:
    Order("the first").persist()
    former = files_in(etc)
    assert Order("the second").persist(forward_delay=4) == ["done"]
    assert "STP=yes\nForwardDelaySec=4\n" in files_in(etc)["0-kvmpanel-br0.netdev"]
    assert Order("the third").persist() == ["done"]
    assert files_in(etc) == former
    Order("the fourth").forget()
    assert (files_in(etc), lasting.records()) == ({}, [])


def test_an_undo_of_a_change_leaves_the_bridge_in_the_files_as_it_was_there(etc: Path) -> None:
    Order("the first").persist()
    written, records = files_in(etc), lasting.records()
    order = Order("the second")
    order.persist(forward_delay=4)
    told_in(etc)
    assert order.undo()
    assert (files_in(etc), lasting.records()) == (written, records)
    assert told_in(etc) == ["networkctl reload with br0"]


def test_an_interrupted_change_is_taken_up_and_goes_back_to_what_was_written_before(etc: Path) -> None:
    Order("the first").persist()
    written, records = files_in(etc), lasting.records()
    Order("the second").persist(forward_delay=4)
    again = Order("the second")
    again.verbs.take_up("br0")
    assert again.persist(forward_delay=4) == ["done"]
    assert again.undo()
    assert (files_in(etc), lasting.records()) == (written, records)


def test_a_change_that_its_owner_does_not_take_leaves_the_files_as_they_were(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Order("the first").persist()
    written, records = files_in(etc), lasting.records()

    def refuses(bridge: str) -> None:
        raise OwnerFailed(text("no"))

    monkeypatch.setattr(networkd, "check", refuses)
    with pytest.raises(VerbFailed):
        Order("the second").persist(forward_delay=4)
    assert (files_in(etc), lasting.records()) == (written, records)


def test_another_network_on_the_bridge_writes_nothing_of_its_own(etc: Path) -> None:
    Order("the first").persist()
    assert Order("the second").persist(forward_delay=4, network=OTHER) == ["already-so"]


def test_what_others_have_written_since_into_a_file_of_theirs_stays(etc: Path) -> None:
    Order("the first").persist()
    (record,) = lasting.records()
    theirs = etc / "interfaces"
    theirs.write_text("#kvmpanel:br0# auto eth0\n")
    change = FileChange(path=str(theirs), before="auto eth0\n", after=theirs.read_text())
    lasting.keep(record.model_copy(update={"changes": (*record.changes, change)}))
    theirs.write_text(theirs.read_text() + "auto eth7\n")
    assert Order("the second").persist(network=OTHER) == ["already-so"]
    assert "auto eth7" in theirs.read_text()


def test_what_an_interrupted_try_has_written_goes_when_the_next_fails_before_it_comes_to_it(etc: Path) -> None:
    Order("the first").persist()
    again = Order("the first")
    again.verbs.take_up("br0")
    assert again.undo()
    assert (files_in(etc), lasting.records()) == ({}, [])


def test_another_order_takes_up_nothing_of_an_earlier_one(etc: Path) -> None:
    Order("the first").persist()
    written = files_in(etc)
    other = Order("the second")
    other.verbs.take_up("br0")
    assert other.undo()
    assert files_in(etc) == written


def test_after_the_undo_of_a_removal_the_owner_is_told_to_go_on_with_the_bridge_once_it_is_there(etc: Path) -> None:
    Order("the first").persist()
    written, records = files_in(etc), lasting.records()
    order = Order("the second")
    told_in(etc)
    order.forget()
    assert (files_in(etc), lasting.records()) == ({}, [])
    assert told_in(etc) == ["networkctl reload without br0"]
    order.steps.undo()
    make_bridge()  # as the guard does, after the files
    assert order.verbs.finish_undo()
    assert (files_in(etc), lasting.records()) == (written, records)
    assert told_in(etc) == ["networkctl reload with br0"]


def test_the_record_of_a_removal_is_kept_until_the_owner_has_been_told(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Order("the first").persist()

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(lasting, "take_back", killed)
        with pytest.raises(Killed):
            Order("the second").forget()
    assert files_in(etc) == {}
    told_in(etc)
    again = Order("the second")
    again.verbs.forget_bridge("br0", gone=False)
    assert [step.outcome for step in again.told] == ["done"]
    assert told_in(etc) == ["networkctl reload without br0"]
    assert lasting.records() == []


def test_cards_that_have_other_names_after_the_start_are_known_by_their_permanent_macs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path))
    first, second = "52:54:00:00:00:01", "52:54:00:00:00:02"
    mark = Mark(LAN.uuid, (Found("eth0", was_up=True), Found("eth1")))
    written = lasting.Record(
        bridge="br0",
        mark=mark.alias(),
        owner="networkd",
        uplink=LinkConfiguration(link="eth0", owner="networkd", permanent_mac=first),
        second=LinkConfiguration(link="eth1", owner="networkd", permanent_mac=second),
        changes=(),
    )
    lasting.keep(written)
    monkeypatch.setattr(links, "by_permanent_mac", lambda: {first: "eth0"})  # the second is not there
    assert lasting.record_of("br0") == written
    monkeypatch.setattr(links, "by_permanent_mac", lambda: {first: "eth1", second: "eth0"})
    found = lasting.record_of("br0")
    assert found is not None
    assert found.second is not None
    assert (found.uplink.link, found.second.link) == ("eth1", "eth0")
    assert lasting.mark_of("br0") == Mark(LAN.uuid, (Found("eth1", was_up=True), Found("eth0")))
