"""One action on libvirt's test driver: what stood in the way, what was done, and what is as before."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from kvmagent import arming, links, restore, snapshot
from kvmagent.arming import Armed
from kvmagent.carry_out import carry_out
from kvmagent.guard import boot_clock
from kvmagent.libvirt_connection import Libvirt
from tests.agent.change import Says
from tests.agent.enrolled_host import DEFAULT
from virtnet.actions import DestroyNetwork, SetNetworkAutostart, StartNetwork, UndefineNetwork
from virtnet.facts import HostFacts
from virtnet.host import Host
from virtnet.messages import Step
from virtnet.modes.host_only import HostOnly
from virtnet.refs import NetworkRef
from virtnet.spec import Problem

GONE = NetworkRef(uuid=uuid4(), name="gone")
SPEC = HostOnly(name="gone", bridge="virbr9", host_address=IPv4Interface("192.168.9.1/24"))


class _TwoVerbs(SetNetworkAutostart):
    """Sets autostart, then does what cannot be done."""

    defect: bool = False

    def apply(self, host: Host) -> None:
        super().apply(host)
        if self.defect:
            raise ZeroDivisionError("a defect")
        host.start_network(GONE)


class _CannotLook(SetNetworkAutostart):
    def problems(self, facts: HostFacts) -> list[Problem]:
        raise ZeroDivisionError("a defect")


class _FailsOnDefault(StartNetwork):
    def apply(self, host: Host) -> None:
        host.start_network(GONE)


@pytest.fixture
def libvirt() -> Iterator[Libvirt]:
    libvirt = Libvirt("test:///default")
    # All connections of a process to test:///default see the same networks.
    libvirt.connection().networkLookupByName("default").setAutostart(False)
    yield libvirt
    libvirt.close()


def _autostart(libvirt: Libvirt) -> bool:
    return bool(libvirt.connection().networkLookupByName("default").autostart())


def test_it_applies_an_action_and_tells_each_step_as_it_happens(libvirt: Libvirt) -> None:
    told: list[Step] = []
    before: list[str] = []
    finished = carry_out(
        SetNetworkAutostart(network=DEFAULT, autostart=True), libvirt, told.append, found=before.append
    )
    assert finished.outcome == "applied"
    assert [step.outcome for step in finished.steps] == ["done"]
    assert tuple(told) == finished.steps
    assert before == [finished.before]
    assert "<name>default</name>" in finished.before
    assert _autostart(libvirt)


def test_what_is_so_already_is_applied_without_doing_anything(libvirt: Libvirt) -> None:
    finished = carry_out(StartNetwork(network=DEFAULT), libvirt, lambda step: None)
    assert finished.outcome == "applied"
    assert [step.outcome for step in finished.steps] == ["already-so"]


def test_it_refuses_what_has_a_problem_and_touches_nothing(libvirt: Libvirt) -> None:
    told: list[Step] = []
    finished = carry_out(DestroyNetwork(network=GONE), libvirt, told.append)
    assert finished.outcome == "refused"
    assert [str(problem.text) for problem in finished.problems] == ["This host has no network gone any more."]
    assert told == []


def test_it_refuses_while_libvirt_cannot_be_reached() -> None:
    finished = carry_out(StartNetwork(network=DEFAULT), Libvirt("test:///no/such/file.xml"), lambda step: None)
    assert finished.outcome == "refused"
    assert "libvirt" in str(finished.problems[0].text)


NODE = """<node><cpu><mhz>1</mhz><model>x</model><active>1</active><nodes>1</nodes><sockets>1</sockets><cores>1</cores>
<threads>1</threads></cpu><memory>1000</memory>
<network><name>late</name><uuid>11111111-2222-4333-8444-555555555555</uuid><ip address="10.3.3.1"/></network></node>"""
LATE = NetworkRef(uuid=UUID("11111111-2222-4333-8444-555555555555"), name="late")


def test_an_interrupted_order_waits_for_a_libvirtd_that_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "node.xml"
    comes_back = threading.Timer(0.3, file.write_text, [NODE])
    comes_back.start()
    late = Libvirt(f"test://{file}")
    try:
        finished = carry_out(StartNetwork(network=LATE), late, lambda step: None, before="", patience=60)
        assert finished.outcome == "applied"
    finally:
        comes_back.join()
        late.close()


@pytest.mark.usefixtures("own_network")
def test_an_interrupted_order_whose_libvirtd_stays_away_puts_its_links_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path))
    subprocess.run(["ip", "link", "add", "one0", "type", "veth", "peer", "name", "two0"], check=True)
    before = snapshot.take()
    arming.arm(Armed("the order", "panel", boot_clock() + 300, ("one0",), before, restore.plan(("one0",), before)))
    subprocess.run(["ip", "link", "set", "one0", "mtu", "1300", "up"], check=True)
    gone = Libvirt("test:///no/such/file.xml")
    for owner, outcome, mtu in (("another order", "armed", 1300), ("the order", "restored", 1500)):
        says = Says("never", owner)
        finished = carry_out(StartNetwork(network=DEFAULT), gone, print, before="x", confirmation=says, patience=0)
        assert finished.outcome == "failed"
        assert "libvirt" in str(finished.problems[0].text)
        assert arming.find()[1] == outcome
        assert links.mtu("one0") == mtu
    assert [step.outcome for step in finished.steps] == ["undone"]


@pytest.mark.parametrize("defect", [False, True])
def test_a_failure_undoes_what_was_done_before_it(libvirt: Libvirt, defect: bool) -> None:
    assert not _autostart(libvirt)
    finished = carry_out(_TwoVerbs(network=DEFAULT, autostart=True, defect=defect), libvirt, lambda step: None)
    assert finished.outcome == "undone"
    assert finished.error is not None
    assert "undone" in {step.outcome for step in finished.steps}
    assert not _autostart(libvirt)


def test_a_defect_in_looking_is_told_and_nothing_is_touched(libvirt: Libvirt) -> None:
    told: list[Step] = []
    finished = carry_out(_CannotLook(network=DEFAULT, autostart=True), libvirt, told.append)
    assert finished.outcome == "refused"
    assert str(finished.error) == "The agent failed: ZeroDivisionError: a defect. Please report this."
    assert told == []


def test_an_object_that_the_interrupted_try_took_away_is_no_problem(libvirt: Libvirt) -> None:
    """Killed between undefining and the rest: finishing it is right, and refusing it would leave the rest."""
    action = UndefineNetwork(network=GONE, spec=SPEC)
    assert carry_out(action, libvirt, lambda step: None).outcome == "refused"
    finished = carry_out(action, libvirt, lambda step: None, before="<network>as it was</network>")
    assert finished.outcome == "applied"
    assert finished.before == "<network>as it was</network>"
    assert finished.after == ""


def test_a_problem_that_came_while_it_was_interrupted_is_said(libvirt: Libvirt) -> None:
    finished = carry_out(DestroyNetwork(network=GONE), libvirt, lambda step: None, before="")
    assert finished.outcome == "refused"
    assert finished.problems


def test_a_failure_after_an_interruption_is_undone_only_when_all_is_as_before(libvirt: Libvirt) -> None:
    as_it_was = carry_out(StartNetwork(network=DEFAULT), libvirt, lambda step: None).before
    action = _FailsOnDefault(network=DEFAULT)
    assert carry_out(action, libvirt, lambda step: None, before=as_it_was).outcome == "undone"
    assert carry_out(action, libvirt, lambda step: None, before="<network>other</network>").outcome == "failed"
