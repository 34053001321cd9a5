"""What the panel writes, given to libvirt with its VALIDATE flag."""

from __future__ import annotations

from typing import get_args
from xml.etree import ElementTree as ET

import libvirt
import pytest

from tests.virtnet.samples import CARDS, CASES, OFFICE
from tests.virtnet.test_generated_strings import domain_with
from virtnet.interface import InterfaceSpec, Model, NetworkSource
from virtnet.libvirt_xml import parse
from virtnet.read_network import read


def define(driver: libvirt.virConnect, xml: str) -> libvirt.virNetwork:
    return driver.networkDefineXMLFlags(xml, libvirt.VIR_NETWORK_DEFINE_VALIDATE)


@pytest.mark.parametrize("case", CASES)
def test_libvirt_defines_and_starts_it_and_the_panel_knows_it_again(driver: libvirt.virConnect, case: str) -> None:
    network = define(driver, CASES[case].libvirt_xml(OFFICE))
    network.create()
    found = read(network.XMLDesc(), active=bool(network.isActive()), persistent=True, autostart=False)
    assert (found.name, found.uuid, found.mode, found.active) == ("office", OFFICE.uuid, CASES[case].mode, True)
    assert found.spec == CASES[case].model_dump_json()


@pytest.mark.parametrize("case", CASES)
def test_libvirt_keeps_every_element_that_was_written(driver: libvirt.virConnect, case: str) -> None:
    written = parse(CASES[case].libvirt_xml(OFFICE))
    kept = parse(define(driver, CASES[case].libvirt_xml(OFFICE)).XMLDesc())
    for element in written.iter():
        assert [one for one in kept.iter(element.tag) if element.attrib.items() <= one.attrib.items()], element.tag


@pytest.mark.parametrize("case", CASES)
def test_the_elements_stand_in_libvirt_s_own_order(driver: libvirt.virConnect, case: str) -> None:
    written = [element.tag for element in parse(CASES[case].libvirt_xml(OFFICE))]
    kept = [element.tag for element in parse(define(driver, CASES[case].libvirt_xml(OFFICE)).XMLDesc())]
    assert [tag for tag in kept if tag in written] == written


def test_defining_it_twice_is_one_network(driver: libvirt.virConnect) -> None:
    before = len(driver.listAllNetworks())
    for _ in range(2):
        define(driver, CASES["nat-plain"].libvirt_xml(OFFICE))
    assert len(driver.listAllNetworks()) == before + 1


def test_the_validate_flag_finds_an_element_that_does_not_belong(driver: libvirt.virConnect) -> None:
    wrong = parse(CASES["nat-plain"].libvirt_xml(OFFICE))
    ET.SubElement(wrong, "surprise")
    with pytest.raises(libvirt.libvirtError, match=r"surprise|validate"):
        define(driver, ET.tostring(wrong, encoding="unicode"))


@pytest.mark.parametrize("case", CARDS)
def test_libvirt_keeps_every_element_of_a_card(driver: libvirt.virConnect, case: str) -> None:
    written = parse(CARDS[case].libvirt_xml())
    domain = driver.defineXMLFlags(domain_with(CARDS[case].libvirt_xml()), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    (kept,) = parse(domain.XMLDesc()).findall("devices/interface")
    assert written.attrib.items() <= kept.attrib.items()
    tags = {one.tag for one in written}
    found = {one.tag: one.attrib for one in kept if one.tag in tags}
    assert found == {one.tag: one.attrib for one in written}


@pytest.mark.parametrize("model", get_args(Model))
def test_libvirt_takes_a_card_of_each_model(driver: libvirt.virConnect, model: str) -> None:
    card = CARDS["network"].model_copy(update={"model": model})
    domain = driver.defineXMLFlags(domain_with(card.libvirt_xml()), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    found = parse(domain.XMLDesc()).find("devices/interface/model")
    assert found is not None
    assert found.attrib == {"type": model}


@pytest.mark.parametrize("network", ["..", "a\nb", "😀 <&\"'", "%(x)s"])
def test_a_card_goes_into_a_network_of_any_name(driver: libvirt.virConnect, network: str) -> None:
    card = InterfaceSpec(source=NetworkSource(network=network), mac="52:54:00:12:34:56")
    domain = driver.defineXMLFlags(domain_with(card.libvirt_xml()), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    source = parse(domain.XMLDesc()).find("devices/interface/source")
    assert source is not None
    # libvirt writes a newline in an attribute as it is, and XML reads that as a space.
    assert source.get("network") == network.replace("\n", " ")
