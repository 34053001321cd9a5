from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.virtnet.samples import CARD
from virtnet.fields import PF, LinkName, MacAddress, NetworkName, Uplink, VlanTag, WrittenName, offered_by
from virtnet.interface import InterfaceSpec, random_mac
from virtnet.modes.sriov import Sriov


def accepts(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", ["eth0", "br-lan", "bond0.100", "enp1s0f0np0", "_x", "0", "a" * 15])
def test_a_link_s_name(name: str) -> None:
    assert accepts(LinkName, name)


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            "a" * 16,
            "é" * 8,
            ".",
            "..",
            "-x",
            ".x",
            "a b",
            "a/b",
            "a\n",
            "\na",
            "a\0",
            "a:1",
            'a"',
            "a;b",
            "a*",
            "a%d",
        ],
        *["all", "default", "ｅth0", "eth0\u200b", "$(x)", "a'b", "a{b", "a\\b"],
    ],
)
def test_a_link_s_name_is_refused(name: str) -> None:
    assert not accepts(LinkName, name)


@pytest.mark.parametrize("name", ["a", "office-lab", "vlan42", "a" * 31])
def test_a_network_s_name(name: str) -> None:
    assert accepts(NetworkName, name)


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a_b", "a.b", "..", "a" * 32, "a\n", "a b", "à", "a/b", "a\0"])
def test_a_network_s_name_is_refused(name: str) -> None:
    assert not accepts(NetworkName, name)


def test_a_mac_address_is_written_one_way() -> None:
    assert TypeAdapter(MacAddress).validate_python("52-54-00-AB-CD-EF") == "52:54:00:ab:cd:ef"


@pytest.mark.parametrize(
    "mac",
    [
        *["", "52:54:00:12:34", "52:54:00:12:34:56:78", "525400123456", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"],
        *["00:00:00:00:00:00", "52:54:00:12:34:5g", "52:54:00:12:34:56\n", " 52:54:00:12:34:56", "５2:54:00:12:34:56"],
    ],
)
def test_a_mac_address_is_refused(mac: str) -> None:
    assert not accepts(MacAddress, mac)


def test_a_vlan_tag_is_1_to_4094() -> None:
    assert [tag for tag in (0, 1, 4094, 4095) if accepts(VlanTag, tag)] == [1, 4094]


def test_a_written_name_may_be_anything_that_xml_can_hold() -> None:
    assert accepts(WrittenName, "..")
    assert accepts(WrittenName, "a\nb\t😀 <&\"'")
    assert [char for char in "\0\x01\x08\x0b\x1f\ufffe\uffff\ud800" if accepts(WrittenName, f"a{char}")] == []


def test_the_form_offers_what_the_host_has() -> None:
    assert offered_by(get_args(Uplink)[1:]) == "uplinks"
    assert offered_by(get_args(PF)[1:]) == "pfs"
    assert offered_by(tuple(Sriov.model_fields["pf"].metadata)) == "pfs"
    assert offered_by(tuple(Sriov.model_fields["numvfs"].metadata)) is None


def test_a_random_mac_is_in_qemu_s_range_and_a_card_takes_it() -> None:
    macs = {random_mac() for _ in range(200)}
    assert len(macs) > 190
    assert all(InterfaceSpec(source=CARD.source, mac=mac).mac == mac for mac in macs)
    assert all(mac.startswith("52:54:00:") for mac in macs)
