"""The verbs on cards that are VFs: alone, of a network, and as half of a pair, on a domain that is not there."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest

from kvmagent import domain_verbs, libvirt_domains
from kvmagent.domain_verbs import DomainVerbs
from kvmagent.libvirt_connection import Libvirt
from kvmagent.libvirt_domains import CONFIG, LIVE
from kvmagent.steps import Steps, VerbFailed
from tests.virtnet.samples import MAC, PAIR, WEB
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.libvirt_xml import parse
from virtnet.messages import Step
from virtnet.vf_card import HostdevSource

VF = InterfaceSpec(source=HostdevSource(vf="0000:01:10.2"), mac=MAC)
OF_POOL = InterfaceSpec(source=NetworkSource(network="fast"), mac=MAC)


class FakeDomain:
    """A persistent guest. A card on the network `fast` shows, while it runs, as the VF that it was given."""

    def __init__(self, *, running: bool) -> None:
        self.running = running
        self.cards: dict[int, list[ET.Element]] = {LIVE: [], CONFIG: []}
        self.asked: list[str] = []  # each document to plug in

    def isActive(self) -> bool:  # noqa: N802 (libvirt names it so)
        return self.running

    def isPersistent(self) -> bool:  # noqa: N802 (libvirt names it so)
        return True

    def XMLDesc(self, flags: int) -> str:  # noqa: N802 (libvirt names it so)
        cards = self.cards[CONFIG if flags else LIVE]
        devices = "".join(ET.tostring(card, encoding="unicode") for card in cards)
        return f"<domain><devices>{devices}</devices></domain>"

    def attachDeviceFlags(self, xml: str, affect: int) -> None:  # noqa: N802 (libvirt names it so)
        self.asked.append(xml)
        card = parse(xml)
        if affect == LIVE and card.find("source[@network='fast']") is not None:
            card = parse(VF.libvirt_xml())
        self.cards[affect].append(card)

    def detach(self, card: ET.Element, *, affect: int) -> None:
        same = [one for one in self.cards[affect] if ET.tostring(one) == ET.tostring(card)]
        self.cards[affect].remove(same[0])

    def types(self) -> dict[int, list[str]]:
        return {affect: [card.get("type", "") for card in cards] for affect, cards in self.cards.items()}


class WillingDomain(FakeDomain):
    """Lets go of a card at once, or says no; tells as libvirt does."""

    lets_go = True

    def connect(self) -> WillingDomain:
        self.told: dict[int, Any] = {}
        return self

    def domainEventRegisterAny(self, _domain: object, event: int, callback: Any, _opaque: object) -> int:  # noqa: N802 (libvirt names it so)
        self.told[event] = callback
        return event

    def domainEventDeregisterAny(self, event: int) -> None:  # noqa: N802 (libvirt names it so)
        del self.told[event]

    def detachDeviceFlags(self, xml: str, affect: int) -> None:  # noqa: N802 (libvirt names it so)
        event = libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED
        if self.lets_go:
            self.detach(parse(xml), affect=affect)
            event = libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED
        alias = parse(xml).find("alias")
        self.told[event](None, None, "" if alias is None else alias.get("name"), None)


class Here:
    """The verbs of one action on the fake domain."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, running: bool) -> None:
        self.domain = FakeDomain(running=running)
        self.told: list[Step] = []
        self.steps = Steps(self.told.append)
        self.verbs = DomainVerbs(Libvirt("test:///default"), self.steps)
        monkeypatch.setattr(DomainVerbs, "_domain", lambda *_: self.domain)
        monkeypatch.setattr(
            libvirt_domains, "detach_device", lambda domain, card, *, affect: domain.detach(card, affect=affect)
        )

    @property
    def outcomes(self) -> list[str]:
        return [step.outcome for step in self.told]


@pytest.fixture(params=[True, False], ids=["running", "shut off"])
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch, running=request.param)


def wanted(here: Here, live: list[str], config: list[str]) -> dict[int, Any]:
    return {LIVE: live if here.domain.running else [], CONFIG: config}


def test_a_vf_is_plugged_in_once_and_unplugged_by_the_undo(here: Here) -> None:
    here.verbs.attach_interface(WEB, VF)
    here.verbs.attach_interface(WEB, VF)
    assert here.domain.types() == wanted(here, ["hostdev"], ["hostdev"])
    assert here.steps.undo()
    assert here.domain.types() == wanted(here, [], [])
    assert here.outcomes == ["done", "already-so", "undone"]


def test_a_card_on_a_network_of_vfs_is_known_again_though_libvirt_shows_the_vf(here: Here) -> None:
    here.verbs.attach_interface(WEB, OF_POOL)
    assert here.domain.types() == wanted(here, ["hostdev"], ["network"])
    here.verbs.attach_interface(WEB, OF_POOL)
    assert here.outcomes == ["done", "already-so"]


def test_it_is_plugged_back_into_its_network_and_not_onto_one_vf(here: Here) -> None:
    here.verbs.attach_interface(WEB, OF_POOL)
    again = Steps(here.told.append)
    DomainVerbs(Libvirt("test:///default"), again).detach_interface(WEB, MAC)
    assert here.domain.types() == wanted(here, [], [])
    here.domain.asked.clear()
    assert again.undo()
    assert here.domain.asked
    assert all('network="fast"' in xml for xml in here.domain.asked)
    assert here.domain.types() == wanted(here, ["hostdev"], ["network"])


def test_both_halves_of_a_pair_have_one_address_and_are_told_apart(here: Here) -> None:
    for half in (PAIR.standby, PAIR.primary, PAIR.standby, PAIR.primary):
        here.verbs.attach_interface(WEB, half)
    assert here.domain.types() == wanted(here, ["network", "hostdev"], ["network", "hostdev"])
    assert here.outcomes == ["done", "done", "already-so", "already-so"]


def test_a_pair_is_unplugged_whole_the_vf_first_and_plugged_back_the_other_way(here: Here) -> None:
    here.verbs.attach_interface(WEB, PAIR.standby)
    here.verbs.attach_interface(WEB, PAIR.primary)
    before = here.domain.types()
    again = Steps(here.told.append)
    DomainVerbs(Libvirt("test:///default"), again).detach_interface(WEB, MAC)
    assert here.domain.types() == wanted(here, [], [])
    assert again.undo()
    assert here.domain.types() == before
    (standby, _primary) = here.domain.cards[CONFIG]
    alias = standby.find("alias")
    assert alias is not None
    assert alias.get("name") == "ua-525400123456"


@pytest.mark.parametrize("half", [PAIR.standby, PAIR.primary], ids=["virtio", "VF"])
def test_a_half_that_the_guest_has_let_go_of_is_gone_though_the_other_has_its_address(half: InterfaceSpec) -> None:
    domain = WillingDomain(running=True)
    for card in (PAIR.standby, PAIR.primary):
        domain.attachDeviceFlags(card.libvirt_xml(), LIVE)
    libvirt_domains.detach_device(domain, parse(half.libvirt_xml()), affect=LIVE)
    assert len(domain.cards[LIVE]) == 1
    domain.lets_go = False
    with pytest.raises(libvirt_domains.StillPlugged):
        libvirt_domains.detach_device(domain, domain.cards[LIVE][0], affect=LIVE)


def test_of_a_pair_the_vf_alone_is_unplugged_and_plugged_in_again(here: Here) -> None:
    here.verbs.attach_interface(WEB, PAIR.standby)
    here.verbs.attach_interface(WEB, PAIR.primary)
    again = Steps(here.told.append)
    verbs = DomainVerbs(Libvirt("test:///default"), again)
    verbs.detach_vf_of_pair(WEB, MAC)
    assert here.domain.types() == wanted(here, ["network"], ["network"])
    verbs.detach_vf_of_pair(WEB, MAC)
    assert here.outcomes[-2:] == ["done", "already-so"]
    assert again.undo()
    assert here.domain.types() == wanted(here, ["network", "hostdev"], ["network", "hostdev"])
    verbs.detach_vf_of_pair(WEB, MAC)
    here.verbs.attach_interface(WEB, PAIR.standby)
    here.verbs.attach_interface(WEB, PAIR.primary)
    assert here.domain.types() == wanted(here, ["network", "hostdev"], ["network", "hostdev"])


def test_a_card_on_its_own_has_no_vf_to_unplug_from_it(here: Here) -> None:
    here.verbs.attach_interface(WEB, VF)
    with pytest.raises(VerbFailed, match=f"web1 has no pair {MAC}"):
        here.verbs.detach_vf_of_pair(WEB, MAC)
    assert here.domain.types() == wanted(here, ["hostdev"], ["hostdev"])


def test_the_undo_of_a_pair_takes_the_vf_and_then_the_virtio_card(here: Here) -> None:
    here.verbs.attach_interface(WEB, PAIR.standby)
    here.verbs.attach_interface(WEB, PAIR.primary)
    assert here.steps.undo()
    assert here.domain.types() == wanted(here, [], [])


def test_the_address_of_another_card_is_refused(here: Here) -> None:
    here.verbs.attach_interface(WEB, InterfaceSpec(source=NetworkSource(network="lan"), mac=MAC))
    with pytest.raises(VerbFailed, match="plugged in elsewhere"):
        here.verbs.attach_interface(WEB, VF)


def test_a_running_guest_with_a_vf_of_a_network_is_plugged_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(monkeypatch, running=True)
    here.verbs.attach_interface(WEB, OF_POOL)

    class Connection:
        def listAllDomains(self, _flags: int) -> list[FakeDomain]:  # noqa: N802 (libvirt names it so)
            return [here.domain]

    here.domain.name = lambda: "web1"  # type: ignore[attr-defined]
    assert libvirt_domains.plugged_into(Connection(), "fast") == ["web1"]
    assert libvirt_domains.plugged_into(Connection(), "slow") == []


def test_the_halves_are_looked_for_in_the_order_of_unplugging() -> None:
    domain = FakeDomain(running=False)
    for half in (PAIR.standby, PAIR.primary):
        domain.attachDeviceFlags(half.libvirt_xml(), CONFIG)
    assert list(domain_verbs._halves(domain, MAC)) == ["transient", "persistent"]
