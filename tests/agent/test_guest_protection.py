"""Filters and policies of guests' cards, on libvirt's test driver: read as facts, kept with the guest, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from kvmagent.facts import read_facts
from kvmagent.firewall import Firewall, FirewallFailed, Former
from kvmagent.host import LinuxHost, VerbFailed
from kvmagent.libvirt_connection import Libvirt
from virtnet.actions import DetachInterface
from virtnet.card_filter import CardFilter
from virtnet.facts import DomainFacts
from virtnet.inbound import InboundPolicy, read_policy, read_ports, ruleset
from virtnet.messages import Step
from virtnet.refs import DomainRef

WEB = DomainRef(uuid=UUID("00000000-0000-4000-8000-000000000009"), name="web1")
MAC, OTHER_MAC = "52:54:00:aa:00:01", "52:54:00:aa:00:02"
POLICY = InboundPolicy(open=(read_ports("22/tcp"),), ping=False)
CARD = """<interface type='bridge'><mac address='{mac}'/><source bridge='br0'/><filterref filter='clean-traffic'>
<parameter name='IP' value='10.0.0.5'/><parameter name='IP' value='10.0.0.6'/></filterref></interface>"""


@pytest.fixture
def libvirt_test(tmp_path: Path) -> Iterator[Libvirt]:
    node = tmp_path / "node.xml"
    node.write_text(
        f"<node><domain type='test'><name>{WEB.name}</name><uuid>{WEB.uuid}</uuid><memory>1024</memory>"
        f"<os><type>hvm</type></os><devices>{CARD.format(mac=MAC)}{CARD.format(mac=OTHER_MAC)}</devices></domain></node>"
    )
    libvirt = Libvirt(f"test://{node}")
    yield libvirt
    libvirt.close()


@pytest.fixture
def steps() -> list[Step]:
    return []


@pytest.fixture
def host(libvirt_test: Libvirt, steps: list[Step]) -> LinuxHost:
    return LinuxHost(libvirt_test, steps.append)


def web(libvirt: Libvirt) -> DomainFacts:
    found = read_facts(libvirt).domain(WEB.uuid)
    assert found is not None
    return found


def policies(libvirt: Libvirt) -> dict[str, InboundPolicy | None]:
    return {one.mac: read_policy(one.policy) for one in web(libvirt).inbound}


def test_a_card_s_filter_is_a_fact(libvirt_test: Libvirt) -> None:
    card = web(libvirt_test).card(MAC)
    assert card is not None
    assert (card.filter, card.filter_parameters) == ("clean-traffic", (("IP", "10.0.0.5"), ("IP", "10.0.0.6")))


def test_a_libvirt_without_filters_has_none(libvirt_test: Libvirt) -> None:
    assert read_facts(libvirt_test).filters == ()


def test_a_filter_that_is_there_is_left_alone(host: LinuxHost, steps: list[Step]) -> None:
    wanted = CardFilter.model_validate({"name": "clean-traffic", "addresses": ("10.0.0.5", "10.0.0.6")})
    host.set_filter(WEB, MAC, wanted)
    assert [step.outcome for step in steps] == ["already-so"]


def test_a_card_that_is_not_there_is_told(host: LinuxHost, steps: list[Step]) -> None:
    with pytest.raises(VerbFailed, match="has no card 52:54:00:aa:00:77"):
        host.set_filter(WEB, "52:54:00:aa:00:77", None)
    assert [step.outcome for step in steps] == ["failed"]


def test_a_policy_is_kept_with_the_guest_and_a_second_one_beside_it(
    libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]
) -> None:
    host.set_inbound_policy(WEB, MAC, POLICY)
    host.set_inbound_policy(WEB, OTHER_MAC, InboundPolicy())
    assert policies(libvirt_test) == {MAC: POLICY, OTHER_MAC: InboundPolicy()}
    assert [step.outcome for step in steps if step.command.startswith("virsh")] == ["done", "done"]
    host.set_inbound_policy(WEB, MAC, POLICY)
    assert steps[-2].outcome == "already-so"


def test_a_policy_goes_and_what_others_wrote_beside_it_stays(libvirt_test: Libvirt, host: LinuxHost) -> None:
    domain = libvirt_test.connection().lookupByUUIDString(str(WEB.uuid))
    domain.setMetadata(2, "<note>mine</note>", "mine", "urn:mine", 0)
    before = domain.XMLDesc()
    host.set_inbound_policy(WEB, MAC, POLICY)
    host.set_inbound_policy(WEB, MAC, None)
    assert policies(libvirt_test) == {}
    assert domain.XMLDesc() == before


def test_what_was_kept_comes_back_when_it_is_undone(libvirt_test: Libvirt, host: LinuxHost, steps: list[Step]) -> None:
    host.set_inbound_policy(WEB, MAC, POLICY)
    second = LinuxHost(libvirt_test, steps.append)
    second.set_inbound_policy(WEB, MAC, None)
    assert second.undo()
    assert policies(libvirt_test) == {MAC: POLICY}


def test_a_guest_without_a_policy_has_nothing_to_forget(host: LinuxHost, steps: list[Step]) -> None:
    host.set_inbound_policy(WEB, MAC, None)
    assert steps == []


@pytest.mark.parametrize("written", ["<guest>{</guest>", "<guest/>", "<guest>[1]</guest>", "<guest><b>1</b></guest>"])
def test_metadata_that_somebody_wrote_by_hand_hides_no_guest(libvirt_test: Libvirt, written: str) -> None:
    domain = libvirt_test.connection().lookupByUUIDString(str(WEB.uuid))
    domain.setMetadata(2, written, "kvmpanel", "urn:kvmpanel:guest:1", 0)
    assert web(libvirt_test).inbound == ()


def test_unplugging_forgets_the_policy_too() -> None:
    class Asked:
        def __init__(self) -> None:
            self.asked: list[tuple[str, object]] = []

        def detach_interface(self, domain: DomainRef, mac: str) -> None:
            self.asked.append(("detach", mac))

        def set_inbound_policy(self, domain: DomainRef, mac: str, policy: InboundPolicy | None) -> None:
            self.asked.append(("policy", policy))

        def take_back_links(self) -> None:
            self.asked.append(("take back", None))

    asked = Asked()
    DetachInterface(domain=WEB, mac=MAC).apply(asked)  # type: ignore[arg-type]
    assert asked.asked == [("detach", MAC), ("policy", None), ("take back", None)]


@pytest.mark.usefixtures("own_network")
def test_the_guests_table_is_loaded_held_and_goes_with_the_last_policy(tmp_path: Path) -> None:
    firewall = Firewall(tmp_path / "kvmpanel-guests.nft", family="bridge")
    nothing = firewall.now()
    assert nothing == Former(table=None, file=None)
    wanted = ruleset({MAC: POLICY, OTHER_MAC: InboundPolicy()})
    firewall.load(wanted)
    former = firewall.now()
    assert firewall.holds(wanted, former)
    firewall.load(ruleset({}))
    assert firewall.now().table is None
    assert firewall.holds(ruleset({}), firewall.now())
    firewall.restore(former)
    assert firewall.now() == former
    firewall.restore(nothing)
    assert firewall.now() == nothing


@pytest.mark.usefixtures("own_network")
def test_the_two_tables_are_two(tmp_path: Path) -> None:
    networks = Firewall(tmp_path / "kvmpanel.nft")
    Firewall(tmp_path / "kvmpanel-guests.nft", family="bridge").load(ruleset({MAC: POLICY}))
    assert networks.now() == Former(table=None, file=None)
    with pytest.raises(FirewallFailed, match="nft refused"):
        networks.load("make it so\n")
