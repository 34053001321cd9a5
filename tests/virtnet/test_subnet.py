from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from xml.etree import ElementTree as ET

import pytest

from virtnet.subnet import check_range, ip_element
from virtnet.text import SpecError


def check(address: str, first: str | None = None, last: str | None = None) -> None:
    check_range(
        IPv4Interface(address),
        IPv4Address(first) if first else None,
        IPv4Address(last) if last else None,
        address_field="gateway",
    )


@pytest.mark.parametrize(
    ("address", "first", "last"),
    [
        ("192.168.77.1/24", None, None),
        ("192.168.77.1/24", "192.168.77.2", "192.168.77.254"),
        ("192.168.77.254/24", "192.168.77.1", "192.168.77.253"),
        ("10.0.0.1/30", "10.0.0.2", "10.0.0.2"),
        ("10.0.0.1/8", "10.255.255.254", "10.255.255.254"),
        ("100.64.0.1/10", None, None),
    ],
)
def test_it_takes_a_right_address_and_range(address: str, first: str | None, last: str | None) -> None:
    check(address, first, last)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("192.168.77.1/31", "Use a prefix from /8 to /30, such as /24."),
        ("192.168.77.1/32", "Use a prefix from /8 to /30, such as /24."),
        ("10.0.0.1/7", "Use a prefix from /8 to /30, such as /24."),
        ("127.0.0.1/24", "127.0.0.1 cannot be the address of a network."),
        ("224.0.0.1/24", "224.0.0.1 cannot be the address of a network."),
        ("240.0.0.1/24", "240.0.0.1 cannot be the address of a network."),
        ("169.254.3.1/24", "169.254.3.1 cannot be the address of a network."),
        ("0.0.0.1/24", "0.0.0.1 cannot be the address of a network."),
        ("192.168.77.0/24", "192.168.77.0 is not a host's address in 192.168.77.0/24."),
        ("192.168.77.255/24", "192.168.77.255 is not a host's address in 192.168.77.0/24."),
    ],
)
def test_it_refuses_an_address_at_its_field(address: str, sentence: str) -> None:
    with pytest.raises(SpecError) as refused:
        check(address)
    assert (refused.value.field, str(refused.value)) == ("gateway", sentence)


@pytest.mark.parametrize(
    ("first", "last", "field", "sentence"),
    [
        ("192.168.77.9", None, "last_lease", "Give both ends of the range, or neither."),
        (None, "192.168.77.9", "first_lease", "Give both ends of the range, or neither."),
        ("192.168.76.9", "192.168.77.9", "first_lease", "192.168.76.9 is not in 192.168.77.0/24."),
        ("192.168.77.9", "192.168.78.9", "last_lease", "192.168.78.9 is not in 192.168.77.0/24."),
        ("192.168.77.0", "192.168.77.9", "first_lease", "192.168.77.0 is not a host's address in 192.168.77.0/24."),
        ("192.168.77.9", "192.168.77.255", "last_lease", "192.168.77.255 is not a host's address in 192.168.77.0/24."),
        ("192.168.77.20", "192.168.77.10", "last_lease", "The range ends before it starts."),
        ("192.168.77.1", "192.168.77.9", "first_lease", "The range holds the host's own address 192.168.77.1."),
    ],
)
def test_it_refuses_a_range_at_the_end_that_is_wrong(
    first: str | None, last: str | None, field: str, sentence: str
) -> None:
    with pytest.raises(SpecError) as refused:
        check("192.168.77.1/24", first, last)
    assert (refused.value.field, str(refused.value)) == (field, sentence)


def test_the_ip_element_has_dhcp_only_with_a_range() -> None:
    address = IPv4Interface("192.168.77.1/24")
    assert ET.tostring(ip_element(address, None, None)) == b'<ip address="192.168.77.1" prefix="24" />'
    assert ET.tostring(ip_element(address, IPv4Address("192.168.77.2"), IPv4Address("192.168.77.9"))) == (
        b'<ip address="192.168.77.1" prefix="24"><dhcp><range start="192.168.77.2" end="192.168.77.9" /></dhcp></ip>'
    )
