"""Whatever string comes into a field that reaches XML: the spec refuses it, or the document is as it should be."""

from __future__ import annotations

import json
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.virtnet.generated import GENERATED, STRINGS, for_each_string
from tests.virtnet.samples import CARDS, CASES, OFFICE
from tests.virtnet.schema import needs_schemas, refused_by_schema
from virtnet import network_xml
from virtnet.actions import DefineNetwork
from virtnet.card_filter import CardFilter
from virtnet.interface import AnySource, InterfaceSpec
from virtnet.libvirt_xml import parse
from virtnet.modes import MODES, read_spec
from virtnet.spec import NetworkSpec

# The case whose document has the field, and the field; None: the field lives on in the metadata alone.
FIELDS: dict[tuple[str, str], tuple[str, str] | None] = {
    ("nat-leases", "bridge"): ("bridge", "name"),
    ("nat-plain", "gateway"): ("ip", "address"),
    ("nat-leases", "first_lease"): ("ip/dhcp/range", "start"),
    ("nat-leases", "last_lease"): ("ip/dhcp/range", "end"),
    ("host-only-leases", "bridge"): ("bridge", "name"),
    ("host-only-plain", "host_address"): ("ip", "address"),
    ("host-only-leases", "first_lease"): ("ip/dhcp/range", "start"),
    ("host-only-leases", "last_lease"): ("ip/dhcp/range", "end"),
    ("bridge-uplink", "bridge"): ("bridge", "name"),
    ("bridge-uplink", "uplink"): None,
    ("bridge-uplink", "second_uplink"): None,
    ("macvtap-bridge", "uplink"): ("forward/interface", "dev"),
    ("macvtap-bridge", "source_mode"): ("forward", "mode"),
    ("sriov-vlan", "pf"): ("forward/pf", "dev"),
    ("sriov-vlan", "numvfs"): None,
    ("sriov-vlan", "vlan"): ("vlan/tag", "id"),
}
# A yes or a no adds one fixed attribute; a list of PCI addresses holds nothing but them (see test_fields).
NOT_WRITTEN = {
    ("macvtap", "trust_guest_rx_filters"),
    ("sriov", "vfs"),
    *(("bridge", field) for field in ("stp", "forward_delay", "mtu", "lasts")),
}


def skeleton(root: ET.Element) -> list[tuple[str, list[str]]]:
    """Every element with the names of its attributes."""
    return [(element.tag, sorted(element.attrib)) for element in root.iter()]


def spec_or_none(case: str, field: str, value: str) -> NetworkSpec | None:
    """As it comes from a form or over the wire: JSON text."""
    wanted = json.loads(CASES[case].model_dump_json()) | {field: value}
    try:
        return MODES[CASES[case].mode].model_validate_json(json.dumps(wanted))
    except ValidationError:
        return None


def test_every_field_that_reaches_xml_is_here() -> None:
    covered = {(CASES[case].mode, field) for case, field in FIELDS} | NOT_WRITTEN
    fields = {(mode, field) for mode, kind in MODES.items() for field in kind.model_fields}
    assert fields - covered == {(mode, field) for mode in MODES for field in ("mode", "name")}


@needs_schemas
@pytest.mark.parametrize(("case", "field"), FIELDS, ids=lambda part: str(part))
def test_a_field_of_a_network(case: str, field: str) -> None:
    expected = skeleton(parse(CASES[case].libvirt_xml(OFFICE)))
    documents: list[str] = []
    refused: list[str] = []

    def generated(value: str) -> None:
        spec = spec_or_none(case, field, value)
        if spec is None:
            refused.append(value)
            return
        document = spec.libvirt_xml(OFFICE)
        root = parse(document)
        assert skeleton(root) == expected
        assert read_spec(network_xml.spec_in(root) or "") == spec
        if written := FIELDS[case, field]:
            element = root.find(written[0])
            assert element is not None
            assert element.get(written[1]) == str(getattr(spec, field)).partition("/")[0]
        documents.append(document)

    for_each_string(generated)
    assert documents
    assert refused
    assert refused_by_schema("network.rng", sorted(set(documents))) == []


@needs_schemas
@pytest.mark.parametrize("mode", MODES)
def test_the_name_of_a_network_in_its_order(mode: str) -> None:
    case = next(case for case, spec in CASES.items() if spec.mode == mode)
    expected = skeleton(parse(CASES[case].libvirt_xml(OFFICE)))
    documents: list[str] = []
    refused: list[str] = []

    def generated(name: str) -> None:
        spec = json.loads(CASES[case].model_dump_json()) | {"name": name}
        order = {"network": {"uuid": str(OFFICE.uuid), "name": name}, "spec": spec}
        try:
            action = DefineNetwork.model_validate_json(json.dumps(order))
        except ValidationError:
            refused.append(name)
            return
        document = action.spec.libvirt_xml(action.network)
        root = parse(document)
        assert skeleton(root) == expected
        assert root.findtext("name") == name
        documents.append(document)

    for_each_string(generated)
    assert documents
    assert refused
    assert refused_by_schema("network.rng", sorted(set(documents))) == []


# Each field of a card that is more than a choice between fixed words: in which golden case it is, and where in the XML.
CARD_FIELDS: dict[tuple[str, str], tuple[str, str]] = {
    ("network", "network"): ("source", "network"),
    ("network", "mac"): ("mac", "address"),
    ("network", "model"): ("model", "type"),
    ("direct-bridge", "link"): ("source", "dev"),
    ("direct-bridge", "mode"): ("source", "mode"),
}
NOT_A_STRING = {"type", "source", "trust_guest_rx_filters", "filter", "vlan", "teaming"}
IN_PARTS = {"vf"}  # written as the four parts of a PCI address
PCI_ADDRESSES = st.one_of(STRINGS, st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9]", fullmatch=True))
FILTER = {
    "name": "clean-traffic",
    "addresses": ["192.168.77.9"],
    "gateway_mac": "52:54:00:12:34:57",
    "dhcp_server": "192.168.77.1",
}


def domain_with(card: str) -> str:
    """A guest around one <interface>, since libvirt's schema of a guest has no document for a card alone."""
    return (
        "<domain type='test'><name>web1</name><memory>65536</memory><os><type arch='x86_64'>hvm</type></os>"
        f"<devices>{card}</devices></domain>"
    )


def test_every_field_of_a_card_is_here() -> None:
    kinds = [InterfaceSpec, *get_args(get_args(AnySource)[0])]
    fields = {field for kind in kinds for field in kind.model_fields}
    assert fields - NOT_A_STRING - IN_PARTS == {field for _, field in CARD_FIELDS}
    assert set(CardFilter.model_fields) == set(FILTER)


def with_field(case: str, field: str, value: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(CARDS[case].model_dump_json())
    (card if field in card else card["source"])[field] = value
    return card


@needs_schemas
@pytest.mark.parametrize(("case", "field"), CARD_FIELDS)
def test_a_field_of_a_card(case: str, field: str) -> None:
    expected = skeleton(parse(CARDS[case].libvirt_xml()))
    documents: list[str] = []
    refused: list[str] = []

    def generated(value: str) -> None:
        try:
            card = InterfaceSpec.model_validate_json(json.dumps(with_field(case, field, value)))
        except ValidationError:
            refused.append(value)
            return
        root = parse(card.libvirt_xml())
        assert skeleton(root) == expected
        tag, attribute = CARD_FIELDS[case, field]
        element = root.find(tag)
        assert element is not None
        assert element.get(attribute) == getattr(card if hasattr(card, field) else card.source, field)
        documents.append(domain_with(card.libvirt_xml()))

    for_each_string(generated)
    assert documents
    assert refused
    assert refused_by_schema("domain.rng", sorted(set(documents))) == []


@needs_schemas
def test_the_pci_address_of_a_card_s_vf() -> None:
    expected = skeleton(parse(CARDS["hostdev"].libvirt_xml()))
    documents: list[str] = []
    refused: list[str] = []

    @GENERATED
    @given(PCI_ADDRESSES)
    def generated(value: str) -> None:
        try:
            card = InterfaceSpec.model_validate_json(json.dumps(with_field("hostdev", "vf", value)))
        except ValidationError:
            refused.append(value)
            return
        root = parse(card.libvirt_xml())
        assert skeleton(root) == expected
        parts = root.find("source/address")
        assert parts is not None
        domain, bus, slot, function = (parts.attrib[part][2:] for part in ("domain", "bus", "slot", "function"))
        assert f"{domain}:{bus}:{slot}.{function}" == value
        documents.append(domain_with(card.libvirt_xml()))

    generated()
    assert documents
    assert refused
    assert refused_by_schema("domain.rng", sorted(set(documents))) == []


@needs_schemas
@pytest.mark.parametrize("field", FILTER)
def test_a_field_of_a_card_s_filter(field: str) -> None:
    plain = json.loads(CARDS["network"].model_dump_json())
    whole = InterfaceSpec.model_validate_json(json.dumps(plain | {"filter": FILTER}))
    expected = skeleton(parse(whole.libvirt_xml()))
    documents: list[str] = []
    refused: list[str] = []

    def generated(value: str) -> None:
        wanted = FILTER | {field: [value] if field == "addresses" else value}
        try:
            card = InterfaceSpec.model_validate_json(json.dumps(plain | {"filter": wanted}))
        except ValidationError:
            refused.append(value)
            return
        root = parse(card.libvirt_xml())
        assert skeleton(root) == expected
        assert card.filter is not None
        given_back = [(one.get("name"), one.get("value")) for one in root.iter("parameter")]
        assert tuple(given_back) == card.filter.parameters()
        assert [one.get("filter") for one in root.iter("filterref")] == [card.filter.name]
        documents.append(domain_with(card.libvirt_xml()))

    for_each_string(generated)
    assert documents
    assert refused
    assert refused_by_schema("domain.rng", sorted(set(documents))) == []
