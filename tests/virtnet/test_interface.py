"""A card of a guest: how it is written, what it refuses, and what stands in its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import (
    CARD,
    CARDS,
    DIRECT,
    MAC,
    MACVTAP,
    OFFICE,
    OTHER,
    WEB,
    guest,
    host,
    host_with,
    link,
    network,
    said,
)
from tests.virtnet.schema import needs_schemas, refused_by_schema
from tests.virtnet.test_generated_strings import domain_with
from virtnet.actions import AttachInterface
from virtnet.direct import SourceMode
from virtnet.facts import HostFacts, InterfaceFacts
from virtnet.interface import DirectSource, InterfaceSpec, Model

GOLDEN = Path(__file__).parent / "golden_cards"
SOURCE_MODES: tuple[SourceMode, ...] = get_args(SourceMode)


@pytest.mark.parametrize("case", CARDS)
def test_its_xml_is_the_golden_one(case: str) -> None:
    assert CARDS[case].libvirt_xml() + "\n" == (GOLDEN / f"{case}.xml").read_text(encoding="utf-8")


def test_each_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CARDS)


@needs_schemas
def test_libvirt_s_schema_allows_each() -> None:
    documents = [domain_with(path.read_text(encoding="utf-8")) for path in sorted(GOLDEN.iterdir())]
    assert refused_by_schema("domain.rng", documents) == []


@needs_schemas
def test_the_schema_finds_a_source_mode_that_is_none() -> None:
    wrong = domain_with(DIRECT.libvirt_xml().replace('mode="bridge"', 'mode="hub"'))
    assert refused_by_schema("domain.rng", [wrong]) == [wrong]


def test_virtio_unless_told_otherwise() -> None:
    assert InterfaceSpec(source=CARD.source, mac=MAC).model == "virtio"
    assert {"virtio", "e1000e"} < set(get_args(Model))


@pytest.mark.parametrize("case", CARDS)
def test_it_comes_back_whole_over_the_wire(case: str) -> None:
    assert InterfaceSpec.model_validate_json(CARDS[case].model_dump_json()) == CARDS[case]


def test_a_card_of_the_first_version_is_one_on_a_network() -> None:
    former = {"network": "office", "mac": MAC, "model": "virtio"}
    assert InterfaceSpec.model_validate(former) == CARD
    assert former == {"network": "office", "mac": MAC, "model": "virtio"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": {"type": "network", "network": ""}},
        {"source": {"type": "network", "network": "a\x01"}},
        {"source": {"type": "network", "network": "x" * 1025}},
        {"source": {"type": "network", "network": "office", "mode": "vepa"}},
        {"source": {"type": "direct", "link": "eth1/.."}},
        {"source": {"type": "direct", "link": "eth1", "mode": "hub"}},
        {"source": {"type": "user"}},
        {"source": None},
        {"network": "office"},
        {"mac": "x"},
        {"model": "ne2k"},
        {"type": "direct"},
    ],
)
def test_it_refuses_what_no_card_can_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InterfaceSpec.model_validate({"source": {"type": "network", "network": "office"}, "mac": MAC} | wrong)


def test_only_virtio_tells_the_host_its_filters() -> None:
    trusted = CARDS["direct-trusted"].model_dump()
    with pytest.raises(ValidationError, match="Only a virtio card tells the host which frames its guest listens to"):
        InterfaceSpec.model_validate(trusted | {"model": "e1000e"})


def direct(mode: SourceMode = "bridge", link: str = "eth1") -> AttachInterface:
    card = DIRECT.model_copy(update={"source": DirectSource(link=link, mode=mode)})
    return AttachInterface(domain=WEB, interface=card)


def card_on(mode: str, mac: str = MAC, uuid: UUID = OTHER) -> HostFacts:
    """A host on which db1, or the guest of that UUID, has a card on eth1."""
    there = InterfaceFacts(mac=mac, type="direct", source="eth1", source_mode=mode, target="macvtap0")
    other = guest("db1").model_copy(update={"uuid": uuid, "interfaces": (there,)})
    return host(domains=(other,) if uuid == WEB.uuid else (guest(), other))


@pytest.mark.parametrize("mode", SOURCE_MODES)
def test_a_card_goes_straight_on_a_free_link_in_each_submode(mode: SourceMode) -> None:
    assert direct(mode).problems(host(domains=(guest(),))) == []


@pytest.mark.parametrize("mode", SOURCE_MODES)
def test_the_card_that_an_earlier_try_plugged_in_is_not_in_its_own_way(mode: SourceMode) -> None:
    assert direct(mode).problems(card_on(mode, uuid=WEB.uuid)) == []


def test_the_same_card_in_another_submode_is_another_card() -> None:
    assert ("mac", f"{MAC} is a card of db1 already.") in said(
        direct("vepa").problems(card_on("bridge", uuid=WEB.uuid))
    )


@pytest.mark.parametrize(
    ("wanted", "there", "refused"),
    [
        ("bridge", "bridge", False),
        ("private", "vepa", False),
        ("bridge", "passthrough", True),
        ("passthrough", "bridge", True),
        ("passthrough", "passthrough", True),
    ],
)
def test_a_link_in_passthrough_has_one_card(wanted: SourceMode, there: SourceMode, refused: bool) -> None:
    facts = card_on(there, mac="52:54:00:00:00:07")
    sentence = "eth1 carries the card 52:54:00:00:00:07 of db1, and passthrough needs a link for itself."
    assert said(direct(wanted).problems(facts)) == ([("source", sentence)] if refused else [])


def test_a_link_with_another_mtu_is_noted_and_not_in_the_way() -> None:
    facts = host_with(link("eth1", mtu=9000), domains=(guest(),))
    assert direct().problems(facts) == []
    for notes in (direct().notes(facts), MACVTAP.notes(facts, OFFICE)):
        (note,) = notes
        assert str(note.text) == "eth1 has the MTU 9000, and libvirt tells a guest on it nothing."
        assert str(note.fix) == "Set the MTU 9000 inside the guest."
    assert direct().notes(host_with(link("eth1", mtu=1500))) == direct(link="eth9").notes(facts) == []


def test_it_refuses_a_link_that_is_a_port_of_a_bridge_and_one_that_is_not_there() -> None:
    facts = host(domains=(guest(),))
    assert said(direct(link="eth2").problems(facts)) == [("source", "eth2 is a port of br0 already.")]
    assert said(direct(link="eth9").problems(facts)) == [("source", "This host has no link eth9.")]


def test_passthrough_of_the_host_s_own_way_out_is_refused_and_a_shared_submode_is_not() -> None:
    facts = host(domains=(guest(),))
    (problem,) = direct("passthrough", "eth0").problems(facts)
    assert str(problem.text) == "eth0 carries this host's default route: a guest that owns it would cut the host off."
    assert str(problem.fix) == "Choose a link that the host does not use, or the source mode bridge."
    assert direct("private", "eth0").problems(facts) == []


def test_a_network_of_the_same_name_as_a_link_is_another_place() -> None:
    facts = host(networks=(network("eth1", "nat"),), domains=(guest(networks=("eth1",)),))
    attach = AttachInterface(domain=WEB, interface=DIRECT.model_copy(update={"mac": "52:54:00:00:00:01"}))
    assert said(attach.problems(facts)) == [("mac", "52:54:00:00:00:01 is a card of web1 already.")]
